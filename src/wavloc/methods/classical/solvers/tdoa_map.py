"""Where the delays point: a grid map scored by a kernel around each measured delay."""

from __future__ import annotations

import functools

import numpy as np
import scipy.sparse

from wavloc.methods.classical.solvers.problem import Problem

BIN_M = 0.04  # width of a bin of the lag table, about two samples
SHARED_MICS = 32  # up to so many microphone places one table serves all subsets


def grid(low: np.ndarray, high: np.ndarray, spacing: float) -> np.ndarray:
    """Centres (G, 3) of a grid of about ``spacing`` metres that fills the box [low, high]."""
    cells = np.maximum(1, np.ceil((high - low) / spacing)).astype(int)
    axes = [
        start + (np.arange(n) + 0.5) * (end - start) / n
        for start, end, n in zip(low, high, cells, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def kernel_rows(ranges: np.ndarray, bins: int, width: float) -> np.ndarray:
    """Triangle of half-width ``width`` around each candidate (n, P, H), at most 1: (n, P, bins)."""
    frames, n_pairs, _ = ranges.shape
    reach = int(np.ceil(width / BIN_M))
    position = ranges / BIN_M + bins // 2
    nearest = np.rint(np.clip(position, -1e6, 1e6)).astype(np.int64)
    spread = nearest[..., None] + np.arange(-reach, reach + 1)
    height = 1 - np.abs(spread - position[..., None]) * (BIN_M / width)
    height = np.where((spread >= 0) & (spread < bins), np.maximum(height, 0), 0)
    row = np.arange(frames * n_pairs).reshape(frames, n_pairs, 1, 1)
    index = np.clip(spread, 0, bins - 1) + row * bins
    total = np.bincount(index.ravel(), height.ravel(), minlength=frames * n_pairs * bins)
    return np.minimum(total, 1).astype(np.float32).reshape(frames, n_pairs, bins)


@functools.lru_cache(maxsize=4)
def _shared_table(
    key: bytes, shape: tuple[int, int], box: bytes, spacing: float, bins: int, step: float
) -> tuple[np.ndarray, scipy.sparse.csr_array]:
    """Grid and sparse lag table (G, P * bins) of an array that does not change between frames."""
    mics = np.frombuffer(key).reshape(1, *shape)
    low, high = np.frombuffer(box).reshape(2, 3)
    points = grid(low, high, spacing)
    problem = Problem(mics, np.zeros((1, 1, 1)), low[None], high[None])
    index = _bins(problem.differences(points[None])[0], bins, step)  # (G, P)
    n_pairs = index.shape[1]
    columns = (index + np.arange(n_pairs) * bins).ravel()
    rows = np.arange(0, columns.size + 1, n_pairs)
    ones = np.ones(columns.size, np.float32)
    table = scipy.sparse.csr_array((ones, columns, rows), shape=(len(points), n_pairs * bins))
    return points, table


def _bins(differences: np.ndarray, bins: int, step: float) -> np.ndarray:
    return np.clip(np.rint(differences / step).astype(np.int32) + bins // 2, 0, bins - 1)


def starts(problem: Problem, spacing: float, width: float, count: int) -> np.ndarray:
    """The ``count`` best cells of each frame that are not neighbours: (n, count, 3) metres.

    A cell's score is the sum over pairs of a kernel around each measured delay.
    """
    gap = problem.mics[:, problem.first] - problem.mics[:, problem.second]
    span = np.sqrt(np.square(gap).sum(axis=-1)).max()
    bins = 2 * int(np.ceil((span + width) / BIN_M)) + 1
    rows = kernel_rows(problem.ranges, bins, width)
    return starts_on_rows(problem, rows, BIN_M, spacing, count)


def starts_on_rows(
    problem: Problem, rows: np.ndarray, step: float, spacing: float, count: int
) -> np.ndarray:
    """As `starts` for any score per pair and range difference: rows (n, P, L), zero in the middle,
    ``step`` metres between entries.
    """
    places, which = np.unique(problem.mics.reshape(-1, 3), axis=0, return_inverse=True)
    bins = rows.shape[-1]
    if len(places) <= SHARED_MICS:
        # Subsets of one array: their pairs are pairs of the whole, whose table is made once.
        if len(problem.mics) > 1:
            rows, mics = (
                _embed(problem, rows, which.reshape(problem.mics.shape[:2]), len(places)),
                places,
            )
        else:
            mics = problem.mics[0]
        box = np.ascontiguousarray([problem.low.min(axis=0), problem.high.max(axis=0)], float)
        key = np.ascontiguousarray(mics, float)
        points, table = _shared_table(key.tobytes(), key.shape, box.tobytes(), spacing, bins, step)
        flat = np.ascontiguousarray(rows.reshape(len(rows), -1).T)
        return _distinct(np.ascontiguousarray((table @ flat).T), points[None], spacing, count)
    # Arrays that differ from frame to frame: one normalised grid, stretched to each frame's box.
    size = np.broadcast_to(problem.high - problem.low, (len(problem), 3))
    unit = grid(np.zeros(3), size.max(axis=0), spacing) / size.max(axis=0)
    points = problem.low[:, None] + unit * size[:, None]
    index = _bins(problem.differences(points), bins, step)  # (n, G, P)
    flat = (index + np.arange(rows.shape[1]) * bins).reshape(len(index), -1)
    picked = np.take_along_axis(rows.reshape(len(rows), -1), flat, 1)
    return _distinct(picked.reshape(index.shape).sum(axis=-1), points, spacing, count)


def _embed(problem: Problem, rows: np.ndarray, which: np.ndarray, n_places: int) -> np.ndarray:
    """Rows (n, P, L) of subsets ``which`` (n, M) as rows of the whole array's pairs, else 0."""
    a, b = which[:, problem.first], which[:, problem.second]
    low, high = np.minimum(a, b), np.maximum(a, b)
    pair = low * (2 * n_places - low - 1) // 2 + high - low - 1
    whole = np.zeros((len(rows), n_places * (n_places - 1) // 2, rows.shape[-1]), rows.dtype)
    real = a != b  # unknown microphones share one place; their pairs say nothing
    frame, local = np.nonzero(real)
    turned = np.where((a < b)[..., None], rows, rows[..., ::-1])
    whole[frame, pair[real]] = turned[frame, local]
    return whole


def _distinct(score: np.ndarray, points: np.ndarray, spacing: float, count: int) -> np.ndarray:
    """Best cells (n, G) of points (n or 1, G, 3), none next to another."""
    pool = min(8 * count, score.shape[1])
    best = np.argpartition(score, -pool, axis=1)[:, -pool:]
    best.sort(axis=1)  # ties are settled by position, not by the partition's order
    left = np.take_along_axis(score, best, 1).astype(float)
    places = points[0][best] if len(points) == 1 else np.take_along_axis(points, best[..., None], 1)
    frames = np.arange(len(score))
    chosen = np.empty((len(score), count, 3))
    for k in range(count):  # each choice depends on the ones before
        top = left.argmax(axis=1)
        chosen[:, k] = places[frames, top]
        near = np.square(places - chosen[:, k, None]).sum(axis=-1) < (1.5 * spacing) ** 2
        left[near] = -np.inf
    return chosen
