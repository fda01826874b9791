"""Events: stretches of time with a band of frequencies, from a file of labels or from the sound."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wavloc.audio import SAMPLE_RATE
from wavloc.errors import InputError
from wavloc.recordings.microphones import text_of

RAVEN = {
    "Begin Time (s)": "begin_s",
    "End Time (s)": "end_s",
    "Low Freq (Hz)": "low_hz",
    "High Freq (Hz)": "high_hz",
}
FLOOR_PERCENT = 20  # of the powers of frames: what is heard between events
GAP_S = 0.15  # louder frames with a shorter pause between them are one event


@dataclasses.dataclass(frozen=True)
class Event:
    """From begin_s to end_s in seconds and from low_hz to high_hz, None = whatever is used."""

    begin_s: float
    end_s: float
    low_hz: float | None = None
    high_hz: float | None = None
    label: str = ""


def read(path: str | Path) -> list[Event]:
    """Audacity labels or a Raven selection table, sorted by their begin."""
    path = Path(path)
    lines = text_of(path).splitlines()
    raven = bool(lines) and "Begin Time (s)" in lines[0]
    found = list(_raven(lines, path) if raven else _audacity(lines, path))
    for line, event in found:
        _check(event, f"{path}, line {line}")
    if not found:
        raise InputError(f"{path}: no events, expected Audacity labels or a Raven selection table")
    return sorted((event for _, event in found), key=lambda event: (event.begin_s, event.end_s))


def _raven(lines: list[str], path: Path) -> Iterator[tuple[int, Event]]:
    """Raven writes a selection once for each of its views."""
    seen = set()
    rows = csv.DictReader(lines, delimiter="\t")
    for line, row in enumerate(rows, start=2):
        where = f"{path}, line {line}"
        number = row.get("Selection")
        if number is not None and number in seen:
            continue
        seen.add(number)
        given = {
            key: _number(row[column], where)
            for column, key in RAVEN.items()
            if row.get(column) not in (None, "")
        }
        if not {"begin_s", "end_s"} <= set(given):
            raise InputError(f"{where}: no Begin Time (s) or End Time (s)")
        label = row.get("Annotation") or row.get("Species") or number or ""
        yield line, Event(**given, label=label)


def _audacity(lines: list[str], path: Path) -> Iterator[tuple[int, Event]]:
    """``begin  end  label``, after which a line ``\\  low  high`` may follow; -1 is no bound."""
    waiting: tuple[int, Event] | None = None
    for line, text in enumerate(lines, start=1):
        cells, where = text.split("\t"), f"{path}, line {line}"
        if not text.strip():
            continue
        if len(cells) < 2:
            raise InputError(f"{where}: {text[:40]!r}, expected begin, end and label between tabs")
        if cells[0].strip() == "\\" and waiting:
            low, high = (_number(cell, where) for cell in (*cells[1:3], "-1")[:2])
            bounds = (low if low >= 0 else None, high if high >= 0 else None)
            event = dataclasses.replace(waiting[1], low_hz=bounds[0], high_hz=bounds[1])
            waiting = waiting[0], event
            continue
        if waiting:
            yield waiting
        begin, end = (_number(cell, where) for cell in cells[:2])
        waiting = line, Event(begin, end, label="\t".join(cells[2:]).strip())
    if waiting:
        yield waiting


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{where}: {cell!r}, expected a number")
    return value


def _check(event: Event, where: str) -> None:
    if event.end_s < event.begin_s:
        raise InputError(f"{where}: from {event.begin_s} to {event.end_s} s, expected begin < end")
    low, high = event.low_hz or 0.0, event.high_hz or SAMPLE_RATE / 2
    if low >= SAMPLE_RATE / 2:
        raise InputError(f"{where}: from {low:g} Hz on, expected less than {SAMPLE_RATE // 2} Hz")
    if not 0 <= low < high:
        raise InputError(f"{where}: from {low:g} to {high:g} Hz, expected low < high")


def detect(times_s: np.ndarray, power: np.ndarray, frame_s: float, above_db: float) -> list[Event]:
    """Stretches in which frames, with their middle at times (F,), are ``above_db`` over the floor.

    power (F,): in the band of the method. The floor is a low percentile, over the whole recording.
    """
    heard = power[power > 0]
    if not len(heard):
        return []
    floor = np.percentile(heard, FLOOR_PERCENT)
    loud = times_s[power > floor * 10 ** (above_db / 10)]
    if not len(loud):
        return []
    apart = np.flatnonzero(np.diff(loud) > frame_s + GAP_S)
    begins, ends = loud[np.append(0, apart + 1)], loud[np.append(apart, len(loud) - 1)]
    return [
        Event(float(begin - frame_s / 2), float(end + frame_s / 2), label=f"event {number}")
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True), start=1)
    ]
