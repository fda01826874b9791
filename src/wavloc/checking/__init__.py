"""Looks at microphones and a recording before anything is located: `check`.

Each fault is taken out before the next is looked for: dead channels, inverted ones, those in a
wrong order; then those that are out of step, and crosstalk. What a finding means and what to do
about it stands in docs/check.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from wavloc import audio
from wavloc.checking import alone, findings, timing, windows
from wavloc.checking.findings import Finding
from wavloc.checking.order import order_of
from wavloc.geometry import SPEED_OF_SOUND

LEAST_MICS = 3  # with fewer, no place of the source can be told


@dataclasses.dataclass(frozen=True)
class Checked:
    """What `check` found.

    table: a row for each channel, of the name that mics.csv gives it, see docs/check.md for the
    columns. late_ms (n, M): by how much each channel is late in windows at time_s (n,).
    """

    table: pd.DataFrame
    findings: list[Finding]
    time_s: np.ndarray
    late_ms: np.ndarray


def check(
    channels: np.ndarray,
    rate: int,
    mics: np.ndarray,
    names: Sequence[str],
    speed_of_sound: float = SPEED_OF_SOUND,
    most_windows: int = windows.MOST_WINDOWS,
) -> Checked:
    """Look for faults of a recording: channels (M, n) of microphones at mics (M, 3) metres.

    rate: Hz, any; names: of the microphones, in the order of ``mics``, which is that of the
    channels unless the check says otherwise; speed_of_sound: m/s; most_windows: of sound in which
    channels are compared, 0: they are not. No finding: all is well.
    """
    table = pd.DataFrame({"name": list(names)} | alone.levels(channels, rate))
    table["clipped"] = alone.clipped_shares(channels)
    sound = audio.resample(channels, rate, audio.SAMPLE_RATE)
    table["hum_hz"], table["hum_db"] = alone.hum(sound, audio.SAMPLE_RATE)
    table["polarity"], table["belongs_to"] = 1, table["name"]
    table[["fit_gain", "in_step", "steady", "offset_ms", "drift_ppm", "crosstalk"]] = np.nan
    table["crosstalk_with"] = ""
    time_s, late_ms = np.empty(0), np.empty((0, len(table)))
    alive = np.flatnonzero(~findings.dead(table["level_db"].to_numpy()))
    if len(alive) >= LEAST_MICS and most_windows:
        # A recorder's own filter may have cut what its rate could hold.
        band = min(rate, audio.SAMPLE_RATE)
        heard = windows.correlate(sound[alive], mics[alive], speed_of_sound, band, most_windows)
        if len(heard.gcc) >= windows.FEWEST_WINDOWS:
            time_s, late_ms = heard.time_s, np.full((len(heard.gcc), len(table)), np.nan)
            late_ms[:, alive] = _compare(table, alive, heard)
    return Checked(table, findings.of(table, channels.shape[1] / rate), time_s, late_ms)


def _compare(table: pd.DataFrame, alive: np.ndarray, heard: windows.Correlations) -> np.ndarray:
    """Fill in what channels show against one another; by how many ms (n, M) each is late.

    alive: rows (M,) of the channels whose correlations these are.
    """
    far = timing.far_apart(heard)
    heard = heard.moved(far[None])
    sign = timing.signs(heard)
    heard = heard.turned(sign)
    search = windows.searched(heard)
    order, gain = order_of(heard, search)
    heard = heard.reordered(order)
    mine = alive[order]  # the row of each microphone's channel
    table.loc[mine, "belongs_to"] = table["name"].to_numpy()[alive]
    table.loc[mine, "fit_gain"] = np.where(order == np.arange(len(order)), np.nan, gain)
    common = timing.crosstalk(heard, search.positions(heard))
    step = timing.timing(heard, search)
    table.loc[mine, "polarity"] = (step.sign * sign[order]).astype(int)
    table.loc[mine, "in_step"] = step.in_step
    table.loc[mine, "steady"] = step.steady
    table.loc[mine, "offset_ms"] = 1e3 * (step.offset_s + far[order] / windows.RATE)
    table.loc[mine, "drift_ppm"] = 1e6 * step.drift
    strongest = np.where(common.any(axis=1), common.max(axis=1), np.nan)
    table.loc[mine, "crosstalk"] = strongest
    table.loc[mine, "crosstalk_with"] = [
        " ".join(map(str, np.sort(mine[row > 0]) + 1)) for row in common
    ]
    late_ms = np.empty((len(heard.gcc), len(alive)))
    late_ms[:, order] = 1e3 * (step.late_s + far[order] / windows.RATE)
    return late_ms
