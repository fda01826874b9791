"""A table of positions over time as tracks: smoothed, with speeds, gaps filled as asked."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wavloc.methods import tracking
from wavloc.methods.predictions import LOCATED

GAP_S = 2.0  # a longer time without a position parts tracks, unless it is to be bridged
STEP_M, FASTEST = 0.5, 5.0  # a step beyond that and so many m/s is another source


def smoothed(table: pd.DataFrame, noise: np.ndarray, bridge_s: float) -> pd.DataFrame:
    """The table with positions and deviations along its tracks, and ``speed`` in m/s.

    table: time_s, x, y, z, status; noise (F, 3, 3): covariance of the error of each row. Rows
    without a position between two of a track at most ``bridge_s`` apart get one, as ``bridged``.
    """
    table = table.assign(speed=np.nan)
    time_s, place = table["time_s"].to_numpy(float), table[[*"xyz"]].to_numpy(float)
    there = table["status"].isin(LOCATED).to_numpy() & np.isfinite(place).all(axis=1)
    for rows in _runs(time_s, place, np.flatnonzero(there), max(GAP_S, bridge_s)):
        all_rows = np.arange(rows[0], rows[-1] + 1)
        measured = np.where(there[all_rows, None], place[all_rows], np.nan)
        position, velocity, error = tracking.run(time_s[all_rows], measured, noise[all_rows])
        after = np.searchsorted(rows, all_rows)  # the next row with a position, or itself
        gap = time_s[rows[after]] - time_s[rows[np.maximum(after - 1, 0)]]
        filled = ~there[all_rows] & (gap <= bridge_s)
        kept = there[all_rows] | filled
        index = table.index[all_rows[kept]]
        table.loc[index, [*"xyz"]] = position[kept]
        deviation = np.sqrt(np.einsum("fii->fi", error[kept]).clip(0))
        table.loc[index, ["sigma_x", "sigma_y", "sigma_z"]] = deviation
        table.loc[index, "speed"] = np.linalg.norm(velocity[kept], axis=1)
        bridged = table.index[all_rows[filled]]
        table.loc[bridged, "status"] = "bridged"
        if "confidence" in table:
            table.loc[bridged, "confidence"] = np.nan
    return table


def doubted(table: pd.DataFrame) -> pd.DataFrame:
    """The table with deviations along its tracks that hold the chance of being elsewhere; of
    ``bridged`` rows that of the rows around.
    """
    if "confidence" not in table:
        return table
    sure = table["confidence"].interpolate(limit_direction="both").to_numpy(float)
    smooth = table["speed"].notna().to_numpy()  # the others hold it already
    for name in ("sigma_x", "sigma_y", "sigma_z"):
        wide = np.sqrt(table[name] ** 2 + tracking.elsewhere(sure))
        table[name] = table[name].where(~smooth, wide)
    return table


def _runs(
    time_s: np.ndarray, place: np.ndarray, rows: np.ndarray, gap_s: float
) -> list[np.ndarray]:
    """Numbers of the rows of each track: at least two positions near in time and in space."""
    gap = np.diff(time_s[rows])
    step = np.linalg.norm(np.diff(place[rows], axis=0), axis=1)
    parted = (gap > gap_s) | (step > STEP_M + FASTEST * gap)
    return [run for run in np.split(rows, np.flatnonzero(parted) + 1) if len(run) > 1]
