"""Position from any three delays: the eight common roots of three quadrics.

This is the sampling of the wav2pos paper's public multilateration routine. `minimal` is cheaper and
keeps the signs of the delays, but these must join four microphones.
"""

import functools

import numpy as np

from wavloc import seeds
from wavloc.geometry import pairs
from wavloc.methods.classical.solvers.linalg import solve_or_nan
from wavloc.methods.classical.solvers.problem import FAR, Problem

# Basis of the polynomials modulo three generic quadrics; a monomial is the tuple of its variables.
_MONOMIALS = [(), (0,), (1,), (2,), (1, 2), (0, 2), (0, 1), (0, 1, 2)]
_PLACE = {monomial: place for place, monomial in enumerate(_MONOMIALS)}
_MIXED = {  # v w^2 for v != w: the cubics that are neither x y z nor a cube
    key: place for place, key in enumerate((v, w) for w in range(3) for v in range(3) if v != w)
}


def coefficients(near: np.ndarray, far: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Coefficients (..., 10) of x^2, y^2, z^2, yz, xz, xy, x, y, z, 1 for d_i - d_j = ranges (...).

    Squaring twice gives a^2 - 2 r^2 b + r^4 = 0 with a = d_i^2 - d_j^2 linear in the position and
    b = d_i^2 + d_j^2; the sign of the range is lost. near, far: r_i and r_j (..., 3) metres.
    """
    slope = -2 * (near - far)
    level = np.square(near).sum(axis=-1) - np.square(far).sum(axis=-1)
    twice = 2 * np.square(ranges)
    squares = np.square(slope) - 2 * twice[..., None]
    mixed = 2 * slope[..., [1, 0, 0]] * slope[..., [2, 2, 1]]
    linear = 2 * level[..., None] * slope + 2 * twice[..., None] * (near + far)
    both = np.square(near).sum(axis=-1) + np.square(far).sum(axis=-1)
    rest = np.square(level) - twice * both + np.square(np.square(ranges))
    return np.concatenate([squares, mixed, linear, rest[..., None]], axis=-1)


def roots(quadrics: np.ndarray) -> np.ndarray:
    """Common roots (N, 8, 3), complex, of three quadrics (N, 3, 10) as from `coefficients`.

    Eigenvectors of the matrix that multiplies by x in the quotient ring (Stetter 1996). Quadrics
    without eight isolated common roots give NaN or useless values.
    """
    scale = np.abs(quadrics).max(axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        times_x = _multiply_by_x(quadrics / scale)
        finite = np.isfinite(times_x).all(axis=(1, 2))[:, None, None]
        vectors = np.linalg.eig(np.where(finite, times_x, np.eye(8)))[1]
        points = np.swapaxes(vectors[:, 1:4] / vectors[:, :1], 1, 2)
    return np.where(finite, points, np.nan)


@functools.lru_cache(maxsize=1)
def _rotation() -> np.ndarray:
    """A fixed random rotation (3, 3). Roots with equal x cannot be separated, and in arrays that
    lie in a plane or along the axes mirror images often have equal x.
    """
    return np.linalg.qr(seeds.rng(0, "turn of quadrics").standard_normal((3, 3)))[0]


def _multiply_by_x(quadrics: np.ndarray) -> np.ndarray:
    """x times each basis monomial, one a row, written in the basis: (N, 8, 8)."""
    squares = np.zeros((len(quadrics), 3, 8))  # x^2, y^2, z^2 in the basis
    squares[..., [4, 5, 6, 1, 2, 3, 0]] = -solve_or_nan(quadrics[:, :, :3], quadrics[:, :, 3:])
    cubics = _mixed_cubics(squares)

    def times(variable: int, monomial: tuple[int, ...]) -> np.ndarray:
        """Product with a basis monomial other than xyz: (N, 8)."""
        if variable not in monomial:
            unit = np.zeros(8)
            unit[_PLACE[tuple(sorted((variable, *monomial)))]] = 1
            return np.broadcast_to(unit, (len(squares), 8))
        others = [v for v in monomial if v != variable]
        return cubics[:, _MIXED[others[0], variable]] if others else squares[:, variable]

    # x (xyz) = y (x^2 z) and y (xyz) = x (y^2 z): both sides hold xyz, so two equations in two.
    first, second = cubics[:, _MIXED[2, 0]], cubics[:, _MIXED[2, 1]]
    known_x = sum(first[:, k, None] * times(1, m) for k, m in enumerate(_MONOMIALS[:7]))
    known_y = sum(second[:, k, None] * times(0, m) for k, m in enumerate(_MONOMIALS[:7]))
    mutual = (1 - first[:, 7] * second[:, 7])[:, None]
    top = (known_x + first[:, 7, None] * known_y) / mutual
    return np.stack([*[times(0, m) for m in _MONOMIALS[:7]], top], axis=1)


def _mixed_cubics(squares: np.ndarray) -> np.ndarray:
    """v w^2 (v != w) in the basis, (N, 6, 8): v times each square leaves six linear equations."""
    left = np.broadcast_to(np.eye(6), (len(squares), 6, 6)).copy()
    right = np.zeros((len(squares), 6, 8))
    for (v, w), row in _MIXED.items():
        for place, monomial in enumerate(_MONOMIALS[:7]):
            factor = squares[:, w, place]
            others = [u for u in monomial if u != v]
            if v not in monomial:
                right[:, row, _PLACE[tuple(sorted((v, *monomial)))]] += factor
            elif others:  # v^2 times another variable: an unknown of the same system
                left[:, row, _MIXED[others[0], v]] -= factor
            else:
                right[:, row] += factor[:, None] * squares[:, v]
    return solve_or_nan(left, right)


@functools.lru_cache(maxsize=16)
def _keys(entries: int, count: int, seed: int) -> np.ndarray:
    """Random keys (count, entries): each draw takes the three present delays of lowest key."""
    return seeds.rng(seed, "three delays", entries, count).random((count, entries))


def hypotheses(problem: Problem, count: int, seed: int) -> np.ndarray:
    """Positions (n, 8 * count, 3) from ``count`` draws of any three delays that are present.

    Real parts of complex roots count too, as in the public routine: near a double root noise makes
    roots complex. Roots that are not finite or beyond a kilometre are put at `FAR`.
    """
    frames, n_pairs, candidates = problem.ranges.shape
    present = problem.present.reshape(frames, 1, -1)
    order = np.where(present, _keys(n_pairs * candidates, count, seed), 2.0)
    drawn = np.argpartition(order, 2, axis=-1)[..., :3]  # (n, K, 3)
    ranges = np.take_along_axis(problem.ranges.reshape(frames, 1, -1), drawn, -1)
    missing = np.any(ranges >= FAR / 2, axis=-1)
    ends = pairs(problem.mics.shape[1])[drawn // candidates]
    centre = problem.mics.mean(axis=1, keepdims=True)
    mics = (problem.mics - centre) @ _rotation()
    mics = np.broadcast_to(mics, (frames, *mics.shape[1:]))
    near, far = (mics[np.arange(frames)[:, None, None], ends[..., k]] for k in (0, 1))
    quadrics = coefficients(near, far, np.where(missing[..., None], 1.0, ranges))
    points = roots(quadrics.reshape(-1, 3, 10)).real.reshape(frames, -1, 3)
    points = (points @ _rotation().T + centre).reshape(frames, count, 8, 3)
    usable = np.all(np.abs(points) < 1e3, axis=-1) & ~missing[..., None]
    return np.where(usable[..., None], points, FAR).reshape(frames, 8 * count, 3)
