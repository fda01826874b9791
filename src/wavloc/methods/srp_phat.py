"""SRP-PHAT (DiBiase 2000): steered response power on a grid, then finer around its tops."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.ndimage

from wavloc.features import delays as measured
from wavloc.frames import Frames
from wavloc.methods.base import Method as Base
from wavloc.methods.predictions import Predictions
from wavloc.methods.solvers import robust, tdoa_map
from wavloc.methods.solvers.problem import FAR, Problem, build
from wavloc.methods.solvers.refine import refine, truncated
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """Whitening exponent and band were chosen on simulated training rooms, not on test data."""

    exponent: float = 0.8
    low_hz: float = 200.0
    high_hz: float = 7500.0
    oversample: int = 4
    spacing_m: float = 0.25  # of the first grid; halved at each of the next levels
    levels: int = 5
    starts: int = 8  # cells followed to the finer levels
    margin_m: float = 0.5
    floor_m: float = 1.0
    width_m: float = 0.10  # how far a pair's own peak may be from the power's maximum
    block: int = 8


class Method(Base):
    """Power steered over a grid through an integer lag table; coarse to fine; peaks at the end."""

    label = "SRP-PHAT"
    reference = "DiBiase 2000"
    input_types = "GCC-PHAT"
    Options = Options

    def locate(self, frames: Frames, setup: Setup) -> Predictions:
        covariance = np.full((len(frames), 3, 3), np.nan)

        def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
            position, status, covariance[block] = self._solve(frames, block)
            return position, status

        predictions = self.in_blocks(frames, self.options.block, of_block)
        predictions.covariance = covariance
        return predictions

    def _solve(self, frames: Frames, block: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        options = self.options
        rows, limit = measured.rows(frames, block, options)
        unusable = ~np.isfinite(rows[..., 0]) | (limit == 0)
        rows = np.where(unusable[..., None], 0, rows)
        shared = frames.mic_positions.ndim == 2
        problem = build(
            np.zeros((*rows.shape[:2], 1)),
            frames.mic_positions if shared else frames.mics(block),
            frames.sample_rate,
            frames.speed_of_sound,
            options.margin_m,
            options.floor_m,
            frames.room_bounds,
        )
        step = frames.speed_of_sound / frames.sample_rate / options.oversample  # metres a lag
        points = tdoa_map.starts_on_rows(
            problem,
            _smooth(rows, options.spacing_m / step),
            step,
            options.spacing_m,
            options.starts,
        )
        spacing = options.spacing_m
        for _ in range(options.levels):
            spacing /= 2
            power = _smooth(rows, spacing / step)
            for _ in range(2):  # twice, so that a cell's edge can be crossed
                points = _climb(problem, power, step, points, spacing)
        best = _power(problem, _smooth(rows, 2 * step / step), step, points).argmax(axis=1)
        points = points[np.arange(len(points)), best][:, None]
        problem.ranges = _own_peaks(problem, rows, step, points, options.width_m)
        problem.ranges[unusable] = FAR
        points = refine(problem, points, [truncated(options.width_m / 2)] * 6)
        position = np.clip(points[:, 0], problem.low, problem.high)
        status, covariance = robust.verdict(problem, position, options.width_m)
        return position, status, covariance


def _smooth(rows: np.ndarray, width: float) -> np.ndarray:
    """Rows (B, P, L) seen through a triangle of half-width ``width`` lags; negative parts count."""
    size = max(1, round(width))
    for _ in range(2 if size > 1 else 0):
        rows = scipy.ndimage.uniform_filter1d(rows, size, axis=-1, mode="constant")
    return rows


def _power(problem: Problem, rows: np.ndarray, step: float, points: np.ndarray) -> np.ndarray:
    """Steered power of positions (B, K, 3): rows at the lags they imply, summed: (B, K)."""
    reach = rows.shape[-1] // 2
    lag = np.rint(problem.differences(points) / step).astype(np.int64)  # (B, K, P)
    index = np.clip(lag + reach, 0, 2 * reach) + np.arange(rows.shape[1]) * rows.shape[-1]
    flat = rows.reshape(len(rows), -1)
    return np.take_along_axis(flat, index.reshape(len(rows), -1), 1).reshape(index.shape).sum(-1)


def _climb(
    problem: Problem, rows: np.ndarray, step: float, points: np.ndarray, spacing: float
) -> np.ndarray:
    """Move each position (B, K, 3) to the best of itself and its 26 neighbours."""
    offsets = spacing * np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    around = points[:, :, None] + offsets
    around = np.clip(around, problem.low[:, None, None], problem.high[:, None, None])
    power = _power(problem, rows, step, around.reshape(len(points), -1, 3))
    best = power.reshape(*points.shape[:2], len(offsets)).argmax(axis=-1)
    return np.take_along_axis(around, best[..., None, None], 2)[:, :, 0]


def _own_peaks(
    problem: Problem, rows: np.ndarray, step: float, points: np.ndarray, width: float
) -> np.ndarray:
    """Each pair's highest value within ``width`` metres of what a position implies: (B, P, 1) m.

    A parabola through the top gives the fraction of a lag.
    """
    reach, near = rows.shape[-1] // 2, int(np.ceil(width / step))
    lag = np.rint(problem.differences(points)[:, 0] / step).astype(np.int64) + reach
    window = np.clip(lag[..., None] + np.arange(-near, near + 1), 1, 2 * reach - 1)
    values = np.take_along_axis(rows, window, -1)
    top = np.take_along_axis(window, values.argmax(axis=-1)[..., None], -1)
    left, middle, right = (np.take_along_axis(rows, top + k, -1) for k in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = 0.5 * (left - right) / (left - 2 * middle + right)
    offset = np.where(np.isfinite(offset) & (np.abs(offset) <= 1), offset, 0)
    return (top - reach + offset) * step
