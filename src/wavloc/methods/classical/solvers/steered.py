"""Steered response power: the GCC of all pairs, summed at the delays that a position implies.

The signed sum of the GCC tells right from wrong positions far better in reverberation than any
count of peaks: at a wrong position positive and negative values cancel. It is smooth over only a
centimetre or two, so coarse steps take the GCC's sliding maximum instead.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

from wavloc.features.gcc import parabolic_offset
from wavloc.frames import Frames
from wavloc.methods.classical.solvers import tdoa_map
from wavloc.methods.classical.solvers.problem import FAR, Problem, keep_lowest
from wavloc.methods.classical.solvers.refine import refine, truncated

_NEIGHBOURS = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)


def metres_per_lag(frames: Frames, oversample: int) -> float:
    """Range difference between two entries of the GCC."""
    return frames.speed_of_sound / frames.sample_rate / oversample


def power(problem: Problem, gcc: np.ndarray, step: float, points: np.ndarray) -> np.ndarray:
    """Steered power (n, K) of positions (n, K, 3); gcc (n, P, L) with ``step`` metres a lag."""
    reach = gcc.shape[-1] // 2
    lag = np.rint(problem.differences(points) / step).astype(np.int64)  # (n, K, P)
    index = np.clip(lag + reach, 0, 2 * reach) + np.arange(gcc.shape[1]) * gcc.shape[-1]
    flat = gcc.reshape(len(gcc), -1)
    return np.take_along_axis(flat, index.reshape(len(gcc), -1), 1).reshape(index.shape).sum(-1)


def climb(
    problem: Problem, gcc: np.ndarray, step: float, points: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each position (n, K, 3) moved to the best of itself and its 26 neighbours, and its power."""
    around = points[:, :, None] + spacing * _NEIGHBOURS
    around = np.clip(around, problem.low[:, None, None], problem.high[:, None, None])
    value = power(problem, gcc, step, around.reshape(len(points), -1, 3))
    value = value.reshape(*points.shape[:2], len(_NEIGHBOURS))
    best = value.argmax(axis=-1)[..., None]
    moved = np.take_along_axis(around, best[..., None], 2)[:, :, 0]
    return moved, np.take_along_axis(value, best, 2)[..., 0]


def coarse_to_fine(
    problem: Problem, gcc: np.ndarray, step: float, spacing: float, count: int, finest: float
) -> np.ndarray:
    """Maxima of the power (n, K, 3): ``count`` cells of a grid, followed through halved spacings.

    Each level drops the weakest third.
    """
    smoothed = np.maximum(sliding_maximum(gcc, spacing / step), 0)
    points = tdoa_map.starts_from_scores(problem, smoothed, step, spacing, count)
    while spacing > 2 * finest:
        spacing /= 2
        smoothed = sliding_maximum(gcc, spacing / step)
        points, _ = climb(problem, smoothed, step, points, spacing)
        points, value = climb(problem, smoothed, step, points, spacing)
        points = keep_lowest(points, -value, max(4, points.shape[1] * 2 // 3))
    return points


def sliding_maximum(gcc: np.ndarray, lags: float) -> np.ndarray:
    """Largest value of gcc (n, P, L) within a window of ``lags`` about each lag."""
    size = 2 * int(lags / 2) + 1
    return gcc if size < 3 else maximum_filter1d(gcc, size, axis=-1, mode="constant")


def maximum(
    problem: Problem, gcc: np.ndarray, step: float, points: np.ndarray, spacing: float
) -> np.ndarray:
    """Where the raw power is highest around positions (n, K, 3): (n, 3), to half a lag."""
    while spacing > step / 4:
        points, value = climb(problem, gcc, step, points, spacing)
        points = keep_lowest(points, -value, max(4, points.shape[1] // 3))
        points, _ = climb(problem, gcc, step, points, spacing)
        spacing /= 2
    points, value = climb(problem, gcc, step, points, spacing)
    return keep_lowest(points, -value, 1)[:, 0]


def refine_on_peaks(
    problem: Problem, gcc: np.ndarray, step: float, position: np.ndarray, inlier_m: float
) -> np.ndarray:
    """Least squares on each pair's peak near a position (n, 3): finer than the lags of the GCC.

    Stores the peaks in ``problem.ranges``, for support and covariance.
    """
    silent = np.abs(gcc).max(axis=-1) == 0
    ranges = _peaks_near(problem, gcc, step, position[:, None], inlier_m)
    problem.ranges = np.where(silent[..., None], FAR, ranges)
    refined = refine(problem, position[:, None], [truncated(inlier_m)] * 6)[:, 0]
    refined = np.clip(refined, problem.low, problem.high)
    # A few agreeing peaks can lead astray; the maximum of the power is kept then.
    near = np.square(refined - position).sum(axis=1) < inlier_m**2
    return np.where(near[:, None], refined, position)


def _peaks_near(
    problem: Problem, gcc: np.ndarray, step: float, points: np.ndarray, inlier_m: float
) -> np.ndarray:
    """Range difference (n, P, 1) of each pair's highest value within ``inlier_m`` of the one that
    a position (n, 1, 3) implies; a parabola gives the fraction of a lag.
    """
    reach, near = gcc.shape[-1] // 2, int(np.ceil(inlier_m / step))
    lag = np.rint(problem.differences(points)[:, 0] / step).astype(np.int64) + reach
    window = np.clip(lag[..., None] + np.arange(-near, near + 1), 1, 2 * reach - 1)
    values = np.take_along_axis(gcc, window, -1)
    best = np.take_along_axis(window, values.argmax(axis=-1)[..., None], -1)
    return (best - reach + parabolic_offset(gcc, best)) * step
