"""Multilateration with starts from a TDOA map and from RANSAC, and a choice by likelihood.

Where the sound itself is given, the GCC at all lags decides between candidates: in reverberation
its sum at a position tells more than its few peaks do.
"""

import dataclasses
import functools

import numpy as np

from wavloc.features import delays
from wavloc.frames import Frames
from wavloc.methods.classical import confidence
from wavloc.methods.classical.confidence import Measured
from wavloc.methods.classical.delay_method import Solution, solve_delays
from wavloc.methods.classical.solvers import modes, ransac, steered, tdoa_map
from wavloc.methods.classical.solvers.problem import Problem, cost, from_frames, keep_lowest


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
    min_confidence: float = 0.6  # below it a position is `uncertain`
    block: int = 16  # frames solved together; fits the cache


def locate(problem: Problem, options: Options, seed: int) -> Solution:
    """The most probable candidate, where delays alone are given."""
    points = candidates(problem, options, seed)
    return modes.best_mode(
        problem, points, options.inlier_m, options.finalists, options.rank_priors
    )


solve = functools.partial(solve_delays, locate, Options())


def candidates(problem: Problem, options: Options, seed: int) -> np.ndarray:
    """Candidate positions (n, K, 3): cells of the TDOA map and RANSAC draws."""
    cells = tdoa_map.starts(problem, options.spacing_m, options.kernel_m, options.starts)
    if problem.fixed.any():  # no draw of four microphones meets in the plane
        return modes.refine_starts(problem, cells, options.inlier_m)
    count = options.draws if problem.ranges.shape[2] > 1 else options.draws_single
    drawn = ransac.hypotheses(problem, count, seed, options.rank_priors)
    drawn = keep_lowest(drawn, cost(problem, drawn, 2 * options.inlier_m), options.kept)
    # Cells and half of the draws are moved to the mode around them; the draws themselves stay
    # candidates too, since two sets of delays can meet a few centimetres apart.
    coarse = np.concatenate([cells, drawn[:, ::2]], axis=1)
    refined = modes.refine_starts(problem, coarse, options.inlier_m)
    return np.concatenate([refined, drawn], axis=1)


def measure_by_sound(frames: Frames, block: slice, options: Options, seed: int) -> Measured:
    """What is found in some frames; steered power chooses the candidate."""
    field = steered.of_frames(frames, block, options, options.peaks)
    maxima = field.coarse_to_fine(options.power_spacing_m, options.power_starts, options.climb_m)
    points = np.concatenate([candidates(field.problem, options, seed), maxima], axis=1)
    points = field.problem.clip(points)
    position = field.maximum(points, options.climb_m)
    position = field.refine_on_peaks(position, options.peak_inlier_m)
    status, covariance = modes.status_and_covariance(field.problem, position, options.peak_inlier_m)
    quantities = confidence.of_power(
        field, position, points, options.climb_m, options.peak_inlier_m
    )
    return (position, status, covariance), quantities


def locate_by_delays(frames: Frames, block: slice, options: Options, seed: int) -> Solution:
    """As `locate`, for measured arrival times."""
    problem = from_frames(frames, block, delays.peaks(frames, block, options))
    return locate(problem, options, seed)


class Method(confidence.ConfidentMethod):
    """GCC-PHAT peaks; TDOA map and RANSAC starts; steered power; least squares on the peaks."""

    Options = Options
    searches = True

    def measure(self, frames: Frames, block: slice) -> Measured:
        if frames.arrivals is None:
            return measure_by_sound(frames, block, self.options, self.seed)
        return locate_by_delays(frames, block, self.options, self.seed), None
