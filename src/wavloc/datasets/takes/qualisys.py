"""Tab-separated exports of a Qualisys motion capture system.

Lines of ``KEY <tab> values``, optionally a line of column names, then one line per moment. Lengths
are millimetres in the file and metres here; a marker that was not seen is 0 in the file and NaN
here.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd

from wavloc.datasets.takes import trajectory
from wavloc.errors import InputError


@dataclasses.dataclass
class Capture:
    """time_s: (T,) seconds as in the file; markers: name -> (T, 3) metres, NaN = not seen."""

    time_s: np.ndarray
    markers: dict[str, np.ndarray]
    warnings: list[str]


def read(path: Path) -> Capture:
    """Read an export; an unusable one is an `InputError` that names file, line and cell."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text ({error})") from None
    keys, first = _header(lines)
    if first >= len(lines):
        raise InputError(f"{path}: no data below line {first}")
    titles = (cell.strip() for cell in lines[first].split("\t"))
    names = [name for name in keys.get("MARKER_NAMES", []) if name]
    names = names or [title[:-2] for title in titles if title.endswith(" X")]
    if not names:
        raise InputError(
            f"{path}, line {first + 1}: neither MARKER_NAMES nor columns such as 'mic01R X' above "
            "the data"
        )
    columns, first = _columns(path, lines, first, names)
    warnings: list[str] = []
    cells = _cells(path, lines[first:], first, max(columns.values()) + 1, warnings)
    used = sorted(columns.values())
    values, skipped = _numbers(path, [[row[k] for k in used] for row in cells], first, used)
    if skipped:
        warnings.append(f"{path}: the first {skipped} moments are no numbers and were left out")
    column = {name: values[:, used.index(k)] for name, k in columns.items()}
    if "NO_OF_FRAMES" in keys:
        stated = _number(path, keys, "NO_OF_FRAMES")
        if abs(stated - len(cells)) > 1:
            raise InputError(
                f"{path}: {len(cells)} moments, but NO_OF_FRAMES is {stated:g} (truncated?)"
            )
    if "Time" in column:
        time_s = column["Time"]
    else:
        rate = _number(path, keys, "FREQUENCY")
        time_s = (np.arange(len(values)) + skipped) / rate
    trajectory.require_increasing(time_s, path, first + skipped + 1)
    markers = {}
    for name in names:
        place = np.stack([column[f"{name} {axis}"] for axis in "XYZ"], axis=1) / 1000
        place[(place == 0).all(axis=1)] = np.nan
        markers[name] = place
    return Capture(time_s, markers, warnings)


def _header(lines: list[str]) -> tuple[dict[str, list[str]], int]:
    """Keys with their values, and the number of header lines."""
    keys: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        key, *values = (cell.strip() for cell in line.split("\t"))
        if key and not re.fullmatch("[A-Z_]+", key):
            return keys, number
        keys.setdefault(key, values)
    return keys, len(lines)


def _columns(
    path: Path, lines: list[str], first: int, names: list[str]
) -> tuple[dict[str, int], int]:
    """Column numbers of the time and of each coordinate, and the number of the first data line."""
    wanted = [f"{name} {axis}" for name in names for axis in "XYZ"]
    cells = [cell.strip() for cell in lines[first].split("\t")]
    if any(cell.endswith(" X") for cell in cells):
        number = {name: k for k, name in enumerate(cells)}
        missing = [name for name in wanted if name not in number]
        if missing:
            raise InputError(f"{path}, line {first + 1}: no column '{missing[0]}'")
        return {name: number[name] for name in [*wanted, "Time"] if name in number}, first + 1
    extra = len(cells) - len(wanted)
    if extra not in (0, 2):  # with or without the columns Frame and Time
        raise InputError(
            f"{path}, line {first + 1}: {len(cells)} cells, expected {len(wanted)} (three for each "
            f"of {len(names)} markers), or two more before them"
        )
    columns = {name: extra + k for k, name in enumerate(wanted)}
    return columns | ({"Time": 1} if extra else {}), first


def _cells(
    path: Path, lines: list[str], first: int, needed: int, warnings: list[str]
) -> list[list[str]]:
    """Cells of the data lines; an incomplete last line is dropped, any other is an `InputError`."""
    cells = [line.split("\t") for line in lines]
    while cells and not any(cell.strip() for cell in cells[-1]):
        cells.pop()
    if len(cells) > 1 and len(cells[-1]) < needed:
        cells.pop()
        warnings.append(f"{path}: the last line is cut off and was left out")
    for number, row in enumerate(cells, start=first + 1):
        if len(row) < needed:
            raise InputError(f"{path}, line {number}: {len(row)} cells, expected {needed}")
    return cells


def _numbers(
    path: Path, cells: list[list[str]], first: int, columns: list[int]
) -> tuple[np.ndarray, int]:
    """Values (T, columns), NaN where a cell is empty, and the number of moments skipped.

    Moments at the very beginning that are no numbers are skipped; later ones are an `InputError`.
    """
    values, bad = parsed(pd.DataFrame(cells, dtype=object), {"", "nan", "null", "-"})
    wrong = np.logical_or.reduce(bad, axis=1)
    skipped = len(wrong) if wrong.all() else int(np.argmin(wrong))
    if wrong[skipped:].any() or skipped == len(wrong):
        row, column = np.argwhere(bad)[0 if skipped == len(wrong) else bad[:skipped].sum()]
        raise InputError(
            f"{path}, line {first + row + 1}, cell {columns[column] + 1}: '{cells[row][column]}', "
            "expected a number"
        )
    return values[skipped:], skipped


def parsed(texts: pd.DataFrame, missing: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """Values of a table of strings, and which of them are neither numbers nor ``missing``."""
    texts = texts.apply(lambda column: column.str.strip().str.lower())
    values = texts.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    return values, np.isnan(values) & ~texts.isin(missing).to_numpy(bool)


def _number(path: Path, keys: dict[str, list[str]], key: str) -> float:
    """A positive number of the header."""
    value = (keys.get(key) or [""])[0]
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise InputError(f"{path}: {key} is '{value}', expected a number above 0")
    return number
