"""TDOA map: a grid scored by how many delays point to each cell, then robust refinement.

No randomness: the starting points of `multilat_plus` without its RANSAC draws.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.methods.classical.solvers import modes, tdoa_map
from wavloc.methods.classical.solvers.delay_method import DelayMethod
from wavloc.methods.classical.solvers.problem import build


@dataclasses.dataclass(frozen=True)
class Options:
    """As in `multilat_plus`."""

    peaks: int = 4
    exponent: float = 0.8
    low_hz: float = 200.0
    high_hz: float = 7500.0
    oversample: int = 4
    min_distance: float = 5.0  # samples between candidates
    starts: int = 10
    spacing_m: float = 0.25
    kernel_m: float = 0.25
    finalists: int = 8
    rank_priors: tuple[float, ...] = (0.5, 0.25, 0.15, 0.1)
    inlier_m: float = 0.10
    margin_m: float = 0.5
    floor_m: float = 1.0
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
    """As `multilat_plus.solve`; the seed is not used."""
    options = options or Options()
    problem = build(delays, mics, sample_rate, speed, options.margin_m, options.floor_m, bounds)
    position = np.empty((len(problem), 3))
    for start in range(0, len(problem), options.block):
        block = problem[start : start + options.block]
        cells = tdoa_map.starts(block, options.spacing_m, options.kernel_m, options.starts)
        points = modes.refine_starts(block, cells, options.inlier_m)
        position[start : start + options.block] = modes.best_mode(
            block, points, options.inlier_m, options.finalists, options.rank_priors
        )
    status, covariance = modes.status_and_covariance(problem, position, options.inlier_m)
    return position, status, covariance


class Method(DelayMethod):
    """GCC-PHAT peaks; grid through an integer lag table; least squares on probable inliers."""

    label = "TDOA map"
    reference = "grid form of Berg et al. 2024 (Multilat)"
    Options = Options
    solver = staticmethod(solve)
