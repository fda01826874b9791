"""Batched linear systems: no loop and no exception over thousands of them."""

import numpy as np


def solve3(matrix: np.ndarray, right: np.ndarray, damping: float = 0.0) -> np.ndarray:
    """Solve symmetric systems (..., 3, 3) x = (..., 3) by cofactors, with ``damping`` times the
    trace added to the diagonal; singular ones give 0.
    """
    a, b, c = matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 2, 2]
    extra = damping * (a + b + c)
    a, b, c = a + extra, b + extra, c + extra
    d, e, f = matrix[..., 0, 1], matrix[..., 0, 2], matrix[..., 1, 2]
    m0, m1, m2 = b * c - f * f, e * f - d * c, d * f - e * b
    m3, m4, m5 = a * c - e * e, d * e - a * f, a * b - d * d
    x, y, z = np.moveaxis(right, -1, 0)
    solution = np.stack(
        [m0 * x + m1 * y + m2 * z, m1 * x + m3 * y + m4 * z, m2 * x + m4 * y + m5 * z], axis=-1
    )
    determinant = a * m0 + d * m1 + e * m2
    return solution / np.where(np.abs(determinant) > 1e-30, determinant, np.inf)[..., None]


def solve_or_nan(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve (N, k, k) x = (N, k, m); singular systems give NaN instead of an exception for all."""
    determinant = np.linalg.det(left)
    regular = (np.isfinite(determinant) & (determinant != 0))[:, None, None]
    solution = np.linalg.solve(np.where(regular, left, np.eye(left.shape[-1])), right)
    return np.where(regular, solution, np.nan)
