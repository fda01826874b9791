"""Multilateration with starts from a TDOA map and from RANSAC, and a choice by likelihood."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.features import delays as measured
from wavloc.frames import Frames
from wavloc.methods.base import Method as Base
from wavloc.methods.predictions import Predictions
from wavloc.methods.solvers import ransac, robust, tdoa_map
from wavloc.methods.solvers.problem import Problem, build, cost
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """Whitening exponent and band were chosen on simulated training rooms, not on test data."""

    peaks: int = 4  # candidates per pair
    exponent: float = 0.8  # of the whitening; 1 = PHAT
    low_hz: float = 200.0
    high_hz: float = 7500.0
    oversample: int = 4
    starts: int = 8  # from the map
    spacing_m: float = 0.25  # of the map
    kernel_m: float = 0.25  # half-width of the kernel around each delay
    draws: int = 300  # RANSAC draws where pairs have several candidates
    draws_single: int = 40  # where they have one
    kept: int = 8  # best draws that are refined
    finalists: int = 8  # candidates that are compared by likelihood
    rank_shares: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)  # prior of each candidate
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
    cells = tdoa_map.starts(problem, options.spacing_m, options.kernel_m, options.starts)
    count = options.draws if problem.ranges.shape[2] > 1 else options.draws_single
    drawn = ransac.hypotheses(problem, count, seed, options.rank_shares)
    drawn = ransac.best(drawn, cost(problem, drawn, 2 * options.width_m), options.kept)
    # Cells and half of the draws are pulled to the mode around them; the draws themselves stay
    # candidates too, since two sets of delays can meet a few centimetres apart.
    pulled = robust.pull(problem, np.concatenate([cells, drawn[:, ::2]], axis=1), options.width_m)
    points = np.concatenate([pulled, drawn], axis=1)
    return robust.finish(problem, points, options.width_m, options.finalists, options.rank_shares)


class Method(Base):
    """GCC-PHAT peaks; TDOA map and RANSAC starts; least squares on probable inliers."""

    label = "Multilat+"
    reference = "wavloc; after the RANSAC of Berg et al. 2024 (Multilat)"
    input_types = "GCC-PHAT"
    Options = Options
    solver = staticmethod(solve)

    def locate(self, frames: Frames, setup: Setup) -> Predictions:
        covariance = np.full((len(frames), 3, 3), np.nan)

        def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
            position, status, covariance[block] = self.solver(
                measured.peaks(frames, block, self.options, self.options.peaks),
                frames.mic_positions if frames.mic_positions.ndim == 2 else frames.mics(block),
                frames.sample_rate,
                frames.speed_of_sound,
                self.options,
                self.seed,
                frames.room_bounds,
            )
            return position, status

        predictions = self.in_blocks(frames, self.options.block, of_block)
        predictions.covariance = covariance
        return predictions
