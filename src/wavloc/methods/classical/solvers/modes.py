"""From starting points to one position: modes of the fit, their choice, its status."""

import numpy as np

from wavloc.methods.classical.solvers import likelihood
from wavloc.methods.classical.solvers.problem import Problem, cost, keep_lowest
from wavloc.methods.classical.solvers.refine import biweight, covariance, refine, truncated

SAME_M = 0.02  # modes closer than this are one
AVERAGED_M = 1.0  # modes this close to the most probable one are averaged


def refine_starts(problem: Problem, points: np.ndarray, inlier_m: float) -> np.ndarray:
    """Coarse starts (n, K, 3), each moved to the mode around it."""
    weights = [biweight(factor * inlier_m) for factor in (6, 5, 4, 3, 2)]
    return problem.clip(refine(problem, points, weights))


def best_mode(
    problem: Problem,
    points: np.ndarray,
    inlier_m: float,
    finalists: int,
    rank_priors: tuple[float, ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position (n, 3), status and covariance from starts (n, K, 3), each refined on its inliers;
    the ``finalists`` of lowest cost are compared by likelihood.
    """
    points = problem.clip(refine(problem, points, [truncated(inlier_m)]))
    points = keep_lowest(points, cost(problem, points, inlier_m), finalists)
    points = problem.clip(refine(problem, points, [truncated(inlier_m)] * 2))
    for _ in range(2):  # sigma shrinks as positions improve
        sigma = likelihood.residual_std(problem, points, inlier_m)
        points = problem.clip(likelihood.refine_by_probability(problem, points, sigma, 3))
    score = likelihood.log_likelihood_ratio(problem, points, sigma, rank_priors)
    position = mean_of_modes(points, score)
    return position, *status_and_covariance(problem, position, inlier_m)


def mean_of_modes(points: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Mean (n, 3) of the modes near the most probable one, weighted by probability.

    points (n, K, 3) with log probabilities score (n, K). With few microphones the posterior can be
    a long valley with several modes of nearly equal height; their mean has a smaller squared error
    than any one of them.
    """
    distance = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    duplicates = (distance < SAME_M).sum(axis=-1)  # starts that reached the same mode count once
    best = score.argmax(axis=1)[:, None]
    weight = np.exp(score - np.take_along_axis(score, best, 1)) / duplicates
    weight *= np.take_along_axis(distance, best[..., None], 1)[:, 0] < AVERAGED_M
    return np.einsum("nk,nkd->nd", weight, points) / weight.sum(axis=1, keepdims=True)


def status_and_covariance(
    problem: Problem, position: np.ndarray, inlier_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """Status (n,) and covariance (n, 3, 3) of positions (n, 3), by the delays that support them.

    Fewer than three inliers fix no position: ``no_hypothesis``, and the position becomes NaN (in
    place). Fewer than six, or than 15 % of the pairs: ``low_support``, a doubtful position.
    """
    support = (np.abs(problem.residuals(position[:, None])[:, 0]) < inlier_m).sum(axis=1)
    status = np.full(len(problem), "ok", dtype=object)
    few = min(6, len(problem.first))  # three microphones in a plane have three pairs
    status[support < np.maximum(few, 0.15 * len(problem.first))] = "low_support"
    failed = ~(support >= 3)
    status[failed] = "no_hypothesis"
    position[failed] = np.nan
    return status, covariance(problem, position, inlier_m)
