"""Steered response power: correlation rows summed over pairs at the delays a position implies.

The signed sum of the raw rows tells right from wrong positions far better in reverberation than any
count of peaks: at a wrong place positive and negative values cancel. It is only smooth over a
centimetre or two, so coarse steps see rows through a sliding maximum instead.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

from wavloc.features import gcc
from wavloc.methods.classical.solvers import tdoa_map
from wavloc.methods.classical.solvers.problem import FAR, Problem
from wavloc.methods.classical.solvers.refine import refine, truncated

_NEIGHBOURS = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)


def widened(rows: np.ndarray, width: float) -> np.ndarray:
    """Rows (n, P, L) as seen from somewhere within a cell: the largest value in ``width`` lags."""
    size = 2 * int(width / 2) + 1
    return rows if size < 3 else maximum_filter1d(rows, size, axis=-1, mode="constant")


def power(problem: Problem, rows: np.ndarray, step: float, points: np.ndarray) -> np.ndarray:
    """Steered power (n, K) of positions (n, K, 3); rows (n, P, L) with ``step`` metres a lag."""
    reach = rows.shape[-1] // 2
    lag = np.rint(problem.differences(points) / step).astype(np.int64)  # (n, K, P)
    index = np.clip(lag + reach, 0, 2 * reach) + np.arange(rows.shape[1]) * rows.shape[-1]
    flat = rows.reshape(len(rows), -1)
    return np.take_along_axis(flat, index.reshape(len(rows), -1), 1).reshape(index.shape).sum(-1)


def climb(
    problem: Problem, rows: np.ndarray, step: float, points: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each position (n, K, 3) moved to the best of itself and its 26 neighbours, and its power."""
    around = points[:, :, None] + spacing * _NEIGHBOURS
    around = np.clip(around, problem.low[:, None, None], problem.high[:, None, None])
    value = power(problem, rows, step, around.reshape(len(points), -1, 3))
    value = value.reshape(*points.shape[:2], len(_NEIGHBOURS))
    best = value.argmax(axis=-1)[..., None]
    moved = np.take_along_axis(around, best[..., None], 2)[:, :, 0]
    return moved, np.take_along_axis(value, best, 2)[..., 0]


def coarse_to_fine(
    problem: Problem, rows: np.ndarray, step: float, spacing: float, count: int, finest: float
) -> np.ndarray:
    """Tops of the power (n, K, 3): ``count`` cells of a grid, followed through halved spacings.

    At each level the weaker half of the places is given up.
    """
    points = tdoa_map.starts_on_rows(
        problem, np.maximum(widened(rows, spacing / step), 0), step, spacing, count
    )
    while spacing > 2 * finest:
        spacing /= 2
        seen = widened(rows, spacing / step)
        points, _ = climb(problem, seen, step, points, spacing)
        points, value = climb(problem, seen, step, points, spacing)
        points = strongest(points, value, max(4, points.shape[1] * 2 // 3))
    return points


def strongest(points: np.ndarray, value: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` positions (n, K, 3) of highest value (n, K)."""
    order = np.argsort(-value, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(points, order[..., None], 1)


def top(
    problem: Problem, rows: np.ndarray, step: float, points: np.ndarray, spacing: float
) -> np.ndarray:
    """Where the raw power is highest around positions (n, K, 3): (n, 3), to half a lag."""
    while spacing > step / 4:
        points, value = climb(problem, rows, step, points, spacing)
        points = strongest(points, value, max(4, points.shape[1] // 3))
        points, _ = climb(problem, rows, step, points, spacing)
        spacing /= 2
    points, value = climb(problem, rows, step, points, spacing)
    return strongest(points, value, 1)[:, 0]


def settle(
    problem: Problem, rows: np.ndarray, step: float, position: np.ndarray, width: float
) -> np.ndarray:
    """Least squares on each pair's own peak near a position (n, 3): finer than the rows' lags.

    Leaves in ``problem.ranges`` the peaks, so that support and covariance can be told from them.
    """
    usable = np.abs(rows).max(axis=-1) > 0
    ranges = _own_peaks(problem, rows, step, position[:, None], width)
    problem.ranges = np.where(usable[..., None], ranges, FAR)
    settled = refine(problem, position[:, None], [truncated(width)] * 6)[:, 0]
    settled = np.clip(settled, problem.low, problem.high)
    # Few agreeing peaks can lead astray; the power's own maximum is kept then.
    near = np.square(settled - position).sum(axis=1) < width**2
    return np.where(near[:, None], settled, position)


def _own_peaks(
    problem: Problem, rows: np.ndarray, step: float, points: np.ndarray, width: float
) -> np.ndarray:
    """Each pair's highest value within ``width`` metres of what a position implies: (n, P, 1) m.

    A parabola through the top gives the fraction of a lag.
    """
    reach, near = rows.shape[-1] // 2, int(np.ceil(width / step))
    lag = np.rint(problem.differences(points)[:, 0] / step).astype(np.int64) + reach
    window = np.clip(lag[..., None] + np.arange(-near, near + 1), 1, 2 * reach - 1)
    values = np.take_along_axis(rows, window, -1)
    best = np.take_along_axis(window, values.argmax(axis=-1)[..., None], -1)
    return (best - reach + gcc.parabola(rows, best)) * step
