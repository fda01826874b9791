"""How probably a position of a classical method is within 30 cm of the source.

A few quantities of the fit (how high the correlations are at the position and elsewhere, how many
agree) enter a logistic regression with three outcomes: within 30 cm, elsewhere, and no source at
all. Its weights were fitted on random rooms and noise by ``benchmarks/classical_confidence.py``;
they stand in ``confidence.json``. What the geometry leaves open, far outside of the array, comes on
top. Covariances hold the chance of being elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

from wavloc import files
from wavloc.frames import Frames
from wavloc.methods import base
from wavloc.methods.classical.solvers.problem import Problem
from wavloc.methods.classical.solvers.refine import of_geometry, share_within
from wavloc.methods.classical.solvers.steered import SteeredPower
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup

WEIGHTS = Path(__file__).with_name("confidence.json")
OUTCOMES = ("within 30 cm", "elsewhere", "no source")
WITHIN_M = 0.3
TOGETHER_M = 0.02  # a pair whose delay is less than this path may share one signal
LEAST = 1e-3  # of quantities whose logarithm is taken

OPEN = "open"  # (n, 3, 3), no quantity of the regression: what the geometry leaves open

Quantities = dict[str, np.ndarray]  # (n,) each
Solution = tuple[np.ndarray, np.ndarray, np.ndarray]  # position, status, covariance
Measured = tuple[Solution, Quantities | None]  # None where nothing is known of the sound


def of_delays(problem: Problem, position: np.ndarray, inlier_m: float) -> Quantities:
    """Quantities of positions (n, 3) by the delays of a problem."""
    position = np.nan_to_num(position)
    pairs = np.maximum(np.any(problem.present, axis=-1).sum(axis=1), 1)
    strongest = problem.strongest()
    first = np.abs(strongest.residuals(position[:, None])[:, 0])
    together = (np.abs(strongest.ranges[..., 0]) < TOGETHER_M).sum(axis=1)
    return _of_fit(problem, position, inlier_m) | {
        "agree first": (first < inlier_m).sum(axis=1) / pairs,
        "together": together / pairs,
    }


def _of_fit(problem: Problem, position: np.ndarray, inlier_m: float) -> Quantities:
    """Quantities of positions (n, 3) that both kinds of methods have."""
    residual, jacobian = (part[:, 0] for part in problem.linearised(position[:, None]))
    present = np.any(problem.present, axis=-1)
    pairs = np.maximum(present.sum(axis=1), 1)
    near = np.abs(residual) < inlier_m
    square = np.where(near, np.square(residual), 0).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    return {
        "mics": np.log(np.maximum((problem.by_mic(present) > 0).sum(axis=1), 2)),
        "agree": near.sum(axis=1) / pairs,
        "misfit": np.log(np.sqrt(square) / inlier_m + LEAST),
        OPEN: of_geometry(problem, jacobian, present),
    }


def of_power(
    field: SteeredPower, position: np.ndarray, starts: np.ndarray, climb_m: float, inlier_m: float
) -> Quantities:
    """Quantities of positions (n, 3) by the steered power; its problem has the peaks near them.

    starts (n, K, 3): of the search, of which those elsewhere are rivals.
    """
    problem, gcc, position = field.problem, field.gcc, np.nan_to_num(position)
    count = np.maximum((gcc != 0).sum(axis=-1), 1)
    deviation = np.sqrt(np.square(gcc).sum(axis=-1) / count)  # (n, P)
    present = deviation > 0
    pairs = np.maximum(present.sum(axis=1), 1)
    scaled = np.where(present, 1 / np.where(present, deviation, 1), 0)
    lag = np.rint(problem.differences(position[:, None])[:, 0] / field.step).astype(int)
    lag = np.clip(lag + field.reach, 0, 2 * field.reach)[..., None]
    height = np.take_along_axis(gcc, lag, -1)[..., 0] * scaled
    top = np.abs(gcc.argmax(axis=-1) - lag[..., 0]) * field.step < inlier_m
    points, power = field.climb(starts, climb_m)
    far = np.linalg.norm(points - position[:, None], axis=-1) > WITHIN_M
    here = np.maximum(np.where(far, 0, power).max(axis=1), field.power(position[:, None])[:, 0])
    mean = height.sum(axis=1) / pairs
    zero = (gcc[..., field.reach] * scaled).sum(axis=1) / pairs
    counts = problem.by_mic(present)
    by_mic, heard = problem.by_mic(height) / np.maximum(counts, 1), counts > 0
    spread = np.where(heard, np.square(by_mic - mean[:, None]), 0).sum(axis=1)
    spread /= np.maximum(heard.sum(axis=1), 1)
    return _of_fit(problem, position, inlier_m) | {
        "height": np.log(np.maximum(mean, 0.1)),
        "tops": (top & present).sum(axis=1) / pairs,
        "rival": np.clip(np.where(far, power, 0).max(axis=1) / np.maximum(here, 1e-9), 0, 1.5),
        "uneven": np.sqrt(spread) / np.maximum(mean, 0.1),
        "together": np.square(np.clip(zero / np.maximum(mean, 0.1), 0, 1.2)),
    }


@functools.cache
def fitted() -> Mapping[str, Any]:
    """By module of a method: names of the quantities, weights (3, Q + 1), the last constant, and
    ``wrong_m``, the deviation along an axis of positions that are elsewhere.
    """
    return files.read_json(WEIGHTS)["methods"]


def outcomes(method: str, quantities: Quantities) -> np.ndarray:
    """Probabilities (n, 3) of the `OUTCOMES`."""
    model = fitted()[method]
    columns = [np.nan_to_num(quantities[name]) for name in model["quantities"]]
    return softmax(np.stack([*columns, np.ones_like(columns[0])], axis=1), model["weights"])


def softmax(columns: np.ndarray, weights: np.ndarray | list[list[float]]) -> np.ndarray:
    """Probabilities (n, K) from columns (n, Q) and weights (K, Q)."""
    return scipy.special.softmax(columns @ np.asarray(weights).T, axis=1)


class ConfidentMethod(base.Method):
    """A method that measures how sure it is: ``ok``, ``uncertain`` or ``no_source``."""

    def measure(self, frames: Frames, block: slice) -> Measured:
        """Positions of some frames with a first status, and the quantities of their fit."""
        raise TypeError(f"method '{self.name}' defines no measure()")

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        kind = type(self).__module__.rpartition(".")[2]

        def solve(block: slice) -> tuple[np.ndarray, ...]:
            (position, status, covariance), quantities = self.measure(frames, block)
            if quantities is None or kind not in fitted():
                return position, status, covariance
            located = np.isfinite(position).all(axis=1)
            share = outcomes(kind, quantities)
            # One signal in all channels and a source as far from all of them sound alike.
            sure = share[:, 0] * np.clip(2 * (1 - quantities["together"]), 0, 1)
            left_open = quantities[OPEN]
            confidence = np.where(located, sure * share_within(WITHIN_M, left_open), 0.0)
            verdict = np.where(confidence >= self.options.min_confidence, "ok", "uncertain")
            verdict = np.where(share[:, 2] > 0.5, "no_source", verdict).astype(object)
            elsewhere = (1 - sure) * fitted()[kind]["wrong_m"] ** 2
            free = (left_open != 0) & np.eye(3, dtype=bool)
            # Where few delays agree, `covariance` is NaN: the rest says all.
            covariance = np.nan_to_num(covariance) + left_open + free * elsewhere[:, None, None]
            covariance[~located] = np.nan
            return position, np.where(located, verdict, status), covariance, confidence

        return self.in_blocks(frames, self.options.block, solve)
