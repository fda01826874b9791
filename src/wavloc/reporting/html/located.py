"""The page of `wavloc locate --html`: where sources were, on one page that needs no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from wavloc import files
from wavloc.reporting.html.templates import macro, render

MOST_POINTS = 2000  # drawn; a longer table is thinned out in the pictures ...
MOST_ROWS = 5000  # ... and here in the table, which the csv has in full
MOST_CELLS = 150  # of a microphone's agreement over time
OUTLYING = 0.5  # percent of the positions at each end of an axis that do not widen the views
AROUND_M = 0.3
LONGEST_PX, PLAN_PX = 480, 440  # of the views: room for the larger two axes
NAME_PX = 36  # beside them, for the name of a microphone at the wall
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1160, 110, 64, 8, 8, 22  # of pictures over time, pixels
SIDES = {"from above": "xy", "from the front": "xz", "from the side": "yz"}


@dataclasses.dataclass(frozen=True)
class Scale:
    """From values between two bounds to pixels; ``zero`` is where the lower one is."""

    low: float
    high: float
    zero: float
    length: float  # negative: values grow to the left or upwards

    def __call__(self, value: Any) -> Any:
        return self.zero + self.length * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Pixels and words of round values."""
        count = max(2, round(abs(self.length) / 60))
        values: Any = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        inside = values[(values >= self.low - 1e-9) & (values <= self.high + 1e-9)]
        return [(round(float(self(v)), 1), f"{v:.10g}") for v in inside]


def write(
    out: str | Path,
    table: pd.DataFrame,
    reliability: np.ndarray,
    names: Sequence[str],
    mics: np.ndarray,
    about: Mapping[str, str],
    warnings: Sequence[str],
) -> None:
    """Write the page.

    table: time_s (of events begin_s), x, y, z, status and what else is known; reliability (F, M) of
    the named microphones at mics (M, 3) metres, NaN where it is not known; about: lines on what was
    done; warnings: lines for a person.
    """
    timed = table.rename(columns={"begin_s": "time_s"}).reset_index(drop=True)
    drawn = timed.iloc[_some(len(timed), MOST_POINTS)]
    data: list[dict[str, Any]] = []
    views = _views(drawn, names, mics)
    charts = _charts(drawn)
    for place, row in enumerate(drawn.to_dict("records")):
        data.append(
            {
                "at": [view["points"][place]["at"] for view in views],
                "px": round(float(charts[0]["time"](row["time_s"])), 1),
                "said": _said(row),
            }
        )
    counts = table["status"].value_counts()
    page = render(
        "located.html",
        about=dict(about),
        warnings=list(warnings),
        counts=[(str(name), int(count)) for name, count in counts.items()],
        views=views,
        charts=charts,
        agreement=_agreement(timed["time_s"].to_numpy(float), reliability, names),
        rows=_rows(table),
        shown=min(len(table), MOST_ROWS),
        total=len(table),
        thinned=len(timed) > MOST_POINTS,
        data=data,
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "bottom": BOTTOM},
    )
    files.write_text(out, page)


def _some(count: int, most: int) -> np.ndarray:
    """Numbers of at most so many rows, evenly apart."""
    return np.unique(np.linspace(0, max(0, count - 1), min(count, most)).round().astype(int))


def _said(row: Mapping[Any, Any]) -> str:
    """What a reader is told about a row."""
    words = [f"{row['time_s']:.2f} s", str(row["status"])]
    if pd.notna(row["x"]):
        words.append(f"x {row['x']:.2f}, y {row['y']:.2f}, z {row['z']:.2f} m")
    if pd.notna(row.get("confidence")):
        words.append(f"confidence {row['confidence']:.2f}")
    if pd.notna(row.get("speed")):
        words.append(f"{row['speed']:.2f} m/s")
    return " · ".join(words)


def _views(table: pd.DataFrame, names: Sequence[str], mics: np.ndarray) -> list[dict[str, Any]]:
    """From above, the front and the side, a metre equally long in all."""
    place = table[[*"xyz"]].to_numpy(float)
    known = place[np.isfinite(place).all(axis=1)]
    inner = np.percentile(known, [OUTLYING, 100 - OUTLYING], axis=0) if len(known) else mics
    around = np.concatenate([inner, mics])
    low, high = around.min(axis=0) - AROUND_M, around.max(axis=0) + AROUND_M
    extent = high - low
    per_m = min(LONGEST_PX / extent[0], PLAN_PX / extent[1], LONGEST_PX / extent[2])
    made = []
    for title, axes in SIDES.items():
        one, other = ("xyz".index(axis) for axis in axes)
        wide, tall = per_m * extent[one], per_m * extent[other]
        across = Scale(low[one], high[one], LEFT, wide)
        up = Scale(low[other], high[other], TOP + tall, -tall)
        points = []
        for point, status in zip(place[:, [one, other]], table["status"], strict=True):
            inside = (point >= [low[one], low[other]]) & (point <= [high[one], high[other]])
            at = [round(float(across(point[0])), 1), round(float(up(point[1])), 1)]
            points.append({"at": at if inside.all() else None, "status": str(status)})
        seen = sum(point["at"] is not None for point in points)
        made.append(
            {
                "title": title, "axes": axes, "across": across, "up": up, "points": points,
                "width": round(LEFT + wide + NAME_PX), "height": round(TOP + tall + BOTTOM + 14),
                "wide": wide, "tall": tall, "beyond": len(known) - seen,
                "mics": [
                    (name, round(float(across(mic[one])), 1), round(float(up(mic[other])), 1))
                    for name, mic in zip(names, mics, strict=True)
                ],
            }
        )  # fmt: skip
    return made


