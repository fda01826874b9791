"""Positions as a csv, Audacity labels, a Raven selection table or GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd

from wavloc import files
from wavloc.errors import InputError
from wavloc.recordings.events import RAVEN

FORMATS = ("csv", "audacity", "raven", "geojson")
_SUFFIXES = {".txt": "audacity", ".geojson": "geojson", ".json": "geojson"}
_DIGITS = {"lat": 8, "lon": 8}  # 1e-8 degrees are a millimetre


def format_of(out: Path, named: str | None, globe: bool) -> str:
    """One of `FORMATS`: the one that is named, else by the name of the file. globe: whether
    latitudes and longitudes are known, without which there is no GeoJSON.
    """
    usual = "raven" if out.name.endswith(".selections.txt") else _SUFFIXES.get(out.suffix, "csv")
    chosen = named or usual
    if chosen == "geojson" and not globe:
        raise InputError(
            "GeoJSON needs latitudes: expected name,lat,lon,alt in the list given by --mics"
        )
    return chosen


def write(out: Path, table: pd.DataFrame, chosen: str) -> None:
    """table: time_s, or begin_s and end_s; x, y, z, status, and what else is known; a row each."""
    files.write_text(
        out, {"csv": csv, "audacity": audacity, "raven": raven, "geojson": geojson}[chosen](table)
    )


def csv(table: pd.DataFrame, header: bool = True) -> str:
    """All columns, with a tenth of a millimetre."""
    table = table.copy()
    for name, digits in _DIGITS.items():
        if name in table:
            known = table[name].notna()
            table[name] = table[name].map(f"{{:.{digits}f}}".format).where(known, None)
    return table.to_csv(index=False, float_format="%.4f", lineterminator="\n", header=header)


def audacity(table: pd.DataFrame) -> str:
    """A label for each row: the position in metres, or why there is none; bands where given."""
    lines = []
    for row in _stretches(table).to_dict("records"):
        where = _place(row)
        label = f"{row['label']}: {where}" if row.get("label") else where
        lines.append(f"{row['begin_s']:.6f}\t{row['end_s']:.6f}\t{label}")
        if pd.notna(row.get("low_hz")) or pd.notna(row.get("high_hz")):
            low, high = (row[key] if pd.notna(row[key]) else -1 for key in ("low_hz", "high_hz"))
            lines.append(f"\\\t{low:.6f}\t{high:.6f}")
    return "".join(f"{line}\n" for line in lines)


def raven(table: pd.DataFrame) -> str:
    """A selection for each row, with its position in further columns."""
    made = _stretches(table)
    made.insert(0, "Selection", range(1, len(made) + 1))
    made.insert(1, "View", "Spectrogram 1")
    made.insert(2, "Channel", 1)
    names = {key: column for column, key in RAVEN.items()} | {"label": "Annotation"}
    names |= {axis: f"{axis} (m)" for axis in "xyz"}
    made = made.rename(columns=names)
    first = [name for name in ("Selection", "View", "Channel", *RAVEN) if name in made]
    made = made[[*first, *(name for name in made if name not in first)]]
    return made.to_csv(sep="\t", index=False, float_format="%.6f", lineterminator="\n")


def geojson(table: pd.DataFrame) -> str:
    """A point (lon, lat, alt) for each row with a position (RFC 7946)."""
    points = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Point",
                "coordinates": [round(row["lon"], 8), round(row["lat"], 8), round(row["alt"], 3)],
            },
            "properties": {
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in row.items()
                if key not in ("lat", "lon", "alt") and pd.notna(value)
            },
        }
        for row in table.to_dict("records")
        if pd.notna(row["lat"])
    ]
    return json.dumps({"type": "FeatureCollection", "features": points}, indent=1) + "\n"


def _stretches(table: pd.DataFrame) -> pd.DataFrame:
    """The table with begin_s and end_s in place of time_s."""
    if "begin_s" in table:
        return table.copy()
    hop = float(table["time_s"].diff().median()) if len(table) > 1 else 0.0
    made = table.drop(columns="time_s")
    made.insert(0, "begin_s", (table["time_s"] - hop / 2).clip(lower=0))
    made.insert(1, "end_s", table["time_s"] + hop / 2)
    return made


def _place(row: dict[Hashable, Any]) -> str:
    if pd.isna(row["x"]):
        return str(row["status"])
    doubt = "" if row["status"] == "ok" else f" ({row['status']})"
    return f"{row['x']:.2f} {row['y']:.2f} {row['z']:.2f}{doubt}"
