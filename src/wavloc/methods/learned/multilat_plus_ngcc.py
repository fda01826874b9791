"""Multilat+ on the delays of NGCC-PHAT; uses the model that `multilat_ngcc` trains."""

from __future__ import annotations

import numpy as np

from wavloc.features import delays as measured
from wavloc.frames import Frames
from wavloc.methods.classical import multilat_plus
from wavloc.methods.learned import multilat_ngcc


class Method(multilat_ngcc.Method):
    """NGCC-PHAT peaks; TDOA map and RANSAC starts; least squares on probable inliers."""

    label = "Multilat+ (NGCC-PHAT)"
    reference = "wavloc; NGCC-PHAT: Berg et al. 2022"
    trained_as = "multilat_ngcc"

    def solve(
        self, frames: Frames, block: slice, delays: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return multilat_plus.solve(
            delays,
            measured.mic_positions(frames, block),
            frames.sample_rate,
            frames.speed_of_sound,
            seed=self.seed,
            bounds=frames.room_bounds,
        )