def _charts(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Coordinates with bands of two standard deviations, confidence and speed over time."""
    time_s = table["time_s"].to_numpy(float)
    first, last = (float(time_s.min()), float(time_s.max())) if len(time_s) else (0.0, 1.0)
    time = Scale(first, max(last, first + 1e-3), LEFT, WIDTH - LEFT - RIGHT)
    shown = {axis: f"{axis} (m)" for axis in "xyz"} | {
        "confidence": "confidence", "speed": "speed (m/s)"
    }  # fmt: skip
    made = []
    for name, label in shown.items():
        if name not in table or (name not in "xyz" and table[name].isna().all()):
            continue
        value = table[name].to_numpy(float)
        deviation = table.get(f"sigma_{name}")
        spread = 2 * (np.zeros(len(value)) if deviation is None else deviation.to_numpy(float))
        low, high = (0.0, 1.0) if name == "confidence" else _bounds(value)
        up = Scale(low, high, HEIGHT - BOTTOM, TOP + BOTTOM - HEIGHT)
        px, py = time(time_s), up(np.clip(value, low, high))
        points = [
            (round(float(x), 1), round(float(y), 1), str(status))
            for x, y, status in zip(px, py, table["status"], strict=True)
            if np.isfinite(y)
        ]
        ends = up(np.clip(np.stack([value - spread, value + spread]), low, high))
        bands = _bands(time_s, px, ends) if deviation is not None else []
        made.append({"label": label, "time": time, "up": up, "points": points, "bands": bands})
    return made


def _bounds(value: np.ndarray) -> tuple[float, float]:
    """What an axis shows: nearly all values and something around."""
    known = value[np.isfinite(value)]
    low, high = np.percentile(known, [OUTLYING, 100 - OUTLYING]) if len(known) else (0.0, 1.0)
    around = max(0.1 * (high - low), 0.05)
    return float(low - around), float(high + around)


def _bands(time_s: np.ndarray, px: np.ndarray, ends: np.ndarray) -> list[str]:
    """Outlines of bands (2, F) between gaps."""
    known = np.flatnonzero(np.isfinite(ends).all(axis=0))
    if len(known) < 2:
        return []
    usual = float(np.median(np.diff(time_s)))
    parts = np.split(known, np.flatnonzero(np.diff(time_s[known]) > 1.5 * usual) + 1)
    return [
        " ".join(
            f"{px[k]:.1f},{ends[side, k]:.1f}"
            for side, order in ((0, part), (1, part[::-1]))
            for k in order
        )
        for part in parts
        if len(part) > 1
    ]


def _agreement(
    time_s: np.ndarray, reliability: np.ndarray, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Of each microphone its median reliability and that of stretches of time; [] if unknown."""
    if not np.isfinite(reliability).any():
        return []
    stretches = np.array_split(np.arange(len(time_s)), min(MOST_CELLS, len(time_s)))
    made = []
    for name, values in zip(names, reliability.T, strict=True):
        parts = [values[part][np.isfinite(values[part])] for part in stretches]
        known = values[np.isfinite(values)]
        made.append(
            {
                "name": name,
                "median": float(np.median(known)) if len(known) else None,
                "cells": [
                    round(float(np.median(part)), 2) if len(part) else None for part in parts
                ],
            }
        )
    return made


def _rows(table: pd.DataFrame) -> Markup:
    """The table, sortable."""
    shown = table.iloc[_some(len(table), MOST_ROWS)]
    numeric = [k for k, name in enumerate(shown) if pd.api.types.is_numeric_dtype(shown[name])]
    digits = {name: 7 if name in ("lat", "lon") else 3 for name in shown}
    cells = [
        [
            "" if pd.isna(value) else f"{value:.{digits[name]}f}" if k in numeric else str(value)
            for k, (name, value) in enumerate(row.items())
        ]
        for row in shown.to_dict("records")
    ]
    return macro("table", "positions", [str(name) for name in shown], cells, numeric)
