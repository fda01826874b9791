"""Linear least squares over all pairs for the position and the distances of the source."""

import functools

import numpy as np

from wavloc.methods.classical.solvers import delay_method
from wavloc.methods.classical.solvers.delay_method import DelayMethod, DelayOptions, Solution
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.problem import Problem


def locate(problem: Problem, options: DelayOptions, seed: int) -> Solution:
    """Rows 2 (r_i - r_j) s + 2 x_ij d_j = |r_i|^2 - |r_j|^2 - x_ij^2, unknown s and d_1 .. d_M.

    Gillette and Silverman 2008, with the second microphone of each pair as its reference.
    """
    problem = problem.strongest()
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


solve = functools.partial(delay_method.solve_delays, locate, DelayOptions())


class Method(DelayMethod):
    """GCC-PHAT, one peak per pair; linear least squares. One wrong delay moves the position."""

    Options = DelayOptions
    locate = staticmethod(locate)
