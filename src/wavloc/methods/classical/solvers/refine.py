"""Batched robust Gauss-Newton (Levenberg-Marquardt damped) on range differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wavloc.methods.classical.solvers.problem import Problem, nearest
from wavloc.methods.classical.solvers.small import solve3

Weight = Callable[[np.ndarray], np.ndarray]


def truncated(width: float) -> Weight:
    """Weight 1 for residuals below ``width`` metres, 0 above: least squares on the inliers."""
    return lambda residual: (np.abs(residual) < width).astype(float)


def biweight(width: float) -> Weight:
    """Tukey's biweight: smooth, zero beyond ``width`` metres; draws a start towards its peak."""
    return lambda residual: np.square(np.clip(1 - np.square(residual / width), 0, None))


def soft_l1(scale: float) -> Weight:
    """Weight of the soft-L1 loss 2 (sqrt(1 + z) - 1), z = (residual / scale)^2."""
    return lambda residual: 1 / np.sqrt(1 + np.square(residual / scale))


def cauchy(scale: float) -> Weight:
    """Weight of the Cauchy loss log(1 + z), z = (residual / scale)^2."""
    return lambda residual: 1 / (1 + np.square(residual / scale))


def refine(
    problem: Problem, points: np.ndarray, weights: list[Weight], most: float = 1.0
) -> np.ndarray:
    """One damped step per entry of ``weights`` from positions (n, K, 3); returns the same shape.

    Each step solves (J' W J + lam I) delta = -J' W r with J = u_i - u_j, u_m = (s - r_m) / d_m, and
    is at most ``most`` metres long. A missing delay has a residual that every robust weight drops.
    """
    points = points.copy()
    for weight in weights:  # steps follow one another; frames, starts and pairs are batched
        towards = points[:, :, None, :] - problem.mics[:, None]
        distance = np.sqrt(np.square(towards).sum(axis=-1))
        unit = towards / np.maximum(distance, 1e-6)[..., None]
        predicted = distance[..., problem.first] - distance[..., problem.second]
        jacobian = unit[:, :, problem.first] - unit[:, :, problem.second]  # (n, K, P, 3)
        residual = nearest(predicted, problem.ranges)
        weighted = jacobian * weight(residual)[..., None]
        normal = np.matmul(weighted.swapaxes(-1, -2), jacobian)
        gradient = np.matmul(weighted.swapaxes(-1, -2), residual[..., None])[..., 0]
        points -= _limited(solve3(normal, gradient, damping=1e-6), most)
    return points


def _limited(step: np.ndarray, most: float) -> np.ndarray:
    length = np.sqrt(np.square(step).sum(axis=-1, keepdims=True))
    return step * np.minimum(1, most / np.maximum(length, 1e-12))


def covariance(problem: Problem, points: np.ndarray, width: float) -> np.ndarray:
    """Covariance (n, 3, 3) in m^2 of positions (n, 3) from the inliers' residuals and geometry.

    sigma^2 (J' W J)^-1 with sigma from the inliers, as for independent errors of all pairs.
    """
    towards = points[:, None, :] - problem.mics
    distance = np.sqrt(np.square(towards).sum(axis=-1))
    unit = towards / np.maximum(distance, 1e-6)[..., None]
    residual = problem.residuals(points[:, None])[:, 0]
    weight = np.abs(residual) < width
    jacobian = (unit[:, problem.first] - unit[:, problem.second]) * weight[..., None]
    freedom = np.maximum(weight.sum(axis=1) - 3, 1)
    variance = (np.square(residual) * weight).sum(axis=1) / freedom
    normal = np.matmul(jacobian.swapaxes(-1, -2), jacobian)
    good = np.isfinite(normal).all(axis=(1, 2)) & (weight.sum(axis=1) >= 3)
    good &= np.linalg.cond(np.where(good[:, None, None], normal, np.eye(3))) < 1e12
    inverse = np.linalg.inv(np.where(good[:, None, None], normal, np.eye(3)))
    return np.where(good[:, None, None], inverse * variance[:, None, None], np.nan)
