"""What all methods share that turn a table of delays into positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from wavloc.features import delays as measured
from wavloc.frames import Frames
from wavloc.methods.base import Method
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


class DelayMethod(Method):
    """GCC-PHAT peaks of every pair, then ``solver``.

    solver(delays, mics, sample_rate, speed, options, seed, bounds) -> position (n, 3), status
    (n,), covariance (n, 3, 3); it can be used alone on delays that were measured elsewhere.
    """

    input_types = "GCC-PHAT"
    solver: ClassVar[Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]]

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        covariance = np.full((len(frames), 3, 3), np.nan)

        def of_block(block: slice) -> tuple[np.ndarray, np.ndarray]:
            position, status, covariance[block] = self.locate_block(frames, block)
            return position, status

        predictions = self.in_blocks(frames, self.options.block, of_block)
        predictions.covariance = covariance
        return predictions

    def locate_block(
        self, frames: Frames, block: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, status and covariance of some frames."""
        return self.solver(
            measured.peaks(frames, block, self.options, self.options.peaks),
            measured.positions(frames, block),
            frames.sample_rate,
            frames.speed_of_sound,
            self.options,
            self.seed,
            frames.room_bounds,
        )
