"""Hypotheses from random draws of four microphones; all frames share the draws."""

import functools

import numpy as np

from wavloc import seeds
from wavloc.methods.classical.solvers import minimal
from wavloc.methods.classical.solvers.problem import FAR, Problem


@functools.lru_cache(maxsize=16)
def draws(
    n_mics: int, candidates: int, count: int, seed: int, rank_priors: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Microphones (K, 4), tree (K,), pair (K, 3) and candidate rank (K, 3) of each draw.

    They depend on nothing else, so that a frame has the same ones in every block and worker.
    rank_priors: how often the candidate of each rank is drawn.
    """
    rng = seeds.rng(seed, "ransac", n_mics, candidates, count)
    mics = np.sort(rng.random((count, n_mics)).argsort(axis=1)[:, :4], axis=1)
    tree = rng.integers(len(minimal.TREES), size=count)
    priors = np.array(rank_priors[:candidates], float)
    rank = rng.choice(candidates, size=(count, 3), p=priors / priors.sum())
    ends = np.take_along_axis(mics[:, None, :], minimal.TREES[tree], axis=2)  # (K, 3, 2), i < j
    i, j = ends[..., 0], ends[..., 1]
    pair = i * (2 * n_mics - i - 1) // 2 + j - i - 1  # lexicographic number of the pair
    return mics, tree, pair, rank


def hypotheses(
    problem: Problem, count: int, seed: int, rank_priors: tuple[float, ...]
) -> np.ndarray:
    """Positions (n, 2 * count, 3) from ``count`` draws of four microphones.

    Draws without a solution, or with one outside the box, are put at `FAR`, where no delay agrees.
    """
    n_mics, candidates = problem.mics.shape[1], problem.ranges.shape[2]
    drawn, tree, pair, rank = draws(n_mics, candidates, count, seed, rank_priors)
    ranges = problem.ranges[:, pair, rank]  # (n, K, 3)
    mics = np.broadcast_to(problem.mics[:, drawn], (len(problem), count, 4, 3))
    missing = np.any(ranges >= FAR / 2, axis=-1)
    ranges = np.where(missing[..., None], 0.0, ranges)
    points = minimal.solve(mics, np.broadcast_to(tree, ranges.shape[:2]), ranges)
    points = points.reshape(len(problem), 2 * count, 3)
    low, high = problem.low[:, None], problem.high[:, None]
    usable = ((points >= low) & (points <= high)).all(axis=-1) & ~np.repeat(missing, 2, axis=1)
    return np.where(usable[..., None], points, FAR)
