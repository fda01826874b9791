"""The list of microphones: where they are, in metres or as latitude and longitude."""

from __future__ import annotations

import csv
import dataclasses
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wavloc import files
from wavloc.checks import number
from wavloc.errors import InputError
from wavloc.geometry import check_extent

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048}
_GLOBE = {"latitude": "lat", "longitude": "lon", "altitude": "alt", "elevation": "alt"}
_EXPECTED = "name,x,y,z"


@dataclasses.dataclass
class Microphones:
    """M microphones: positions (M, 3) metres, start_s (M,) when each recording begins; plane: where
    positions were latitudes and longitudes.
    """

    names: list[str]
    positions: np.ndarray
    start_s: np.ndarray
    plane: LocalPlane | None = None


class LocalPlane:
    """East, north and up in metres about a point on the globe (WGS84), and back."""

    def __init__(self, lat: float, lon: float, alt: float):
        import pyproj  # slow to import

        self._turn = pyproj.Transformer.from_pipeline(
            "+proj=pipeline +step +proj=cart +ellps=WGS84 "
            f"+step +proj=topocentric +ellps=WGS84 +lat_0={lat} +lon_0={lon} +h_0={alt}"
        )

    def metres(self, globe: np.ndarray) -> np.ndarray:
        """Latitude and longitude in degrees, altitude in metres (n, 3) -> (n, 3) metres."""
        lat, lon, alt = globe.T
        return np.stack(self._turn.transform(lon, lat, alt), axis=1)

    def globe(self, positions: np.ndarray) -> np.ndarray:
        """The way back; NaN stays NaN."""
        east, north, up = positions.T
        lon, lat, alt = self._turn.transform(east, north, up, direction="INVERSE")
        globe = np.stack([lat, lon, alt], axis=1)
        return np.where(np.isfinite(positions).all(axis=1, keepdims=True), globe, np.nan)


def read(path: str | Path, units: str = "m") -> Microphones:
    """Read ``name,x,y,z`` (header line first), or ``name,lat,lon,alt``; start_s if there is such a
    column, else 0. Further columns do not matter.
    """
    path = Path(path)
    return _made(*_table(path), str(path), units)


def of_table(table: pd.DataFrame, units: str = "m") -> Microphones:
    """As `read`, of a table with such columns; names may be its index."""
    if "name" not in [_column(str(column)) for column in table]:
        table = table.rename_axis("name").reset_index()
    cells = [[str(cell) for cell in row] for row in table.itertuples(index=False)]
    header = [_column(str(column)) for column in table]
    return _made(header, list(enumerate(cells, start=2)), "table of microphones", units)


def of_array(positions: np.ndarray, names: Sequence[str] = (), units: str = "m") -> Microphones:
    """As `read`, of positions (M, 3); names: m1, m2 ... where they are not given."""
    positions = np.asarray(positions)
    if positions.ndim != 2 or positions.shape[1] != 3 or positions.dtype.kind not in "fiu":
        raise InputError(
            f"microphones: {positions.dtype} of shape {positions.shape}, expected numbers (M, 3): "
            "x, y and z of each"
        )
    table = pd.DataFrame(positions, columns=list("xyz"))
    table.insert(0, "name", list(names) or [f"m{k + 1}" for k in range(len(positions))])
    return of_table(table, units)


def _made(
    header: list[str], rows: list[tuple[int, list[str]]], path: str, units: str
) -> Microphones:
    """Microphones of rows with the numbers of their lines; path: where from, for messages."""
    if units not in METRES:
        raise InputError(f"units: '{units}', expected one of {', '.join(METRES)}")
    globe = "lat" in header
    axes = ["lat", "lon", "alt"] if globe else ["x", "y", "z"]
    absent = {"name", *axes} - set(header)
    if absent:
        expected = "name,lat,lon,alt" if globe else _EXPECTED
        raise InputError(f"{path}, line 1: {', '.join(header) or 'empty'}, expected {expected}")
    names: list[str] = []
    places: list[list[float]] = []
    starts: list[float] = []
    for line, row in rows:
        cells = dict(zip(header, row, strict=True))
        name = unicodedata.normalize("NFC", cells["name"])
        if not name or name in names:
            raise InputError(f"{path}, line {line}: name '{name}' is empty or used twice")
        place = _numbers([cells[axis] for axis in axes], f"{path}, line {line}")
        if place in places:
            taken = names[places.index(place)]
            raise InputError(f"{path}, line {line}: '{name}' is at the place of '{taken}'")
        if globe and not (abs(place[0]) <= 90 and abs(place[1]) <= 180):
            raise InputError(f"{path}, line {line}: {place[:2]}, expected degrees (lat, lon)")
        starts += _numbers([cells.get("start_s", "0")], f"{path}, line {line}")
        names.append(name)
        places.append(place)
    if not names:
        raise InputError(f"{path}: no microphones below the header line")
    positions, plane = np.array(places), None
    if globe:
        plane = LocalPlane(*positions.mean(axis=0))
        positions = plane.metres(positions)
    else:
        positions = positions * METRES[units]
    check_extent(positions, path)
    return Microphones(names, positions, np.array(starts), plane)


