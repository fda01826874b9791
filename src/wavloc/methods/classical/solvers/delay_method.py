"""The shared base of methods that turn one table of delays into positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from wavloc.features import delays
from wavloc.frames import Frames
from wavloc.methods.base import Method
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


class DelayMethod(Method):
    """GCC-PHAT peaks of every pair, then ``solver``.

    solver(delays, mics, sample_rate, speed, options, seed, bounds) -> position (n, 3), status
    (n,), covariance (n, 3, 3). It works as well on delays that were measured elsewhere.
    """

    input_types = "GCC-PHAT"
    solver: ClassVar[Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]]

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        def solve(block: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return self.solver(
                delays.peaks(frames, block, self.options),
                delays.mic_positions(frames, block),
                frames.sample_rate,
                frames.speed_of_sound,
                self.options,
                self.seed,
                frames.room_bounds,
            )

        return self.in_blocks(frames, self.options.block, solve)
