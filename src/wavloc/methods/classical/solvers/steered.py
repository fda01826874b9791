"""Steered response power: the GCC of all pairs, summed at the delays that a position implies.

The signed sum of the GCC tells right from wrong positions far better in reverberation than any
count of peaks: at a wrong position positive and negative values cancel. It is smooth over only a
centimetre or two, so coarse steps take the GCC's sliding maximum instead.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d

from wavloc.features import delays
from wavloc.features.gcc import find_peaks, parabolic_offset
from wavloc.frames import Frames
from wavloc.methods.classical.solvers import tdoa_map
from wavloc.methods.classical.solvers.problem import FAR, Problem, from_frames, keep_lowest
from wavloc.methods.classical.solvers.refine import refine, truncated

_NEIGHBOURS = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)


@dataclasses.dataclass
class SteeredPower:
    """gcc (n, P, L) of a problem's pairs, ``step`` metres of range difference between lags."""

    problem: Problem
    gcc: np.ndarray
    step: float

    @property
    def reach(self) -> int:
        """Lags to each side of 0."""
        return self.gcc.shape[-1] // 2

    def power(self, points: np.ndarray) -> np.ndarray:
        """Steered power (n, K) of positions (n, K, 3)."""
        lag = np.rint(self.problem.differences(points) / self.step).astype(np.int64)  # (n, K, P)
        index = np.clip(lag + self.reach, 0, 2 * self.reach)
        index += np.arange(self.gcc.shape[1]) * self.gcc.shape[-1]
        count = len(self.gcc)
        flat = np.take_along_axis(self.gcc.reshape(count, -1), index.reshape(count, -1), 1)
        return flat.reshape(index.shape).sum(-1)

    def climb(self, points: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions (n, K, 3), each moved to the best of itself and its 26 neighbours, and their
        power.
        """
        step = np.multiply(spacing, self.problem.scale(points))
        around = points[:, :, None] + step[..., None, None] * _NEIGHBOURS
        around = self.problem.clip(around.reshape(len(points), -1, 3)).reshape(around.shape)
        value = self.power(around.reshape(len(points), -1, 3)).reshape(around.shape[:-1])
        best = value.argmax(axis=-1)[..., None]
        moved = np.take_along_axis(around, best[..., None], 2)[:, :, 0]
        return moved, np.take_along_axis(value, best, 2)[..., 0]

    def smoothed(self, width_m: float) -> SteeredPower:
        """The same with the largest value of the GCC in a window about each lag."""
        size = 2 * int(width_m / self.step / 2) + 1
        if size < 3:
            return self
        gcc = maximum_filter1d(self.gcc, size, axis=-1, mode="constant")
        return dataclasses.replace(self, gcc=gcc)

    def coarse_to_fine(self, spacing: float, count: int, finest: float) -> np.ndarray:
        """Maxima (n, K, 3): ``count`` cells of a grid, followed through halved spacings."""
        if self.problem.shells:
            spacing = self.problem.shells.spacing(spacing)
        scores = np.maximum(self.smoothed(spacing).gcc, 0)
        points = tdoa_map.starts_from_scores(self.problem, scores, self.step, spacing, count)
        return self.followed(points, spacing, finest)

    def followed(self, points: np.ndarray, spacing: float, finest: float) -> np.ndarray:
        """Positions (n, K, 3) on a grid, followed through halved spacings down to ``finest``.

        Each level drops the weakest third.
        """
        while spacing > 2 * finest:
            spacing /= 2
            level = self.smoothed(spacing)
            points, _ = level.climb(points, spacing)
            points, value = level.climb(points, spacing)
            points = keep_lowest(points, -value, max(4, points.shape[1] * 2 // 3))
        return points

    def maximum(self, points: np.ndarray, spacing: float) -> np.ndarray:
        """Where the raw power is highest around positions (n, K, 3): (n, 3), to half a lag."""
        while spacing > self.step / 4:
            points, value = self.climb(points, spacing)
            points = keep_lowest(points, -value, max(4, points.shape[1] // 3))
            points, _ = self.climb(points, spacing)
            spacing /= 2
        points, value = self.climb(points, spacing)
        return keep_lowest(points, -value, 1)[:, 0]

    def refine_on_peaks(self, position: np.ndarray, inlier_m: float) -> np.ndarray:
        """Least squares on each pair's peak near a position (n, 3): finer than the lags.

        Stores the peaks in ``problem.ranges``, for support and covariance.
        """
        problem, silent = self.problem, np.abs(self.gcc).max(axis=-1) == 0
        ranges = self._peaks_near(position[:, None], inlier_m)
        problem.ranges = np.where(silent[..., None], FAR, ranges)
        refined = refine(problem, position[:, None], [truncated(inlier_m)] * 6)[:, 0]
        refined = np.clip(refined, problem.low, problem.high)
        # A few agreeing peaks can lead astray; the maximum of the power is kept then.
        scale = np.multiply(inlier_m, problem.scale(position))
        near = np.square(refined - position).sum(axis=1) < scale**2
        return np.where(near[:, None], refined, position)

    def _peaks_near(self, points: np.ndarray, inlier_m: float) -> np.ndarray:
        """Range difference (n, P, 1) of each pair's highest value within ``inlier_m`` of the one
        that a position (n, 1, 3) implies; a parabola gives the fraction of a lag.
        """
        reach, near = self.reach, int(np.ceil(inlier_m / self.step))
        difference = self.problem.differences(points)[:, 0]
        lag = np.rint(difference / self.step).astype(np.int64) + reach
        window = np.clip(lag[..., None] + np.arange(-near, near + 1), 1, 2 * reach - 1)
        values = np.take_along_axis(self.gcc, window, -1)
        best = np.take_along_axis(window, values.argmax(axis=-1)[..., None], -1)
        return (best - reach + parabolic_offset(self.gcc, best)) * self.step


def of_frames(frames: Frames, block: slice, options: Any, peaks: int = 0) -> SteeredPower:
    """Steered power of some frames, by the GCC at possible delays; the delays of its problem are
    the ``peaks`` strongest of each pair.
    """
    gcc, limit = delays.correlate(frames, block, options)
    found = np.zeros((*gcc.shape[:2], 1))
    if peaks:
        found = find_peaks(gcc, limit, peaks, options.oversample, options.min_distance)[0]
    gcc = delays.mask_impossible(gcc, limit, options.oversample)
    step = frames.speed_of_sound / frames.sample_rate / options.oversample
    return SteeredPower(from_frames(frames, block, found), gcc, step)
