"""The air temperature of a take, from a log.

The log of LuViRA is a table on-line with comments and the temperature of each trajectory; no more
of it is documented. So any table of text is read (tabs, semicolons or commas) that has a column
with "temp" in its name and the take in some cell of a row, and any file with "temp" in its name
that lies beside the tracks.
"""

import csv
import re
from pathlib import Path

from wavloc.datasets.takes import names
from wavloc.errors import InputError

POSSIBLE_C = (0.0, 40.0)  # where people work
SUFFIXES = (".csv", ".tsv", ".txt", ".log")
_AT_END = re.compile(r"(-?\d+(?:[.,]\d+)?)\s*[°º]?\s*(?:C|Celsius)?$", re.IGNORECASE)
_GIVEN = re.compile(rf"(.*[:=]\s*)?{_AT_END.pattern}", re.IGNORECASE)
_UNKNOWN = {"", "-", "–", "?", "na", "n/a", "nan"}
_OTHERWISE = "(option temperature_c says it instead)"


def find(root: Path, folder: Path, log: str) -> list[Path]:
    """Logs that there are: ``log``, a path here or below ``root``, or what looks like one.

    Beside the tracks in ``folder``, a name with "temp"; anywhere below ``root``, one with "temp" or
    "log".
    """
    if log:
        for path in (Path(log), root / log):
            if path.is_file():
                return [path]
        raise InputError(f"{log}: no such temperature log, here or in {root}")
    texts = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    own = [path for path in texts if path.parent == folder and "temp" in path.stem.lower()]
    return own or [path for path in texts if re.search("temp|log", path.stem.lower())]


def read(paths: list[Path], folder: Path, take: str, warnings: list[str]) -> float | None:
    """Degrees Celsius of a take; None where no log has it, with a warning if there is one."""
    logs = []
    for path in paths:
        lines = _lines(path)
        table = _table(lines)
        if table:
            logs.append(path)
        row = next((n for n, cells in table[1:] if names.key(take) in map(names.key, cells)), None)
        if row is not None or path.parent == folder:
            values = _of_rows(path, table, row) if table else _of_lines(path, lines)
            if values:
                return sum(values) / len(values)
    if logs:
        warnings.append(f"{logs[0]}: no temperature of take '{take}' {_OTHERWISE}")
    return None


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror or error})") from None
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return content.decode("latin-1").splitlines()  # the degree sign of an old spreadsheet


def _table(lines: list[str]) -> list[tuple[int, list[str]]]:
    """Numbers (from 1) and cells of the lines from the column names on; [] if there are none.

    These are the first line with "temp" and no value in it, of several cells if there is such.
    """
    found = []
    for first, line in enumerate(lines):
        separator = next((mark for mark in "\t;," if mark in line), "\t")
        rows = csv.reader(lines[first:], delimiter=separator)
        cells = [cell.strip() for cell in line.split(separator)]
        if "temp" in line.lower() and not any(map(_GIVEN.fullmatch, cells)):
            found.append((len(cells) == 1, first, rows))
    if not found:
        return []
    _, first, rows = min(found, key=lambda one: one[:2])
    # A quoted cell may go over several lines.
    return [(first + rows.line_num, [cell.strip() for cell in cells]) for cells in rows]


def _of_rows(path: Path, table: list[tuple[int, list[str]]], row: int | None) -> list[float]:
    """Temperatures of a row of the table, given by its line, or of all rows."""
    columns = [k for k, name in enumerate(table[0][1]) if "temp" in name.lower()]
    return [
        _value(cells[k], path, number)
        for number, cells in table[1:]
        for k in columns
        if row in (None, number) and k < len(cells) and cells[k].lower() not in _UNKNOWN
    ]


def _of_lines(path: Path, lines: list[str]) -> list[float]:
    """Temperatures at the ends of the lines of a file without column names."""
    values = [_value(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not values:
        raise InputError(f"{path}: no temperature in it {_OTHERWISE}")
    return values


def _value(text: str, path: Path, line: int) -> float:
    """Degrees Celsius in a text that ends as ``23.5``, ``23,5 °C`` or ``24 C``."""
    match = _AT_END.search(text.strip())
    celsius = float(match[1].replace(",", ".")) if match else float("nan")
    if not POSSIBLE_C[0] <= celsius <= POSSIBLE_C[1]:
        raise InputError(
            f"{path}, line {line}: temperature '{text.strip()}', expected {POSSIBLE_C[0]:g} to "
            f"{POSSIBLE_C[1]:g} degrees Celsius {_OTHERWISE}"
        )
    return celsius
