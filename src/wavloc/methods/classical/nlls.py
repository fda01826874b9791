"""Nonlinear least squares on the strongest delay of each pair: soft-L1, then Cauchy (IRLS)."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.methods.classical.solvers.delay_method import DelayMethod
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.problem import build
from wavloc.methods.classical.solvers.refine import cauchy, refine, soft_l1


@dataclasses.dataclass(frozen=True)
class Options:
    """Robust up to about 40 % wrong delays; fails beyond."""

    peaks: int = 1
    exponent: float = 0.8
    low_hz: float = 200.0
    high_hz: float = 7500.0
    oversample: int = 4
    min_distance: float = 5.0  # samples between candidates
    soft_m: float = 0.3  # scale of the soft-L1 loss
    cauchy_m: float = 0.05  # of the Cauchy loss
    steps: int = 15  # of each loss
    inlier_m: float = 0.10  # for status and covariance
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
    """As `multilat_plus.solve`, from the centroid of the known microphones; seed is not used."""
    options = options or Options()
    delays = delays if delays.ndim == 2 else delays[..., 0]
    problem = build(delays, mics, sample_rate, speed, bounds=bounds)
    mics = np.broadcast_to(mics, (len(problem), *mics.shape[-2:]))
    start = np.nanmean(mics, axis=1)[:, None]
    losses = [soft_l1(options.soft_m)] * options.steps + [cauchy(options.cauchy_m)] * options.steps
    position = refine(problem, start, losses)[:, 0]
    status, covariance = status_and_covariance(problem, position, options.inlier_m)
    return position, status, covariance


class Method(DelayMethod):
    """GCC-PHAT, one peak per pair; robust least squares from the centroid."""

    label = "Robust NLLS"
    reference = "M-estimation by iteratively reweighted least squares (Huber 1981)"
    Options = Options
    solver = staticmethod(solve)
