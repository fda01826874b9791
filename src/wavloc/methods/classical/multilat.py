"""Multilat of the wav2pos paper: GCC-PHAT, four peaks, RANSAC over minimal samples, inlier count.

Faithful in the draws (any three delays, eight roots), in the score, in the least squares on the
inliers of the best draw, and in its guards: it refuses frames with 10 or fewer delays and positions
with fewer than 10 inliers.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.methods.classical.solvers import generic, ransac
from wavloc.methods.classical.solvers.delay_method import DelayMethod
from wavloc.methods.classical.solvers.problem import FAR, Problem, anywhere, build, inliers
from wavloc.methods.classical.solvers.refine import covariance, refine


@dataclasses.dataclass(frozen=True)
class Options:
    """Values of the paper's public multilateration routine."""

    peaks: int = 4
    exponent: float = 1.0  # PHAT
    low_hz: float = 0.0
    high_hz: float = 8000.0
    oversample: int = 1
    apart: float = 1.0  # samples between candidates; 1 = any local maximum
    draws: int = 100  # of three delays each
    width_m: float = 0.10  # residual of an inlier, metres
    steps: int = 10  # of least squares on the inliers
    paper_guards: bool = True
    min_entries: int = 11  # finite delays, all candidates counted
    min_inliers: int = 10
    block: int = 16


def solve(
    delays: np.ndarray,
    mics: np.ndarray,
    sample_rate: int,
    speed: float,
    options: Options | None = None,
    seed: int = 0,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (n, 3) metres, status (n,), covariance (n, 3, 3); bounds are not used."""
    options = options or Options()
    problem = anywhere(build(delays, mics, sample_rate, speed))
    position = np.empty((len(problem), 3))
    support = np.empty(len(problem), int)
    for start in range(0, len(problem), options.block):
        block = problem[start : start + options.block]
        points = generic.hypotheses(block, options.draws, seed)
        best = ransac.best(points, -inliers(block, points, options.width_m), 1)
        best = refine(on_inliers(block, best, options.width_m), best, [present] * options.steps)
        rows = slice(start, start + options.block)
        position[rows] = best[:, 0]
        support[rows] = inliers(block, best, options.width_m)[:, 0]
    status = np.full(len(problem), "ok", dtype=object)
    few = problem.present.sum(axis=(1, 2)) < options.min_entries
    if options.paper_guards:
        status[support < options.min_inliers] = "low_support"
        status[few] = "too_few_entries"
        position[status != "ok"] = np.nan
    lost = ~np.isfinite(position).all(axis=1) | (np.abs(position) > 1e3).any(axis=1)
    position[lost] = np.nan
    status[lost & (status == "ok")] = "no_hypothesis"
    return position, status, covariance(problem, position, options.width_m)


def on_inliers(problem: Problem, points: np.ndarray, width: float) -> Problem:
    """The problem with only the delays that agree with positions (n, 1, 3), one per pair.

    The choice is made once: the public routine does not choose again while it refines.
    """
    residual = problem.residuals(points)[:, 0]
    agreed = problem.differences(points)[:, 0] - residual
    ranges = np.where(np.abs(residual) < width, agreed, FAR)[..., None]
    return dataclasses.replace(problem, ranges=ranges)


def present(residual: np.ndarray) -> np.ndarray:
    """Weight 1 of every delay that is there: plain least squares."""
    return (np.abs(residual) < FAR / 10).astype(float)


class Method(DelayMethod):
    """GCC-PHAT with four peaks per pair; 100 RANSAC draws; inlier count; the paper's guards."""

    label = "Multilat"
    reference = "Berg et al. 2024 (wav2pos), Multilat"
    Options = Options
    solver = staticmethod(solve)
