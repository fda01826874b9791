"""TDOA map: a grid of positions, scored by a kernel around each measured delay."""

import functools

import numpy as np
import scipy.sparse

from wavloc.methods.classical.solvers.problem import Problem
from wavloc.methods.classical.solvers.shells import Shells, grid

BIN_M = 0.04  # width of a bin of range differences, about two samples
SHARED_MICS = 32  # up to this many microphone positions one table serves all subsets


def starts(problem: Problem, spacing: float, kernel_m: float, count: int) -> np.ndarray:
    """The ``count`` best cells of each frame that are not neighbours: (n, count, 3) metres.

    A cell's score is the sum over pairs of a kernel around each measured delay.
    """
    if problem.shells:
        spacing = problem.shells.spacing(spacing)
        kernel_m = max(kernel_m, spacing)
    bins = 2 * int(np.ceil((problem.spans.max() + kernel_m) / BIN_M)) + 1
    scores = kernel_scores(problem.ranges, bins, kernel_m)
    return starts_from_scores(problem, scores, BIN_M, spacing, count)


def kernel_scores(ranges: np.ndarray, bins: int, kernel_m: float) -> np.ndarray:
    """Triangle of half-width ``kernel_m`` around each candidate (n, P, H): (n, P, bins), <= 1."""
    frames, n_pairs, _ = ranges.shape
    reach = int(np.ceil(kernel_m / BIN_M))
    position = ranges / BIN_M + bins // 2
    nearest = np.rint(np.clip(position, -1e6, 1e6)).astype(np.int64)
    covered = nearest[..., None] + np.arange(-reach, reach + 1)
    height = 1 - np.abs(covered - position[..., None]) * (BIN_M / kernel_m)
    height = np.where((covered >= 0) & (covered < bins), np.maximum(height, 0), 0)
    pair = np.arange(frames * n_pairs).reshape(frames, n_pairs, 1, 1)
    index = np.clip(covered, 0, bins - 1) + pair * bins
    total = np.bincount(index.ravel(), height.ravel(), minlength=frames * n_pairs * bins)
    return np.minimum(total, 1).astype(np.float32).reshape(frames, n_pairs, bins)


def starts_from_scores(
    problem: Problem, scores: np.ndarray, step: float, spacing: float, count: int
) -> np.ndarray:
    """As `starts`, from any scores (n, P, L) of the range differences of each pair: zero in the
    middle, ``step`` metres between entries.
    """
    places, which = np.unique(problem.mics.reshape(-1, 3), axis=0, return_inverse=True)
    bins = scores.shape[-1]
    if len(places) <= SHARED_MICS or len(problem.mics) == 1:
        # Subsets of one array: their pairs are pairs of the whole, whose table is made once.
        if len(problem.mics) > 1:
            which = which.reshape(problem.mics.shape[:2])
            scores, mics = _embed(problem, scores, which, len(places)), places
        else:
            mics = problem.mics[0]
        box = np.ascontiguousarray([problem.low.min(axis=0), problem.high.max(axis=0)], float)
        key = np.ascontiguousarray(mics, float)
        core = problem.shells.key if problem.shells else b""
        points, table = _shared_table(
            key.tobytes(), key.shape, box.tobytes(), core, spacing, bins, step
        )
        flat = np.ascontiguousarray(scores.reshape(len(scores), -1).T)
        return _pick_distinct(np.ascontiguousarray((table @ flat).T), points[None], spacing, count)
    # Arrays that differ from frame to frame: one unit grid, stretched to each frame's box.
    size = np.broadcast_to(problem.high - problem.low, (len(problem), 3))
    unit = grid(np.zeros(3), size.max(axis=0), spacing) / size.max(axis=0)
    points = problem.low[:, None] + unit * size[:, None]
    index = _bins(problem.differences(points), bins, step)  # (n, G, P)
    flat = (index + np.arange(scores.shape[1]) * bins).reshape(len(index), -1)
    values = np.take_along_axis(scores.reshape(len(scores), -1), flat, 1).reshape(index.shape)
    return _pick_distinct(values.sum(axis=-1), points, spacing, count)


@functools.lru_cache(maxsize=4)
def _shared_table(
    mics: bytes,
    shape: tuple[int, int],
    box: bytes,
    core: bytes,
    spacing: float,
    bins: int,
    step: float,
) -> tuple[np.ndarray, scipy.sparse.csr_array]:
    """Grid (G, 3) and sparse lag table (G, P * bins) of an array of microphones (M, 3)."""
    low, high = np.frombuffer(box).reshape(2, 3)
    points = grid(low, high, spacing)
    if core:
        points = Shells(*np.frombuffer(core).reshape(2, 3)).points(low, high, spacing)
    array = np.frombuffer(mics).reshape(1, *shape)
    known = np.ones(array.shape[:2], bool)
    problem = Problem(array, np.zeros((1, 1, 1)), low[None], high[None], known)
    index = _bins(problem.differences(points[None])[0], bins, step)  # (G, P)
    n_pairs = index.shape[1]
    columns = (index + np.arange(n_pairs) * bins).ravel()
    rows = np.arange(0, columns.size + 1, n_pairs)
    ones = np.ones(columns.size, np.float32)
    table = scipy.sparse.csr_array((ones, columns, rows), shape=(len(points), n_pairs * bins))
    return points, table


def _bins(differences: np.ndarray, bins: int, step: float) -> np.ndarray:
    return np.clip(np.rint(differences / step).astype(np.int32) + bins // 2, 0, bins - 1)


def _embed(problem: Problem, scores: np.ndarray, which: np.ndarray, n_places: int) -> np.ndarray:
    """Scores (n, P, L) of subsets ``which`` (n, M) as those of all pairs of the array, else 0."""
    a, b = which[:, problem.first], which[:, problem.second]
    low, high = np.minimum(a, b), np.maximum(a, b)
    pair = low * (2 * n_places - low - 1) // 2 + high - low - 1
    embedded = np.zeros(
        (len(scores), n_places * (n_places - 1) // 2, scores.shape[-1]), scores.dtype
    )
    distinct = a != b  # unknown microphones share one place
    frame, local = np.nonzero(distinct)
    ordered = np.where((a < b)[..., None], scores, scores[..., ::-1])
    embedded[frame, pair[distinct]] = ordered[frame, local]
    return embedded


def _pick_distinct(score: np.ndarray, points: np.ndarray, spacing: float, count: int) -> np.ndarray:
    """The ``count`` positions of points (n or 1, G, 3) with highest score (n, G), no neighbours."""
    pool = min(8 * count, score.shape[1])
    best = np.argpartition(score, -pool, axis=1)[:, -pool:]
    best.sort(axis=1)  # ties are settled by position, not by the partition's order
    left = np.take_along_axis(score, best, 1).astype(float)
    places = points[0][best] if len(points) == 1 else np.take_along_axis(points, best[..., None], 1)
    frames = np.arange(len(score))
    picked = np.empty((len(score), count, 3))
    for k in range(count):  # each choice depends on the ones before
        top = left.argmax(axis=1)
        picked[:, k] = places[frames, top]
        near = np.square(places - picked[:, k, None]).sum(axis=-1) < (1.5 * spacing) ** 2
        left[near] = -np.inf
    return picked
