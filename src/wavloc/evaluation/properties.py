"""Properties of a method as it stands, trained or not, measured and not believed (Table I).

Permutation invariance: the microphones are put in another order and the positions compared. A
method that draws at random is asked once more with other draws in the old order: the order matters
if it moves positions farther than that (Mann-Whitney test). Variable microphones: one is taken
away.
"""

from __future__ import annotations

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
DOUBT = 1e-3  # of the test; this many frames or more can tell:
FEWEST = 8


def measure(method: Method, frames: Frames, most: int = 32) -> dict[str, Any]:
    """Measured ``permutation_invariant`` and ``variable_mics`` in setup 1a, with the evidence.

    most: frames that are tried, evenly spread. The values are None where the method refuses, or
    where there are too few frames to tell.
    """
    index = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int))
    some = frames.select(index)
    fewer = _answers_fewer(method, some)
    try:
        base = method.predict(some).position
    except Refusal as refusal:
        return {"permutation_invariant": None, "variable_mics": fewer, "reason": str(refusal)}
    order = _order(some.n_mics, method.seed)
    turned = dataclasses.replace(
        some, audio=some.audio[:, order], mic_positions=some.mics()[:, order]
    )
    moved = _moved(method.predict(turned).position, base)
    seed, method.seed = method.seed, method.seed + 1
    try:
        drawn = _moved(method.predict(some).position, base)
    finally:
        method.seed = seed
    one, other = np.maximum(moved, EXACT_M), np.maximum(drawn, EXACT_M)
    probability = float(scipy.stats.mannwhitneyu(one, other, alternative="greater").pvalue)
    return {
        "permutation_invariant": probability > DOUBT if len(some) >= FEWEST else None,
        "variable_mics": fewer,
        "frames": len(some),
        "probability": probability,
        "moved_by_order_m": {"median": float(np.median(moved)), "mean": float(moved.mean())},
        "moved_by_draws_m": {"median": float(np.median(drawn)), "mean": float(drawn.mean())},
    }


def _order(n_mics: int, seed: int) -> np.ndarray:
    """A random order that is not the old one."""
    order = seeds.rng(seed, "properties").permutation(n_mics)
    return order if (order != np.arange(n_mics)).any() else order[::-1]


def _moved(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Capped distance (F,) in metres; nothing where both failed, the cap where one did."""
    distance = np.linalg.norm(one - other, axis=1)
    both = ~np.isfinite(one).all(axis=1) & ~np.isfinite(other).all(axis=1)
    return np.where(both, 0.0, np.minimum(np.nan_to_num(distance, nan=CAP_M), CAP_M))


def _answers_fewer(method: Method, frames: Frames) -> bool:
    """Whether it takes frames with one microphone less than there are."""
    subset = draw_subsets(len(frames), frames.n_mics, frames.n_mics - 1, "properties", method.seed)
    try:
        method.predict(frames, Setup("1a", subset))
    except Refusal:
        return False
    return True
