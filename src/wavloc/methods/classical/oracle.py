"""Control: least squares on the true delays, exact or in whole samples. The ceiling of a table."""

import dataclasses

import numpy as np

from wavloc.frames import Frames
from wavloc.geometry import tdoa
from wavloc.methods.base import Method as Base
from wavloc.methods.classical.solvers.problem import build
from wavloc.methods.classical.solvers.refine import ordinary, refine
from wavloc.methods.predictions import Predictions
from wavloc.setups import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """How exact the delays are, and how long they are fitted."""

    round_samples: bool = False  # delays in whole samples, as peaks of a GCC
    steps: int = 30  # of least squares


class Method(Base):
    """Least squares on the true delays of the known microphones, from their centroid."""

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
        position = refine(problem, problem.centroid, [ordinary] * self.options.steps)[:, 0]
        status = np.full(len(frames), "ok", dtype=object)
        failed = ~problem.present.any(axis=(1, 2))
        position[failed], status[failed] = np.nan, "too_few_entries"
        return Predictions(position, status)
