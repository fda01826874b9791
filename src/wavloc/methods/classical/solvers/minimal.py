"""Position from four microphones, joined by three delays: closed form with two roots."""

from __future__ import annotations

import itertools

import numpy as np

from wavloc.methods.classical.solvers.linalg import solve3


def _spanning_trees() -> np.ndarray:
    """The 16 labelled spanning trees of four vertices: edges (16, 3, 2), i < j."""
    edges = list(itertools.combinations(range(4), 2))
    trees = []
    for tree in itertools.combinations(edges, 3):
        parent = list(range(4))
        for a, b in tree:
            parent = [parent[a] if p == parent[b] else p for p in parent]
        if len(set(parent)) == 1:
            trees.append(tree)
    return np.array(trees)


TREES = _spanning_trees()


def _to_star() -> np.ndarray:
    """Matrices (16, 3, 3) from the differences d_i - d_j of each tree to d_k - d_0, k = 1..3."""
    incidence = np.zeros((len(TREES), 3, 4))
    tree, edge = np.indices(TREES.shape[:2])
    incidence[tree, edge, TREES[..., 0]] = 1
    incidence[tree, edge, TREES[..., 1]] = -1
    # With d_0 = 0 the differences determine d_1..d_3: invert the reduced incidence matrix.
    return np.rint(np.linalg.inv(incidence[:, :, 1:]))


TO_STAR = _to_star()


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
