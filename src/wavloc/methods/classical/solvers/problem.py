"""A batch of localization problems, and how well candidate positions fit their delays."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.features.delays import mic_positions
from wavloc.frames import Frames
from wavloc.geometry import pairs
from wavloc.methods.classical.solvers.shells import Shells

FAR = 1e6  # metres; stands for a missing delay, whose residual no position can make small
MARGIN_M, FLOOR_M = 0.5, 1.0  # search box around the microphones, and below the lowest one


@dataclasses.dataclass
class Problem:
    """n frames: mics (n or 1, M, 3) metres, unknown ones at the origin and unused; ranges
    (n, P, H) = measured |s - r_i| - |s - r_j| in metres, H candidates per pair, `FAR` = missing;
    low, high (n or 1, 3): corners of the search box; known (n or 1, M) bool. shells: how cells
    grow away from the microphones; None: they are all alike.
    """

    mics: np.ndarray
    ranges: np.ndarray
    low: np.ndarray
    high: np.ndarray
    known: np.ndarray
    shells: Shells | None = None

    def __post_init__(self) -> None:
        self.first, self.second = pairs(self.mics.shape[1]).T

    def __len__(self) -> int:
        return len(self.ranges)

    def __getitem__(self, block: slice | np.ndarray) -> Problem:
        shared = (self.mics, self.low, self.high, self.known)
        mics, low, high, known = (part if len(part) == 1 else part[block] for part in shared)
        return Problem(mics, self.ranges[block], low, high, known, self.shells)

    def strongest(self) -> Problem:
        """The problem with the first candidate of each pair alone."""
        return dataclasses.replace(self, ranges=self.ranges[..., :1])

    @property
    def fixed(self) -> np.ndarray:
        """Axes (3,) along which the search box has no extent."""
        return (self.low == self.high).all(axis=0)

    def scale(self, points: np.ndarray) -> np.ndarray | float:
        """Size of the cells at positions (n, K, 3), in terms of the smallest: (n, K)."""
        return self.shells.scale(points) if self.shells else 1.0

    @property
    def present(self) -> np.ndarray:
        """Which delays were measured: (n, P, H)."""
        return self.ranges < FAR / 2

    @property
    def spans(self) -> np.ndarray:
        """Distance of the two microphones of each pair: (n or 1, P) metres."""
        gap = self.mics[:, self.first] - self.mics[:, self.second]
        return np.sqrt(np.square(gap).sum(axis=-1))

    @property
    def centroid(self) -> np.ndarray:
        """Mean of the known microphones: (n, 1, 3), NaN where there is none."""
        with np.errstate(invalid="ignore"):
            mean = self.mics.sum(axis=1) / self.known.sum(axis=1, keepdims=True)
        return np.broadcast_to(mean, (len(self), 3))[:, None]

    def clip(self, points: np.ndarray) -> np.ndarray:
        """Positions (n, K, 3), moved into the search box where they are outside."""
        return np.clip(points, self.low[:, None], self.high[:, None])

    def differences(self, points: np.ndarray) -> np.ndarray:
        """|s - r_i| - |s - r_j| of candidate positions (n, K, 3): (n, K, P) metres."""
        distance = np.sqrt(np.square(points[:, :, None, :] - self.mics[:, None]).sum(axis=-1))
        return distance[..., self.first] - distance[..., self.second]

    def residuals(self, points: np.ndarray) -> np.ndarray:
        """Signed residual to the nearest candidate of each pair: (n, K, P) metres."""
        return self._nearest(self.differences(points))

    def _nearest(self, predicted: np.ndarray) -> np.ndarray:
        best = predicted - self.ranges[:, None, :, 0]
        for rank in range(1, self.ranges.shape[2]):  # H <= 4: faster than a new axis
            residual = predicted - self.ranges[:, None, :, rank]
            best = np.where(np.abs(residual) < np.abs(best), residual, best)
        return best

    def by_mic(self, values: np.ndarray) -> np.ndarray:
        """Sums (n, M) over the pairs of each microphone of values (n, P)."""
        ends = np.eye(self.mics.shape[1])
        return values @ (ends[self.first] + ends[self.second])

    def linearised(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`residuals` and their derivatives u_i - u_j, u_m = (s - r_m) / d_m: (n, K, P, 3)."""
        offset = points[:, :, None, :] - self.mics[:, None]
        distance = np.sqrt(np.square(offset).sum(axis=-1))
        unit = offset / np.maximum(distance, 1e-6)[..., None]
        if self.fixed.any():
            unit = np.where(self.fixed, 0.0, unit)
        residual = self._nearest(distance[..., self.first] - distance[..., self.second])
        return residual, unit[:, :, self.first] - unit[:, :, self.second]


def build(
    delays: np.ndarray,
    mics: np.ndarray,
    sample_rate: int,
    speed: float,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
    graded: bool = False,
) -> Problem:
    """Problem from delays (n, P[, H]) in samples, NaN = missing, and mics ([n,] M, 3).

    Pairs with an unknown (NaN) microphone are dropped. The search box is ``bounds``, two corners,
    if given, else that of the microphones and some space around. graded: cells grow outside of the
    latter, which needs microphones that stand still.
    """
    delays = delays[..., None] if delays.ndim == 2 else delays
    mics = mics[None] if mics.ndim == 2 else mics
    known = np.isfinite(mics).all(axis=-1)
    first, second = pairs(mics.shape[1]).T
    both = known[:, first] & known[:, second]
    ranges = np.where(np.isfinite(delays) & both[..., None], delays * (speed / sample_rate), FAR)
    around, shells = _around(mics, known), None
    if bounds is None:
        low, high = around
    else:
        low, high = (np.broadcast_to(corner, (1, 3)) for corner in bounds)
        if graded:
            shells = Shells(*(np.clip(corner[0], *bounds) for corner in around))
    return Problem(np.where(known[..., None], mics, 0.0), ranges, low, high, known, shells)


def _around(mics: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (n, 3) of the box of the known microphones with some space around."""
    below = [MARGIN_M, MARGIN_M, FLOOR_M]
    with np.errstate(all="ignore"):
        low = np.where(known[..., None], mics, np.inf).min(axis=1) - below
        high = np.where(known[..., None], mics, -np.inf).max(axis=1) + MARGIN_M
    nothing = ~known.any(axis=1)  # no known microphone: any box will do
    low[nothing], high[nothing] = -1.0, 1.0
    return low, high


def from_frames(frames: Frames, block: slice, delays: np.ndarray) -> Problem:
    """Problem of some frames with delays (B, P, H) in samples; the box is the room if known."""
    mics, rate, speed = mic_positions(frames, block), frames.sample_rate, frames.speed_of_sound
    return build(delays, mics, rate, speed, frames.room_bounds, frames.meta.get("graded", False))


def cost(problem: Problem, points: np.ndarray, inlier_m: float) -> np.ndarray:
    """Truncated L1 of the residuals over pairs: (n, K, 3) -> (n, K) metres."""
    return np.minimum(np.abs(problem.residuals(points)), inlier_m).sum(axis=-1)


def inliers(problem: Problem, points: np.ndarray, inlier_m: float) -> np.ndarray:
    """Delays, all candidates counted, within ``inlier_m``: (n, K, 3) -> (n, K)."""
    residual = problem.differences(points)[..., None] - problem.ranges[:, None]
    return (np.abs(residual) < inlier_m).sum(axis=(-1, -2))


def keep_lowest(points: np.ndarray, cost: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` positions (n, K, 3) of lowest cost (n, K) per frame, lowest first."""
    order = np.argsort(cost, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(points, order[..., None], 1)
