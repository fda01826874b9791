"""SRP-PHAT (DiBiase 2000): steered response power on a grid, then finer around its maxima."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.features import delays
from wavloc.frames import Frames
from wavloc.methods.base import Method as Base
from wavloc.methods.classical.solvers import steered
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.problem import Problem, from_frames
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """Whitening exponent and band were chosen on simulated training rooms, not on test data."""

    exponent: float = 0.75  # of the whitening; 1 = PHAT
    low_hz: float = 100.0
    high_hz: float = 7500.0
    oversample: int = 4
    spacing_m: float = 0.16  # of the first grid
    finest_m: float = 0.0125  # spacing below which the raw power is climbed
    starts: int = 160  # cells of the first grid that are followed
    margin_m: float = 0.5  # search box around the microphones if the room is unknown ...
    floor_m: float = 1.0  # ... and below the lowest one
    inlier_m: float = 0.04  # how far the peak of a pair may be from the maximum of the power
    block: int = 8  # frames solved together


def correlate(frames: Frames, block: slice, options: Options) -> tuple[Problem, np.ndarray, float]:
    """Some frames as a problem without delays, their GCC (B, P, L), 0 where no delay is possible,
    and the metres between two of its lags.
    """
    gcc, limit = delays.correlate(frames, block, options)
    gcc = delays.mask_impossible(gcc, limit, options.oversample)
    none = np.zeros((*gcc.shape[:2], 1))
    problem = from_frames(frames, block, none, options.margin_m, options.floor_m)
    return problem, gcc, steered.metres_per_lag(frames, options.oversample)


def strongest(problem: Problem, gcc: np.ndarray, step: float, options: Options) -> np.ndarray:
    """Where the steered power of gcc (B, P, L) is highest in the box: (B, 3) metres."""
    points = steered.coarse_to_fine(
        problem, gcc, step, options.spacing_m, options.starts, options.finest_m
    )
    return steered.maximum(problem, gcc, step, points, options.finest_m)


def solve(
    frames: Frames, block: slice, options: Options
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position (B, 3) metres, status (B,) and covariance (B, 3, 3) of some frames."""
    problem, gcc, step = correlate(frames, block, options)
    position = strongest(problem, gcc, step, options)
    position = steered.refine_on_peaks(problem, gcc, step, position, options.inlier_m)
    return position, *status_and_covariance(problem, position, options.inlier_m)


class Method(Base):
    """Steered power on a grid through an integer lag table; coarse to fine; peaks at the end."""

    label = "SRP-PHAT"
    reference = "DiBiase 2000"
    input_types = "GCC-PHAT"
    Options = Options

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        options = self.options
        return self.in_blocks(frames, options.block, lambda block: solve(frames, block, options))
