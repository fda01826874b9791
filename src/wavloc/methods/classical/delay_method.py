"""What methods share that turn one table of delays into positions."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from wavloc.features import delays as measured
from wavloc.frames import Frames
from wavloc.methods.classical import confidence
from wavloc.methods.classical.confidence import Measured, Solution
from wavloc.methods.classical.solvers.problem import Problem, build, from_frames

Solver = Callable[..., Solution]  # of a problem, options and a seed


@dataclasses.dataclass(frozen=True)
class DelayOptions:
    """Options of all these methods."""

    peaks: int = 1  # candidates per pair
    exponent: float = 0.8  # of the whitening; 1 = PHAT
    low_hz: float = 200.0
    high_hz: float = 7500.0
    oversample: int = 4
    min_distance: float = 5.0  # samples between candidates
    inlier_m: float = 0.10  # for status and covariance
    min_confidence: float = 0.6  # below it a position is `uncertain`
    block: int = 16  # frames solved together; fits the cache


def solve_delays(
    locate: Solver,
    default: Any,
    delays: np.ndarray,
    mics: np.ndarray,
    sample_rate: int,
    speed: float,
    options: Any = None,
    seed: int = 0,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> Solution:
    """Position (n, 3) metres, status (n,) and covariance (n, 3, 3) by a method's ``locate`` and
    its default options; the rest as in `problem.build`.
    """
    problem = build(delays, mics, sample_rate, speed, bounds)
    return solve_problem(locate, problem, options or default, seed)


def solve_problem(locate: Solver, problem: Problem, options: Any, seed: int) -> Solution:
    """As ``locate``, with ``options.block`` frames at a time."""
    starts = range(0, len(problem), options.block)
    parts = [locate(problem[start : start + options.block], options, seed) for start in starts]
    position, status, covariance = (np.concatenate(part) for part in zip(*parts, strict=True))
    return position, status, covariance


class DelayMethod(confidence.ConfidentMethod):
    """GCC-PHAT peaks of every pair, then ``locate``."""

    locate: ClassVar[Solver]

    def measure(self, frames: Frames, block: slice) -> Measured:
        problem = from_frames(frames, block, measured.peaks(frames, block, self.options))
        found = self.locate(problem, self.options, self.seed)
        if frames.arrivals is not None:
            return found, None
        return found, confidence.of_delays(problem, found[0], self.options.inlier_m)
