"""Properties of a method, trained or not, measured instead of claimed (Table I).

Permutation invariance: positions are compared with those from another order of the microphones. A
method that draws at random is also run with other draws in the old order: the order matters if it
moves positions farther than the draws do (Mann-Whitney test). Variable microphones: the method is
run with one microphone less.
"""

import dataclasses
from typing import Any

import numpy as np
import scipy.stats

from wavloc import seeds
from wavloc.errors import Refusal
from wavloc.evaluation.metrics import CAP_M
from wavloc.frames import Frames
from wavloc.methods.base import Method
from wavloc.setups import Setup, draw_subsets

EXACT_M = 1e-4  # rounding of single precision stays below, an effect of the order above
SIGNIFICANCE = 1e-3  # of the test
MIN_FRAMES = 8  # that the test needs


def measure(method: Method, frames: Frames, max_frames: int = 32) -> dict[str, Any]:
    """Measured ``permutation_invariant`` and ``variable_mics`` in setup 1a, with the evidence.

    max_frames: frames that are used, evenly spread. A value is None where the method refuses or
    where there are too few frames.
    """
    index = np.unique(np.linspace(0, len(frames) - 1, min(max_frames, len(frames))).astype(int))
    sample = frames.select(index)
    fewer = _takes_fewer(method, sample)
    try:
        base = method.predict(sample).position
    except Refusal as refusal:
        return {"permutation_invariant": None, "variable_mics": fewer, "reason": str(refusal)}
    order = _order(sample.n_mics, method.seed)
    permuted = dataclasses.replace(
        sample,
        audio=sample.audio[:, order],
        mic_positions=sample.mics()[:, order],
        arrivals=None if sample.arrivals is None else sample.arrivals[:, order],
    )
    moved = _moved(method.predict(permuted).position, base)
    seed, method.seed = method.seed, method.seed + 1
    try:
        drawn = _moved(method.predict(sample).position, base)
    finally:
        method.seed = seed
    by_order, by_draws = np.maximum(moved, EXACT_M), np.maximum(drawn, EXACT_M)
    test = scipy.stats.mannwhitneyu(by_order, by_draws, alternative="greater")
    probability = float(test.pvalue)
    return {
        "permutation_invariant": probability > SIGNIFICANCE if len(sample) >= MIN_FRAMES else None,
        "variable_mics": fewer,
        "frames": len(sample),
        "probability": probability,
        "moved_by_order_m": {"median": float(np.median(moved)), "mean": float(moved.mean())},
        "moved_by_draws_m": {"median": float(np.median(drawn)), "mean": float(drawn.mean())},
    }


def _order(n_mics: int, seed: int) -> np.ndarray:
    """A random order that is not the old one."""
    order = seeds.rng(seed, "properties").permutation(n_mics)
    return order if (order != np.arange(n_mics)).any() else order[::-1]


def _moved(position: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Capped distance (F,) in metres; zero where both failed, the cap where one did."""
    distance = np.linalg.norm(position - base, axis=1)
    both_failed = ~np.isfinite(position).all(axis=1) & ~np.isfinite(base).all(axis=1)
    return np.where(both_failed, 0.0, np.minimum(np.nan_to_num(distance, nan=CAP_M), CAP_M))


def _takes_fewer(method: Method, frames: Frames) -> bool:
    """Whether the method takes frames with one microphone less."""
    subset = draw_subsets(len(frames), frames.n_mics, frames.n_mics - 1, "properties", method.seed)
    try:
        method.predict(frames, Setup("1a", subset))
    except Refusal:
        return False
    return True
