"""Multilateration with starts from a TDOA map and from RANSAC, and a choice by likelihood."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.features import delays as measured
from wavloc.features import gcc
from wavloc.frames import Frames
from wavloc.methods.classical.solvers import ransac, robust, steered, tdoa_map
from wavloc.methods.classical.solvers.delay_method import DelayMethod
from wavloc.methods.classical.solvers.problem import Problem, build, cost


@dataclasses.dataclass(frozen=True)
class Options:
    """Whitening exponent and band were chosen on simulated training rooms, not on test data."""

    peaks: int = 4  # candidates per pair
    exponent: float = 0.75  # of the whitening; 1 = PHAT
    low_hz: float = 100.0
    high_hz: float = 7500.0
    oversample: int = 4
    apart: float = 5.0  # samples between candidates
    starts: int = 8  # from the map
    spacing_m: float = 0.25  # of the map
    kernel_m: float = 0.25  # half-width of the kernel around each delay
    draws: int = 300  # RANSAC draws where pairs have several candidates
    draws_single: int = 40  # where they have one
    kept: int = 8  # best draws that are refined
    finalists: int = 16  # candidates that are compared by likelihood
    rank_shares: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)  # prior of each candidate
    power_spacing_m: float = 0.16  # of the grid of steered power
    power_starts: int = 160  # its cells that are followed
    climb_m: float = 0.0125  # first step of the climb to the highest steered power
    settle_m: float = 0.04  # how far a pair's own peak may be from that place
    width_m: float = 0.10  # inlier threshold and truncation of the score
    margin_m: float = 0.5  # search box around the microphones if the room is unknown ...
    floor_m: float = 1.0  # ... and below the lowest one
    block: int = 16  # frames solved together; fits the cache


def solve(
    delays: np.ndarray,
    mics: np.ndarray,
    sample_rate: int,
    speed: float,
    options: Options | None = None,
    seed: int = 0,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (n, 3) metres, status (n,) and covariance (n, 3, 3) from delays in samples.

    delays (n, P) or (n, P, H), NaN = missing; mics (M, 3) or (n, M, 3); bounds: corners of the
    room if known, else the box around the microphones.
    """
    options = options or Options()
    problem = build(delays, mics, sample_rate, speed, options.margin_m, options.floor_m, bounds)
    position = np.empty((len(problem), 3))
    for start in range(0, len(problem), options.block):
        block = slice(start, start + options.block)
        position[block] = _solve_block(problem[block], options, seed)
    status, covariance = robust.verdict(problem, position, options.width_m)
    return position, status, covariance


def _solve_block(problem: Problem, options: Options, seed: int) -> np.ndarray:
    points = candidates(problem, options, seed)
    return robust.finish(problem, points, options.width_m, options.finalists, options.rank_shares)


def candidates(problem: Problem, options: Options, seed: int) -> np.ndarray:
    """Positions (n, K, 3) worth a closer look: cells of the TDOA map and RANSAC draws."""
    cells = tdoa_map.starts(problem, options.spacing_m, options.kernel_m, options.starts)
    count = options.draws if problem.ranges.shape[2] > 1 else options.draws_single
    drawn = ransac.hypotheses(problem, count, seed, options.rank_shares)
    drawn = ransac.best(drawn, cost(problem, drawn, 2 * options.width_m), options.kept)
    # Cells and half of the draws are pulled to the mode around them; the draws themselves stay
    # candidates too, since two sets of delays can meet a few centimetres apart.
    pulled = robust.pull(problem, np.concatenate([cells, drawn[:, ::2]], axis=1), options.width_m)
    return np.concatenate([pulled, drawn], axis=1)


class Method(DelayMethod):
    """GCC-PHAT peaks; TDOA map and RANSAC starts; least squares on probable inliers.

    Where the sound itself is at hand, the correlations at all lags decide between candidates: in
    reverberation their sum at a position tells far more than the few peaks do.
    """

    label = "Multilat+"
    reference = "wavloc; after the RANSAC of Berg et al. 2024 (Multilat)"
    Options = Options
    solver = staticmethod(solve)

    def locate_block(
        self, frames: Frames, block: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        options = self.options
        rows, limit = measured.rows(frames, block, options)
        delays = gcc.find_peaks(rows, limit, options.peaks, options.oversample, options.apart)[0]
        rows = measured.possible(rows, limit, options.oversample)
        problem = build(
            delays,
            measured.positions(frames, block),
            frames.sample_rate,
            frames.speed_of_sound,
            options.margin_m,
            options.floor_m,
            frames.room_bounds,
        )
        step = frames.speed_of_sound / frames.sample_rate / options.oversample
        places = steered.coarse_to_fine(
            problem, rows, step, options.power_spacing_m, options.power_starts, options.climb_m
        )
        points = np.concatenate([candidates(problem, options, self.seed), places], axis=1)
        points = np.clip(points, problem.low[:, None], problem.high[:, None])
        position = steered.top(problem, rows, step, points, options.climb_m)
        position = steered.settle(problem, rows, step, position, options.settle_m)
        return position, *robust.verdict(problem, position, options.settle_m)
