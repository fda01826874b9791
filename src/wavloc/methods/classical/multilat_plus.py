"""Multilateration with starts from a TDOA map and from RANSAC, and a choice by likelihood.

Where the sound itself is given, the GCC at all lags decides between candidates: in reverberation
its sum at a position tells more than its few peaks do.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.features import delays as measured
from wavloc.features.gcc import find_peaks
from wavloc.frames import Frames
from wavloc.methods.base import Method as Base
from wavloc.methods.classical.solvers import modes, ransac, steered, tdoa_map
from wavloc.methods.classical.solvers.problem import Problem, build, cost, from_frames, keep_lowest
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """Whitening exponent and band were chosen on simulated training rooms, not on test data."""

    peaks: int = 4  # candidates per pair
    exponent: float = 0.75  # of the whitening; 1 = PHAT
    low_hz: float = 100.0
    high_hz: float = 7500.0
    oversample: int = 4
    min_distance: float = 5.0  # samples between candidates
    starts: int = 8  # from the map
    spacing_m: float = 0.25  # of the map
    kernel_m: float = 0.25  # half-width of the kernel around each delay
    draws: int = 300  # RANSAC draws where pairs have several candidates
    draws_single: int = 40  # where they have one
    kept: int = 8  # best draws that are refined
    finalists: int = 16  # candidates that are compared by likelihood
    rank_priors: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)  # prior of each candidate
    power_spacing_m: float = 0.16  # of the grid of steered power
    power_starts: int = 160  # its cells that are followed
    climb_m: float = 0.0125  # first step of the climb to the highest steered power
    peak_inlier_m: float = 0.04  # how far the peak of a pair may be from the maximum of the power
    inlier_m: float = 0.10  # inlier threshold and truncation of the cost
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
        block = problem[start : start + options.block]
        points = candidates(block, options, seed)
        position[start : start + options.block] = modes.best_mode(
            block, points, options.inlier_m, options.finalists, options.rank_priors
        )
    status, covariance = modes.status_and_covariance(problem, position, options.inlier_m)
    return position, status, covariance


def candidates(problem: Problem, options: Options, seed: int) -> np.ndarray:
    """Candidate positions (n, K, 3): cells of the TDOA map and RANSAC draws."""
    cells = tdoa_map.starts(problem, options.spacing_m, options.kernel_m, options.starts)
    count = options.draws if problem.ranges.shape[2] > 1 else options.draws_single
    drawn = ransac.hypotheses(problem, count, seed, options.rank_priors)
    drawn = keep_lowest(drawn, cost(problem, drawn, 2 * options.inlier_m), options.kept)
    # Cells and half of the draws are moved to the mode around them; the draws themselves stay
    # candidates too, since two sets of delays can meet a few centimetres apart.
    coarse = np.concatenate([cells, drawn[:, ::2]], axis=1)
    refined = modes.refine_starts(problem, coarse, options.inlier_m)
    return np.concatenate([refined, drawn], axis=1)


def solve_frames(
    frames: Frames, block: slice, options: Options, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `solve` for some frames; the steered power chooses between candidates."""
    gcc, limit = measured.correlate(frames, block, options)
    delays = find_peaks(gcc, limit, options.peaks, options.oversample, options.min_distance)[0]
    problem = from_frames(frames, block, delays, options.margin_m, options.floor_m)
    gcc = measured.mask_impossible(gcc, limit, options.oversample)
    step = steered.metres_per_lag(frames, options.oversample)
    maxima = steered.coarse_to_fine(
        problem, gcc, step, options.power_spacing_m, options.power_starts, options.climb_m
    )
    points = np.concatenate([candidates(problem, options, seed), maxima], axis=1)
    position = steered.maximum(problem, gcc, step, problem.clip(points), options.climb_m)
    position = steered.refine_on_peaks(problem, gcc, step, position, options.peak_inlier_m)
    return position, *modes.status_and_covariance(problem, position, options.peak_inlier_m)


class Method(Base):
    """GCC-PHAT peaks; TDOA map and RANSAC starts; steered power; least squares on the peaks."""

    label = "Multilat+"
    reference = "wavloc; after the RANSAC of Berg et al. 2024 (Multilat)"
    input_types = "GCC-PHAT"
    Options = Options

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        options, seed = self.options, self.seed
        return self.in_blocks(
            frames, options.block, lambda block: solve_frames(frames, block, options, seed)
        )
