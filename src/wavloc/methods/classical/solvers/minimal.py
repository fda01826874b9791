"""Position from four microphones, joined by three delays: closed form with two roots."""

import itertools

import numpy as np

from wavloc.methods.classical.solvers.linalg import solve3

# Three of the six edges (pairs i < j) of four vertices join them all if the differences d_i - d_j
# determine d_1 .. d_3 with d_0 = 0, that is if their reduced incidence matrix is regular.
_EDGES = np.array(list(itertools.combinations(range(4), 2)))
_CHOICES = np.array(list(itertools.combinations(range(6), 3)))
_REDUCED = (np.eye(4)[_EDGES[:, 0]] - np.eye(4)[_EDGES[:, 1]])[_CHOICES][:, :, 1:]
_JOINED = np.abs(np.linalg.det(_REDUCED)) > 0.5
TREES = _EDGES[_CHOICES[_JOINED]]  # the 16 spanning trees: edges (16, 3, 2)
TO_STAR = np.rint(np.linalg.inv(_REDUCED[_JOINED]))  # differences of a tree to d_k - d_0


def solve(mics: np.ndarray, tree: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Positions from four microphones (..., 4, 3), number of the tree (...), its ranges (..., 3).

    Subtracting |s - r_0|^2 = d_0^2 from |s - r_k|^2 = (d_0 + x_k)^2 leaves three equations linear
    in z = (s - r_0, d_0); the line of their solutions meets the cone |s - r_0| = d_0 twice. For
    coplanar microphones the two solutions are mirror images.

    Returns (..., 2, 3) metres, NaN for roots with negative distances and degenerate microphones.
    """
    x = np.matmul(TO_STAR[tree], ranges[..., None])[..., 0]  # d_k - d_0
    q = mics[..., 1:, :] - mics[..., :1, :]
    matrix = np.concatenate([2 * q, 2 * x[..., None]], axis=-1)  # (..., 3, 4)
    right = np.square(q).sum(axis=-1) - np.square(x)
    columns = np.moveaxis(matrix, -1, 0)
    null = np.stack(
        [
            _triple(columns[1], columns[2], columns[3]),
            -_triple(columns[0], columns[2], columns[3]),
            _triple(columns[0], columns[1], columns[3]),
            -_triple(columns[0], columns[1], columns[2]),
        ],
        axis=-1,
    )
    length = np.sqrt(np.square(null).sum(axis=-1, keepdims=True))
    usable = length[..., 0] > 1e-4  # else microphones are collinear or coincident
    null = null / np.maximum(length, 1e-12)
    gram = np.matmul(matrix, np.swapaxes(matrix, -1, -2))
    start = np.matmul(np.swapaxes(matrix, -1, -2), solve3(gram, right)[..., None])[..., 0]
    metric = np.array([1.0, 1.0, 1.0, -1.0])
    a = (null * null * metric).sum(axis=-1)
    half = (start * null * metric).sum(axis=-1)
    c = (start * start * metric).sum(axis=-1)
    # Noise can make the discriminant slightly negative where the two roots meet: one double root.
    root = np.sqrt(np.maximum(half * half - a * c, 0))
    stable = -(half + np.where(half < 0, -root, root))
    with np.errstate(all="ignore"):
        along = np.stack([stable / a, c / stable], axis=-1)
        z = start[..., None, :] + along[..., None] * null[..., None, :]
    distance = z[..., 3]
    positive = (distance > -0.05) & (distance + x.min(axis=-1)[..., None] > -0.05)
    valid = positive & usable[..., None] & np.isfinite(z).all(axis=-1)
    return np.where(valid[..., None], z[..., :3] + mics[..., :1, :], np.nan)


def _triple(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Determinant of the 3 x 3 matrix with these columns (..., 3)."""
    return (a * np.cross(b, c)).sum(axis=-1)
