"""SRP-PHAT (DiBiase 2000): steered response power on a grid, then finer around its maxima."""

import dataclasses

import numpy as np

from wavloc.frames import Frames
from wavloc.methods.classical import confidence
from wavloc.methods.classical.confidence import Measured
from wavloc.methods.classical.solvers import steered
from wavloc.methods.classical.solvers.modes import status_and_covariance
from wavloc.methods.classical.solvers.steered import SteeredPower


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
    inlier_m: float = 0.04  # how far the peak of a pair may be from the maximum of the power
    min_confidence: float = 0.6  # below it a position is `uncertain`
    block: int = 8  # frames solved together


def strongest(field: SteeredPower, options: Options) -> np.ndarray:
    """Where the steered power is highest in the box: (B, 3) metres."""
    points = field.coarse_to_fine(options.spacing_m, options.starts, options.finest_m)
    return field.maximum(points, options.finest_m)


class Method(confidence.ConfidentMethod):
    """Steered power on a grid through an integer lag table; coarse to fine; peaks at the end."""

    Options = Options
    searches = True

    def measure(self, frames: Frames, block: slice) -> Measured:
        options = self.options
        field = steered.of_frames(frames, block, options)
        points = field.coarse_to_fine(options.spacing_m, options.starts, options.finest_m)
        position = field.maximum(points, options.finest_m)
        position = field.refine_on_peaks(position, options.inlier_m)
        found = position, *status_and_covariance(field.problem, position, options.inlier_m)
        return found, confidence.of_power(
            field, position, points, options.finest_m, options.inlier_m
        )
