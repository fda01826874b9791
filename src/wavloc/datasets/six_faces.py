"""The simulated data of the wav2pos paper (Fig. 3): one microphone on each face of a room.

Microphones, source and T60 are random in every example; the splits have no speaker in common.
"""

import dataclasses

import numpy as np

from wavloc.datasets.speakers import ExampleOptions, SpeakerExamples
from wavloc.errors import InputError


@dataclasses.dataclass(frozen=True)
class Options(ExampleOptions):
    """The published sizes; the test split has every combination of T60 (s) and SNR."""

    source_low: tuple[float, ...] = (0.5, 0.5, 0.25)
    source_high: tuple[float, ...] = (4.5, 4.5, 1.75)
    test_t60_s: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)


class Dataset(SpeakerExamples):
    """Six microphones, each at a uniform position on its face; speaker-disjoint splits."""

    label = "six faces"
    reference = "Berg et al. 2024, Sec. IV (simulated data)"
    Options = Options

    def array(self, rng: np.random.Generator) -> np.ndarray:
        """Uniform points on floor, ceiling, y = 0, x = 0, x = max, y = max."""
        room = np.array(self.options.room)
        points = rng.uniform(0, room, (6, 3))
        for face, axis, far in ((0, 2, 0), (1, 2, 1), (2, 1, 0), (3, 0, 0), (4, 0, 1), (5, 1, 1)):
            points[face, axis] = far * room[axis]
        return points

    def check(self) -> None:
        """Raise `InputError` for options that do not go together."""
        super().check()
        low, high = self.source_box()
        if (low > high).any():
            raise InputError(
                f"datasets.{self.name}.options.source_low: {low.tolist()}, expected no more than "
                f"source_high {high.tolist()}"
            )

    def source_box(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.options.source_low), np.array(self.options.source_high)

    def t60_s(self, track: str, index: int, rng: np.random.Generator) -> float:
        if track != "test":
            return super().t60_s(track, index, rng)
        swept = self.options.test_t60_s
        return swept[index // len(self.options.test_snr_db) % len(swept)]
