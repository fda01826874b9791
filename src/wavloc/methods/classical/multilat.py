"""Multilat of the wav2pos paper: GCC-PHAT, four peaks, RANSAC over minimal samples, inlier count.

As the paper's public routine, which refuses frames with 10 or fewer delays and positions with fewer
than 10 inliers.
"""

import dataclasses
import functools

import numpy as np

from wavloc.methods.classical.solvers import delay_method, quadrics
from wavloc.methods.classical.solvers.delay_method import DelayMethod, DelayOptions, Solution
from wavloc.methods.classical.solvers.problem import FAR, Problem, inliers, keep_lowest
from wavloc.methods.classical.solvers.refine import covariance, ordinary, refine


@dataclasses.dataclass(frozen=True)
class Options(DelayOptions):
    """Values of the paper's public multilateration routine."""

    peaks: int = 4
    exponent: float = 1.0
    low_hz: float = 0.0
    high_hz: float = 8000.0
    oversample: int = 1
    min_distance: float = 1.0  # any local maximum
    draws: int = 100  # of three delays each
    steps: int = 10  # of least squares on the inliers
    paper_guards: bool = True  # refuse below the next two
    min_entries: int = 11  # delays, all candidates counted
    min_inliers: int = 10


def locate(problem: Problem, options: Options, seed: int) -> Solution:
    """The best of random draws, refined by least squares on its inliers."""
    points = quadrics.hypotheses(problem, options.draws, seed)
    best = keep_lowest(points, -inliers(problem, points, options.inlier_m), 1)
    agreeing = on_inliers(problem, best, options.inlier_m)
    best = refine(agreeing, best, [ordinary] * options.steps)
    position, support = best[:, 0], inliers(problem, best, options.inlier_m)[:, 0]
    status = np.full(len(problem), "ok", dtype=object)
    if options.paper_guards:
        status[support < options.min_inliers] = "low_support"
        status[problem.present.sum(axis=(1, 2)) < options.min_entries] = "too_few_entries"
        position[status != "ok"] = np.nan
    failed = ~np.isfinite(position).all(axis=1) | (np.abs(position) > 1e3).any(axis=1)
    position[failed] = np.nan
    status[failed & (status == "ok")] = "no_hypothesis"
    return position, status, covariance(problem, position, options.inlier_m)


solve = functools.partial(delay_method.solve_delays, locate, Options())


def on_inliers(problem: Problem, points: np.ndarray, inlier_m: float) -> Problem:
    """The problem with only the delays that agree with positions (n, 1, 3), one per pair; chosen
    once, as the public routine does not choose again while it refines.
    """
    residual = problem.residuals(points)[:, 0]
    measured = problem.differences(points)[:, 0] - residual
    ranges = np.where(np.abs(residual) < inlier_m, measured, FAR)[..., None]
    return dataclasses.replace(problem, ranges=ranges)


class Method(DelayMethod):
    """GCC-PHAT with four peaks per pair; 100 RANSAC draws; inlier count; the paper's guards."""

    Options = Options
    locate = staticmethod(locate)
