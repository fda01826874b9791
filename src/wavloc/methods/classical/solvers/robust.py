"""From starting points to a position: pull, least squares on inliers, choice by likelihood."""

from __future__ import annotations

import numpy as np

from wavloc.methods.classical.solvers import likelihood, ransac
from wavloc.methods.classical.solvers.problem import Problem, cost
from wavloc.methods.classical.solvers.refine import biweight, covariance, refine, truncated


def pull(problem: Problem, points: np.ndarray, width: float) -> np.ndarray:
    """Draw coarse starts (n, K, 3) to the mode around them, within the box."""
    steps = [biweight(factor * width) for factor in (6, 5, 4, 3, 2)]
    return _inside(problem, refine(problem, points, steps))


def finish(
    problem: Problem,
    points: np.ndarray,
    width: float,
    finalists: int,
    shares: tuple[float, ...],
) -> np.ndarray:
    """Probable position (n, 3) from starts (n, K, 3), each refined on its inliers."""
    points = _inside(problem, refine(problem, points, [truncated(width)]))
    points = ransac.best(points, cost(problem, points, width), finalists)
    points = _inside(problem, refine(problem, points, [truncated(width)] * 2))
    for _ in range(2):  # narrower once nearer
        sigma = likelihood.spread(problem, points, width)
        points = _inside(problem, likelihood.polish(problem, points, sigma, 3))
    score = likelihood.log_ratio(problem, points, sigma, shares)
    return likelihood.mean_of_modes(points, score)


def verdict(problem: Problem, position: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Status (n,) and covariance (n, 3, 3); positions that too few delays support become NaN.

    Fewer than three agreeing delays fix no position: ``no_hypothesis``. Fewer than six, or than
    15 % of the pairs: ``low_support``, a position to be doubted.
    """
    support = (np.abs(problem.residuals(position[:, None])[:, 0]) < width).sum(axis=1)
    status = np.full(len(problem), "ok", dtype=object)
    status[support < np.maximum(6, 0.15 * len(problem.first))] = "low_support"
    hopeless = ~(support >= 3)
    status[hopeless] = "no_hypothesis"
    position[hopeless] = np.nan
    return status, covariance(problem, position, width)


def _inside(problem: Problem, points: np.ndarray) -> np.ndarray:
    return np.clip(points, problem.low[:, None], problem.high[:, None])
