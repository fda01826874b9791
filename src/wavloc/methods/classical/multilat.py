"""Multilat of the wav2pos paper: GCC-PHAT, four peaks, RANSAC over minimal samples, inlier count.

As the paper's public routine: it draws any three delays (eight roots), counts inliers, refines the
best draw by least squares on its inliers, and refuses frames with 10 or fewer delays and positions
with fewer than 10 inliers.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.methods.classical.solvers import quadrics
from wavloc.methods.classical.solvers.delay_method import DelayMethod
from wavloc.methods.classical.solvers.problem import FAR, Problem, build, inliers, keep_lowest
from wavloc.methods.classical.solvers.refine import covariance, ordinary, refine


@dataclasses.dataclass(frozen=True)
class Options:
    """Values of the paper's public multilateration routine."""

    peaks: int = 4
    exponent: float = 1.0  # PHAT
    low_hz: float = 0.0
    high_hz: float = 8000.0
    oversample: int = 1
    min_distance: float = 1.0  # samples between candidates; 1 = any local maximum
    draws: int = 100  # of three delays each
    inlier_m: float = 0.10
    steps: int = 10  # of least squares on the inliers
    paper_guards: bool = True  # refuse below the next two
    min_entries: int = 11  # delays, all candidates counted
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
    problem = build(delays, mics, sample_rate, speed)
    position = np.empty((len(problem), 3))
    support = np.empty(len(problem), int)
    for start in range(0, len(problem), options.block):
        rows = slice(start, start + options.block)
        block = problem[rows]
        points = quadrics.hypotheses(block, options.draws, seed)
        best = keep_lowest(points, -inliers(block, points, options.inlier_m), 1)
        agreeing = on_inliers(block, best, options.inlier_m)
        best = refine(agreeing, best, [ordinary] * options.steps)
        position[rows] = best[:, 0]
        support[rows] = inliers(block, best, options.inlier_m)[:, 0]
    status = np.full(len(problem), "ok", dtype=object)
    if options.paper_guards:
        status[support < options.min_inliers] = "low_support"
        status[problem.present.sum(axis=(1, 2)) < options.min_entries] = "too_few_entries"
        position[status != "ok"] = np.nan
    failed = ~np.isfinite(position).all(axis=1) | (np.abs(position) > 1e3).any(axis=1)
    position[failed] = np.nan
    status[failed & (status == "ok")] = "no_hypothesis"
    return position, status, covariance(problem, position, options.inlier_m)


def on_inliers(problem: Problem, points: np.ndarray, inlier_m: float) -> Problem:
    """The problem with only the delays that agree with positions (n, 1, 3), one per pair.

    They are chosen once: the public routine does not choose again while it refines.
    """
    residual = problem.residuals(points)[:, 0]
    measured = problem.differences(points)[:, 0] - residual
    ranges = np.where(np.abs(residual) < inlier_m, measured, FAR)[..., None]
    return dataclasses.replace(problem, ranges=ranges)


class Method(DelayMethod):
    """GCC-PHAT with four peaks per pair; 100 RANSAC draws; inlier count; the paper's guards."""

    label = "Multilat"
    reference = "Berg et al. 2024 (wav2pos), Multilat"
    Options = Options
    solver = staticmethod(solve)
