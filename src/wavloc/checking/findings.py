"""What is wrong with a recording, from the table of its channels: one line for each fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from wavloc.checking.alone import LOWEST_DB
from wavloc.checking.timing import IN_STEP_S

DEAD_DB = 40.0  # below the median channel
DC_SHARE = 0.1  # of the channel's level
HUM_DB = -6.0  # against the noise floor, of which hum is a part ...
HUM_OF_LEVEL_DB = -30.0  # ... or against the level, where there are no pauses
CLIPPED_SHARE = 2e-5
DEAF_SHARE, HEARING_SHARE = 0.05, 0.5  # of windows in step: a deaf channel's, the others' median

STEADY_SHARE = 0.2  # of windows with one delay: a deaf channel has less


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault: its kind in a word, the names of the channels concerned, its size (dB, share,
    ms, ppm: the number in the text) and a line that says what was found and what to do.
    """

    kind: str
    channels: tuple[str, ...]
    value: float
    text: str


def _rows(table: pd.DataFrame) -> Iterable[Any]:
    return table.itertuples()


def dead(level_db: np.ndarray) -> np.ndarray:
    """Which channels (M,) are silent, or so far below the others that they hear nothing."""
    return (level_db <= LOWEST_DB) | (level_db < np.median(level_db) - DEAD_DB)


def of(table: pd.DataFrame, seconds: float) -> list[Finding]:
    """Findings of a recording of so many seconds, by the columns of its table."""
    mute = dead(table["level_db"].to_numpy())
    alive = table[~mute]
    found = [*_dead(table, mute), *_alone(alive), *_crosstalk(alive)]
    if any(len(finding.channels) > len(alive) / 2 for finding in found):
        return found  # no delay is that of a source then
    return [*found, *_inverted(alive), *_order(alive), *_time(alive, seconds), *_deaf(alive)]


def _dead(table: pd.DataFrame, mute: np.ndarray) -> Iterator[Finding]:
    usual = table["level_db"].median()
    for row in _rows(table[mute]):
        level = "without any sound" if row.level_db <= LOWEST_DB else f"at {row.level_db:.0f} dB"
        text = f"'{row.name}' is dead: {level}, the median channel is at {usual:.0f} dB; check its "
        yield Finding("dead", (row.name,), row.level_db, text + "cable, power and gain")


def _alone(alive: pd.DataFrame) -> Iterator[Finding]:
    for row in _rows(alive):
        name = (row.name,)
        if row.clipped > CLIPPED_SHARE:
            text = f"'{row.name}' is clipped: {100 * row.clipped:.2g} % of its samples are at the "
            yield Finding("clipped", name, row.clipped, text + "limit; lower its gain")
        if abs(row.dc) > DC_SHARE * 10 ** (row.level_db / 20):
            text = f"'{row.name}' has a constant offset of {100 * row.dc:+.2g} % of full scale; "
            text += "take it out, it makes pauses look loud"
            yield Finding("dc", name, row.dc, text)
        least = min(row.floor_db + HUM_DB, row.level_db + HUM_OF_LEVEL_DB)
        if row.hum_hz > 0 and row.hum_db > least:
            text = f"'{row.name}' hums at {row.hum_hz:.0f} Hz: {row.hum_db:.0f} dB, of a noise "
            text += f"floor of {row.floor_db:.0f} dB; check its ground and cable"
            yield Finding("hum", name, row.hum_db, text)


def _inverted(alive: pd.DataFrame) -> Iterator[Finding]:
    for name in alive["name"][alive["polarity"] < 0]:
        text = f"'{name}' is inverted (-1) against most others; multiply the channel by -1, and "
        yield Finding("inverted", (name,), -1.0, text + "look at the wires of its plug")


def _order(alive: pd.DataFrame) -> Iterator[Finding]:
    belongs = dict(zip(alive["name"], alive["belongs_to"], strict=True))
    gain = dict(zip(alive["name"], alive["fit_gain"], strict=True))
    while belongs:
        name, other = belongs.popitem()
        cycle = [name]
        while other != name:
            cycle.append(other)
            other = belongs.pop(other)
        if len(cycle) == 1:
            continue
        cycle = [name for name in alive["name"] if name in cycle]
        value = 100 * max(gain[name] for name in cycle)
        if len(cycle) == 2:
            text = f"channels '{cycle[0]}' and '{cycle[1]}' seem swapped: the other way round the "
            text += f"delays fit {value:.0f} % better; swap them in mics.csv"
        else:
            right = dict(zip(alive["name"], alive["belongs_to"], strict=True))
            turned = ", ".join(f"'{right[name]}'" for name in cycle)
            text = f"channels {', '.join(map(repr, cycle))} seem to be {turned}: so the delays fit "
            text += f"{value:.0f} % better; put mics.csv in that order"
        yield Finding("order", tuple(cycle), value, text)


def _time(alive: pd.DataFrame, seconds: float) -> Iterator[Finding]:
    for row in _rows(alive):
        start, rise = row.offset_ms, 1e-3 * row.drift_ppm * seconds
        if abs(rise) > 0:  # False for NaN
            text = f"'{row.name}' drifts by {row.drift_ppm:+.0f} ppm, {rise:+.1f} ms in the "
            text += "recording, against the others; use one clock, or resample the channel"
            yield Finding("drift", (row.name,), row.drift_ppm, text)
        if abs(start) > 1e3 * IN_STEP_S:
            late = "late" if start > 0 else "early"
            text = f"'{row.name}' is {abs(start):.1f} ms {late} against the others; move the "
            text += (
                f"channel, or correct its place ({0.343 * abs(start):.1f} m of path) in mics.csv"
            )
            yield Finding("offset", (row.name,), start, text)


def _deaf(alive: pd.DataFrame) -> Iterator[Finding]:
    share, late = alive["in_step"], (alive["offset_ms"] != 0) | (alive["drift_ppm"] != 0)
    if len(alive) < 4 or not share.median() >= HEARING_SHARE:
        return
    # Where the source stays, echoes may put a sound channel off, always by the same.
    changing = ~late & (alive["steady"] < STEADY_SHARE)
    for name, value in zip(alive["name"][changing], share[changing], strict=True):
        if value <= DEAF_SHARE:
            text = f"'{name}' fits the others in {100 * value:.0f} % of the windows, these one "
            text += f"another in {100 * share.median():.0f} %: covered, noisy, elsewhere than "
            yield Finding("deaf", (name,), value, text + "mics.csv says, or out of step by > 0.1 s")


def _crosstalk(alive: pd.DataFrame) -> Iterator[Finding]:
    with_whom = alive["crosstalk_with"]
    left: dict[Any, set[int]] = {
        k: {int(other) - 1 for other in of.split()} for k, of in with_whom.items() if of
    }
    while left:
        group: set[int] = set()
        more = {next(iter(left))}
        while more:  # all that are linked, directly or through others
            group |= more
            more = set().union(*(left.pop(k, set()) for k in more)) - group
        together = tuple(alive.loc[sorted(group), "name"])
        value = float(alive.loc[sorted(group), "crosstalk"].max())
        text = f"{', '.join(map(repr, together))} share a signal without delay ({value:.1f} times "
        text += "chance): crosstalk, or one channel twice; check cables and routing"
        yield Finding("crosstalk", together, value, text)
