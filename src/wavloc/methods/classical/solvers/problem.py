"""The common form of a batch of localization problems, and residuals of candidate positions."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.geometry import pairs

FAR = 1e6  # metres; stands for a missing delay, whose residual no position can make small


@dataclasses.dataclass
class Problem:
    """n frames: mics (n or 1, M, 3) metres, unknown ones at the origin and unused; ranges
    (n, P, H) = measured |s - r_i| - |s - r_j| in metres, H candidates per pair, `FAR` = missing;
    low, high (n or 1, 3): box that the source is looked for in.
    """

    mics: np.ndarray
    ranges: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __post_init__(self) -> None:
        self.first, self.second = pairs(self.mics.shape[1]).T

    def __len__(self) -> int:
        return len(self.ranges)

    def __getitem__(self, block: slice | np.ndarray) -> Problem:
        def cut(array: np.ndarray) -> np.ndarray:
            return array if len(array) == 1 else array[block]

        return Problem(cut(self.mics), self.ranges[block], cut(self.low), cut(self.high))

    @property
    def present(self) -> np.ndarray:
        """Which delays are there: (n, P, H)."""
        return self.ranges < FAR / 2

    def differences(self, points: np.ndarray) -> np.ndarray:
        """|s - r_i| - |s - r_j| of candidate positions (n, K, 3): (n, K, P)."""
        distance = np.sqrt(np.square(points[:, :, None, :] - self.mics[:, None]).sum(axis=-1))
        return distance[..., self.first] - distance[..., self.second]

    def residuals(self, points: np.ndarray) -> np.ndarray:
        """Signed residual to the nearest candidate of each pair: (n, K, P) metres."""
        return nearest(self.differences(points), self.ranges)


def nearest(predicted: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Residual of predictions (n, K, P) to the nearest of the candidates (n, P, H)."""
    if ranges.shape[2] == 1:
        return predicted - ranges[:, None, :, 0]
    best = predicted - ranges[:, None, :, 0]
    for rank in range(1, ranges.shape[2]):  # H <= 4 passes are faster than one over a new axis
        gap = predicted - ranges[:, None, :, rank]
        best = np.where(np.abs(gap) < np.abs(best), gap, best)
    return best


def anywhere(problem: Problem) -> Problem:
    """The same problem with no box."""
    side = np.full((1, 3), FAR / 10)
    return dataclasses.replace(problem, low=-side, high=side)


def build(
    delays: np.ndarray,
    mics: np.ndarray,
    sample_rate: int,
    speed: float,
    margin_m: float = 0.5,
    floor_m: float = 1.0,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> Problem:
    """Problem from delays (n, P[, H]) in samples, NaN = missing, and mics ([n,] M, 3).

    Pairs with an unknown (NaN) microphone are dropped. The box is that of the microphones and
    ``margin_m`` around, ``floor_m`` below the lowest one, unless ``bounds`` states it.
    """
    delays = delays[..., None] if delays.ndim == 2 else delays
    mics = mics[None] if mics.ndim == 2 else mics
    known = np.isfinite(mics).all(axis=-1)
    first, second = pairs(mics.shape[1]).T
    both = known[:, first] & known[:, second]
    ranges = np.where(np.isfinite(delays) & both[..., None], delays * (speed / sample_rate), FAR)
    if bounds is None:
        with np.errstate(all="ignore"):
            low = np.where(known[..., None], mics, np.inf).min(axis=1) - [
                margin_m,
                margin_m,
                floor_m,
            ]
            high = np.where(known[..., None], mics, -np.inf).max(axis=1) + margin_m
        nothing = ~known.any(axis=1)  # a frame with no known microphone: any box will do
        low[nothing], high[nothing] = -1.0, 1.0
    else:
        low, high = (np.broadcast_to(side, (1, 3)) for side in bounds)
    return Problem(np.where(known[..., None], mics, 0.0), ranges, low, high)


def cost(problem: Problem, points: np.ndarray, width: float) -> np.ndarray:
    """Truncated L1 of the residuals over pairs: (n, K, 3) -> (n, K) metres; low is good."""
    return np.minimum(np.abs(problem.residuals(points)), width).sum(axis=-1)


def inliers(problem: Problem, points: np.ndarray, width: float) -> np.ndarray:
    """Delays, all candidates counted, within ``width`` metres: (n, K, 3) -> (n, K)."""
    gaps = problem.differences(points)[..., None] - problem.ranges[:, None]
    return (np.abs(gaps) < width).sum(axis=(-1, -2))
