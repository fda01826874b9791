"""Control: least squares on the true delays, whole samples or exact. The ceiling of a table."""

from __future__ import annotations

import dataclasses

import numpy as np

from wavloc.frames import Frames
from wavloc.geometry import tdoa
from wavloc.methods.base import Method as Base
from wavloc.methods.classical.solvers.problem import build
from wavloc.methods.classical.solvers.refine import refine
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """How the true delays are given."""

    round_samples: bool = False  # to whole samples, as integer correlation lags are
    steps: int = 30


class Method(Base):
    """Least squares on the true delays of the known microphones, from their centroid."""

    label = "Oracle (ceiling)"
    reference = "control"
    input_types = "true delays"
    control = True
    needs_truth = True
    Options = Options

    def estimate(self, frames: Frames, setup: Setup) -> Predictions:
        mics = frames.mics()
        delays = tdoa(
            np.asarray(frames.source_position), mics, frames.sample_rate, frames.speed_of_sound
        )
        if self.options.round_samples:
            delays = np.rint(delays)
        problem = build(delays, mics, frames.sample_rate, frames.speed_of_sound)

        def plain(residual: np.ndarray) -> np.ndarray:
            return (np.abs(residual) < 1e5).astype(float)

        start = np.nanmean(mics, axis=1)[:, None]
        position = refine(problem, start, [plain] * self.options.steps)[:, 0]
        status = np.full(len(frames), "ok", dtype=object)
        lost = ~problem.present.any(axis=(1, 2))
        position[lost], status[lost] = np.nan, "too_few_entries"
        return Predictions(position, status)
