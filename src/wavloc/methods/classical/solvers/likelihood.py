"""How probable delays make a position: each is right with some share, else uniform over what is
possible for its pair. Compares hypotheses better than counting: agreement of a close pair, whose
delay can hardly be anything else, is worth less than that of a wide one, and a strongest peak more
than a weak one.
"""

from __future__ import annotations

import numpy as np

from wavloc.methods.classical.solvers.problem import Problem
from wavloc.methods.classical.solvers.refine import refine

SIGMA_M = (0.008, 0.05)  # least and largest standard deviation that is believed, metres
# One sample at 16 kHz, and how many residuals that belief is worth: the weight was chosen on
# generated tables of delays.
PRIOR_SIGMA_M, PRIOR_WEIGHT = 0.02, 12
INLIER_SHARE = 0.5  # prior share of pairs with a right candidate
SAME_M, NEAR_M = 0.02, 1.0  # tops this near are one; tops this near are averaged


def log_ratio(
    problem: Problem, points: np.ndarray, sigma: np.ndarray, shares: tuple[float, ...]
) -> np.ndarray:
    """Log likelihood of positions (n, K, 3) over pure chance: (n, K); high is good.

    sigma: (n, K) standard deviation of right delays in metres; shares: prior of each rank.
    """
    predicted = problem.differences(points)
    share = np.array(shares[: problem.ranges.shape[2]])
    share = share / share.sum()
    inverse = 1 / sigma[..., None]
    inside = np.zeros_like(predicted)
    for rank, prior in enumerate(share):  # H <= 4
        gap = (predicted - problem.ranges[:, None, :, rank]) * inverse
        inside += prior * np.exp(-0.5 * np.square(gap))
    return np.log1p(_odds(problem)[:, None] * inverse * inside).sum(axis=-1)


def mean_of_modes(points: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Mean (n, 3) of the modes within `NEAR_M` of the most probable one, by their probability.

    points (n, K, 3) with log probabilities score (n, K). With few microphones the posterior can be
    a long valley with several tops of nearly equal height; its mean has a smaller squared error
    than any one of them.
    """
    gap = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    alike = (gap < SAME_M).sum(axis=-1)  # starts that ended on the same top count once
    best = score.argmax(axis=1)[:, None]
    weight = np.exp(score - np.take_along_axis(score, best, 1)) / alike
    weight *= np.take_along_axis(gap, best[..., None], 1)[:, 0] < NEAR_M
    return np.einsum("nk,nkd->nd", weight, points) / weight.sum(axis=1, keepdims=True)


def spread(problem: Problem, points: np.ndarray, width: float) -> np.ndarray:
    """Standard deviation (n, K) in metres of the residuals within ``width``, in `SIGMA_M`."""
    residual = problem.residuals(points)
    near = np.abs(residual) < width
    # A prior worth a few residuals: with few pairs a wrong place can fit them by chance.
    freedom = np.maximum(near.sum(axis=-1) - 3, 0) + PRIOR_WEIGHT
    total = (np.square(residual) * near).sum(axis=-1) + PRIOR_WEIGHT * PRIOR_SIGMA_M**2
    variance = total / freedom
    return np.clip(np.sqrt(variance), *SIGMA_M)


def polish(problem: Problem, points: np.ndarray, sigma: np.ndarray, steps: int) -> np.ndarray:
    """Steps towards the most probable position: weights are probabilities of being right."""
    odds = _odds(problem)[:, None] / sigma[..., None]

    def weight(residual: np.ndarray) -> np.ndarray:
        density = odds * np.exp(-0.5 * np.square(residual / sigma[..., None]))
        return density / (1 + density)

    return refine(problem, points, [weight] * steps)


def _odds(problem: Problem) -> np.ndarray:
    """Prior odds and density of a right delay over a chance one, but for 1 / sigma: (n, P)."""
    gap = problem.mics[:, problem.first] - problem.mics[:, problem.second]
    possible = 2 * np.sqrt(np.square(gap).sum(axis=-1))  # metres
    odds = INLIER_SHARE / (1 - INLIER_SHARE) / np.sqrt(2 * np.pi) * possible
    return np.broadcast_to(odds, (len(problem), odds.shape[1]))
