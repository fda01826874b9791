"""Hypotheses from random minimal samples; the draws are shared by all frames of a set."""

from __future__ import annotations

import functools

import numpy as np

from wavloc import seeds
from wavloc.methods.classical.solvers import minimal
from wavloc.methods.classical.solvers.problem import FAR, Problem


@functools.lru_cache(maxsize=16)
def draws(
    n_mics: int, candidates: int, count: int, seed: int, shares: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Microphones (K, 4), tree (K,), pair (K, 3) and candidate rank (K, 3) of each draw.

    The same for a frame whatever block or worker it is in. shares: how often a candidate of each
    rank is drawn.
    """
    rng = seeds.rng(seed, "ransac", n_mics, candidates, count)
    chosen = np.sort(rng.random((count, n_mics)).argsort(axis=1)[:, :4], axis=1)
    tree = rng.integers(len(minimal.TREES), size=count)
    share = np.array(shares[:candidates], float)
    rank = rng.choice(candidates, size=(count, 3), p=share / share.sum())
    ends = np.take_along_axis(chosen[:, None, :], minimal.TREES[tree], axis=2)  # (K, 3, 2), i < j
    i, j = ends[..., 0], ends[..., 1]
    pair = i * (2 * n_mics - i - 1) // 2 + j - i - 1  # lexicographic number of the pair
    return chosen, tree, pair, rank


def hypotheses(problem: Problem, count: int, seed: int, shares: tuple[float, ...]) -> np.ndarray:
    """Positions (n, 2 * count, 3) from ``count`` draws of four microphones.

    Draws without a solution, or with one outside the box, are put at `FAR`, where no delay agrees.
    """
    n_mics, candidates = problem.mics.shape[1], problem.ranges.shape[2]
    chosen, tree, pair, rank = draws(n_mics, candidates, count, seed, shares)
    ranges = problem.ranges[:, pair, rank]  # (n, K, 3)
    mics = np.broadcast_to(problem.mics[:, chosen], (len(problem), count, 4, 3))
    missing = (ranges >= FAR / 2).any(axis=-1)
    ranges = np.where(missing[..., None], 0.0, ranges)
    points = minimal.solve(mics, np.broadcast_to(tree, ranges.shape[:2]), ranges)
    points = points.reshape(len(problem), 2 * count, 3)
    low, high = problem.low[:, None], problem.high[:, None]
    good = ((points >= low) & (points <= high)).all(axis=-1) & ~np.repeat(missing, 2, axis=1)
    return np.where(good[..., None], points, FAR)


def best(points: np.ndarray, score: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` points (n, K, 3) of lowest score (n, K) per frame, best first."""
    order = np.argsort(score, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(points, order[..., None], 1)
