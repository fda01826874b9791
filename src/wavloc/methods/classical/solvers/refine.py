"""Batched robust Gauss-Newton (Levenberg-Marquardt damped) on range differences."""

from collections.abc import Callable

import numpy as np
import scipy.special

from wavloc.methods.classical.solvers.linalg import solve3
from wavloc.methods.classical.solvers.problem import FAR, Problem

MAX_STEP_M = 1.0
MIC_M = 0.01  # deviation of the places of microphones
Weight = Callable[[np.ndarray], np.ndarray]  # residuals in metres -> weights from 0 to 1


def ordinary(residual: np.ndarray) -> np.ndarray:
    """Weight 1 of every delay that is present: ordinary least squares."""
    return (np.abs(residual) < FAR / 10).astype(float)


def truncated(inlier_m: float) -> Weight:
    """Weight 1 below ``inlier_m``, 0 above: least squares on the inliers."""
    return lambda residual: (np.abs(residual) < inlier_m).astype(float)


def biweight(reach_m: float) -> Weight:
    """Tukey's biweight: smooth, 0 beyond ``reach_m``."""
    return lambda residual: np.square(np.clip(1 - np.square(residual / reach_m), 0, None))


def soft_l1(scale_m: float) -> Weight:
    """Weight of the soft-L1 loss 2 (sqrt(1 + z) - 1), z = (residual / scale)^2."""
    return lambda residual: ordinary(residual) / np.sqrt(1 + np.square(residual / scale_m))


def cauchy(scale_m: float) -> Weight:
    """Weight of the Cauchy loss log(1 + z), z = (residual / scale)^2."""
    return lambda residual: ordinary(residual) / (1 + np.square(residual / scale_m))


def refine(problem: Problem, points: np.ndarray, weights: list[Weight]) -> np.ndarray:
    """Positions (n, K, 3) after a step per entry of ``weights``: (J' W J + lam I) d = -J' W r."""
    points = points.copy()
    for weight in weights:
        residual, jacobian = problem.linearised(points)
        weighted = jacobian * weight(residual)[..., None]
        normal = np.matmul(weighted.swapaxes(-1, -2), jacobian)
        gradient = np.matmul(weighted.swapaxes(-1, -2), residual[..., None])[..., 0]
        step = solve3(normal, gradient, damping=1e-6)
        length = np.sqrt(np.square(step).sum(axis=-1, keepdims=True))
        points -= step * np.minimum(1, MAX_STEP_M / np.maximum(length, 1e-12))
    return points


def covariance(problem: Problem, position: np.ndarray, inlier_m: float) -> np.ndarray:
    """Covariance (n, 3, 3) in m^2 of positions (n, 3): sigma^2 (J' W J)^-1.

    W selects the inliers and sigma is the standard deviation of their residuals; errors of all
    pairs are taken as independent. NaN where the inliers fix no position.
    """
    residual, jacobian = (part[:, 0] for part in problem.linearised(position[:, None]))
    weight = np.abs(residual) < inlier_m
    jacobian = jacobian * weight[..., None]
    freedom = np.maximum(weight.sum(axis=1) - 3, 1)
    variance = (np.square(residual) * weight).sum(axis=1) / freedom
    normal = np.matmul(jacobian.swapaxes(-1, -2), jacobian)
    fixed = problem.fixed
    normal[:, fixed, fixed] += 1  # nothing moves along these
    regular = np.isfinite(normal).all(axis=(1, 2)) & (weight.sum(axis=1) >= 3)
    regular &= np.linalg.cond(np.where(regular[:, None, None], normal, np.eye(3))) < 1e12
    inverse = np.linalg.inv(np.where(regular[:, None, None], normal, np.eye(3)))
    inverse[:, fixed, fixed] = 0
    return np.where(regular[:, None, None], inverse * variance[:, None, None], np.nan)


def of_geometry(problem: Problem, jacobian: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Covariance (n, 3, 3) in m^2 of positions that the geometry of the array leaves open, whose
    microphones are known to `MIC_M`; by the pairs that are ``present`` (n, P) and the derivatives
    (n, P, 3) of their residuals, as of `Problem.linearised`.
    """
    jacobian = np.where(present[..., None], np.nan_to_num(jacobian), 0)
    normal = np.matmul(jacobian.swapaxes(-1, -2), jacobian)
    normal[:, problem.fixed, problem.fixed] += 1e6
    inverse = np.linalg.inv(normal + 1e-6 * np.eye(3))
    inverse[:, problem.fixed, problem.fixed] = 0
    heard = np.maximum((problem.by_mic(present) > 0).sum(axis=1), 1)
    return MIC_M**2 * heard[:, None, None] * inverse


def share_within(radius_m: float, covariance: np.ndarray) -> np.ndarray:
    """Probability (n,) that normal errors of covariance (n, 3, 3) are within a radius; exact where
    one axis has all of the variance, as far outside of an array.
    """
    deviation = np.sqrt(np.einsum("nii->n", covariance))
    return scipy.special.erf(radius_m / np.sqrt(2) / np.maximum(deviation, 1e-9))
