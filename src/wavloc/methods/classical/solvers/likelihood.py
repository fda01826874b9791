"""Likelihood of positions: a delay is right with a prior probability, else uniform over what its
pair allows.

It compares hypotheses better than a count of inliers: agreement of a close pair, whose delay can
hardly be anything else, is worth less than that of a wide one, and a strong peak more than a weak
one.
"""

import numpy as np

from wavloc.methods.classical.solvers.problem import Problem
from wavloc.methods.classical.solvers.refine import refine

SIGMA_M = (0.008, 0.05)  # bounds of the standard deviation of right delays, metres
# Prior of that deviation, one sample at 16 kHz, and the number of residuals it counts as; the
# number was chosen on generated tables of delays.
PRIOR_SIGMA_M, PRIOR_WEIGHT = 0.02, 12
INLIER_PRIOR = 0.5  # probability that one candidate of a pair is right


def log_likelihood_ratio(
    problem: Problem, points: np.ndarray, sigma: np.ndarray, rank_priors: tuple[float, ...]
) -> np.ndarray:
    """Log likelihood of positions (n, K, 3) over that of uniformly random delays: (n, K).

    sigma: (n, K) standard deviation of right delays in metres; rank_priors: how probably the
    candidate of each rank is the right one.
    """
    predicted = problem.differences(points)
    priors = np.array(rank_priors[: problem.ranges.shape[2]])
    priors = priors / priors.sum()
    inverse = 1 / sigma[..., None]
    density = np.zeros_like(predicted)
    for rank, prior in enumerate(priors):  # H <= 4
        deviation = (predicted - problem.ranges[:, None, :, rank]) * inverse
        density += prior * np.exp(-0.5 * np.square(deviation))
    return np.log1p(_odds(problem)[:, None] * inverse * density).sum(axis=-1)


def residual_std(problem: Problem, points: np.ndarray, inlier_m: float) -> np.ndarray:
    """Standard deviation (n, K) in metres of the residuals within ``inlier_m``, in `SIGMA_M`."""
    residual = problem.residuals(points)
    inlier = np.abs(residual) < inlier_m
    # The prior counts: with few pairs a wrong position can fit them by chance.
    freedom = np.maximum(inlier.sum(axis=-1) - 3, 0) + PRIOR_WEIGHT
    total = (np.square(residual) * inlier).sum(axis=-1) + PRIOR_WEIGHT * PRIOR_SIGMA_M**2
    return np.clip(np.sqrt(total / freedom), *SIGMA_M)


def refine_by_probability(
    problem: Problem, points: np.ndarray, sigma: np.ndarray, steps: int
) -> np.ndarray:
    """Least squares in which each delay weighs as much as it is probably right (EM)."""
    odds = _odds(problem)[:, None] / sigma[..., None]

    def weight(residual: np.ndarray) -> np.ndarray:
        density = odds * np.exp(-0.5 * np.square(residual / sigma[..., None]))
        return density / (1 + density)

    return refine(problem, points, [weight] * steps)


def _odds(problem: Problem) -> np.ndarray:
    """Prior odds of a right delay times its peak density over that of a random one, without the
    factor 1 / sigma: (n or 1, P) metres.
    """
    possible = 2 * problem.spans  # where a random delay is uniform
    return INLIER_PRIOR / (1 - INLIER_PRIOR) / np.sqrt(2 * np.pi) * possible