def starts_of(given: str | Path | Mapping[str, float], names: list[str]) -> np.ndarray:
    """Seconds (M,) at which recordings begin, by name or in a file, see `read_starts`."""
    if not isinstance(given, Mapping):
        return read_starts(given, names)
    if set(given) != set(names):
        raise InputError(f"starts: of {sorted(given)}, expected one of each of {sorted(names)}")
    return np.array([number(given[name], f"starts, {name}", unit="s") for name in names])


def read_starts(path: str | Path, names: list[str]) -> np.ndarray:
    """Read ``name,start_s``, a line for each of the names: (M,) seconds."""
    path = Path(path)
    header, rows = _table(path)
    if not {"name", "start_s"} <= set(header):
        raise InputError(f"{path}, line 1: {', '.join(header)}, expected name,start_s")
    starts = {}
    for line, row in rows:
        cells = dict(zip(header, row, strict=True))
        name = unicodedata.normalize("NFC", cells["name"])
        if name not in names or name in starts:
            raise InputError(f"{path}, line {line}: '{name}' is no microphone or stands twice")
        starts[name] = _numbers([cells["start_s"]], f"{path}, line {line}")[0]
    missing = [name for name in names if name not in starts]
    if missing:
        raise InputError(f"{path}: no line for '{missing[0]}', expected one per microphone")
    return np.array([starts[name] for name in names])


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header in small letters and rows with their line numbers, of any usual dialect."""
    text = text_of(path)
    first = text.split("\n", 1)[0]
    if first.startswith("sep="):  # Excel's note to itself
        text, first = "\n" + text.partition("\n")[2], text.split("\n", 2)[1]
    delimiter = max(";\t,", key=first.count)
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(text.splitlines(), delimiter=delimiter)
        ]
    except csv.Error as error:
        raise InputError(f"{path}: not readable as csv ({error})") from None
    while rows and not any(rows[-1]):
        rows.pop()
    start = next((k for k, row in enumerate(rows) if any(row)), 0)
    header = [_column(cell) for cell in rows[start]] if rows else []
    while header and not header[-1]:
        header.pop()
    found = []
    for line, row in enumerate(rows[start + 1 :], start=start + 2):
        if not any(row):
            raise InputError(f"{path}, line {line}: empty row, expected {_EXPECTED}")
        while len(row) > len(header) and not row[-1]:
            row.pop()
        if len(row) != len(header):
            hint = " (decimal commas need ; between cells)" if delimiter == "," else ""
            raise InputError(
                f"{path}, line {line}: {len(row)} cells, expected {','.join(header)}{hint}"
            )
        found.append((line, row))
    return header, found


def _column(cell: str) -> str:
    """Name of a column without capitals and unit: ``X (m)`` is x."""
    name = re.sub(r"\s*[\[(].*|_m$", "", cell.lower()).strip()
    return _GLOBE.get(name, name)


def text_of(path: Path) -> str:
    """Text in UTF-8, UTF-16 with its mark, or else Latin-1."""
    files.require_regular(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror or error})") from None
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-16" or b"\0" in content:
            raise InputError(f"{path}: not readable as text, expected {_EXPECTED}") from None
        return content.decode("latin-1")


def _numbers(cells: list[str], where: str) -> list[float]:
    """Numbers with a decimal point or comma."""
    try:
        values = [float(cell.replace(",", ".")) for cell in cells]
    except ValueError:
        raise InputError(f"{where}: {cells} are not numbers (metres)") from None
    if not np.isfinite(values).all():
        raise InputError(f"{where}: {cells} are not finite")
    return values


def stem(path: Any) -> str:
    """Name of the microphone that a file is of."""
    return unicodedata.normalize("NFC", Path(path).stem)
