"""Linear least squares over all pairs for the position and the distances of the source."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.methods.classical.solvers.delay_method import DelayMethod
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.problem import build


@dataclasses.dataclass(frozen=True)
class Options:
    """Not robust: one wrong delay moves the position."""

    peaks: int = 1
    exponent: float = 0.8
    low_hz: float = 200.0
    high_hz: float = 7500.0
    oversample: int = 4
    min_distance: float = 5.0  # samples between candidates
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
    """Rows 2 (r_i - r_j) s + 2 x_ij d_j = |r_i|^2 - |r_j|^2 - x_ij^2, unknown s and d_1 .. d_M.

    Gillette and Silverman 2008, with the second microphone of each pair as its reference. As
    `multilat_plus.solve`; seed and bounds are not used.
    """
    options = options or Options()
    delays = delays if delays.ndim == 2 else delays[..., 0]
    problem = build(delays, mics, sample_rate, speed)
    count, n_mics = len(problem), problem.mics.shape[1]
    mics = np.broadcast_to(problem.mics, (count, n_mics, 3))
    i, j = problem.first, problem.second
    present = problem.present[..., 0]
    x = np.where(present, problem.ranges[..., 0], 0.0)
    matrix = np.zeros((count, len(i), 3 + n_mics))
    matrix[..., :3] = 2 * (mics[:, i] - mics[:, j])
    matrix[:, np.arange(len(i)), 3 + j] = 2 * x
    square = np.square(mics).sum(axis=-1)
    right = square[:, i] - square[:, j] - x**2
    matrix, right = matrix * present[..., None], right * present
    solution = np.matmul(np.linalg.pinv(matrix, rcond=1e-9), right[..., None])[..., 0]
    position = solution[:, :3].copy()
    position[present.sum(axis=1) < 4] = np.nan
    status, covariance = status_and_covariance(problem, position.copy(), options.inlier_m)
    status[~np.isfinite(position).all(axis=1)] = "too_few_entries"
    # Every position is kept: without a notion of support nothing may be gained by refusing.
    status[status == "no_hypothesis"] = "low_support"
    return position, status, covariance


class Method(DelayMethod):
    """GCC-PHAT, one peak per pair; linear least squares."""

    label = "Linear LS"
    reference = "Gillette and Silverman 2008, all pairs"
    permutation_invariant = False  # of each pair the second microphone is the reference
    Options = Options
    solver = staticmethod(solve)
