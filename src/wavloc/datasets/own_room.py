"""The user's own room: fixed microphones and speech from anywhere at the height of people.

`wavloc own-room` writes the config entry from a list of microphones. Positions are in the
coordinates of that list.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from wavloc.checks import vector
from wavloc.datasets.base import Scenes
from wavloc.datasets.sound.corpus import Corpus
from wavloc.datasets.speakers import ExampleOptions, SpeakerExamples
from wavloc.errors import InputError


@dataclasses.dataclass(frozen=True)
class Options(ExampleOptions):
    """Geometry in metres, stated by the user; sizes as for six_faces."""

    mics: tuple[tuple[str, float, float, float], ...] = ()  # name, x, y, z of each
    corner: tuple[float, ...] = (0.0, 0.0, 0.0)  # lowest x, y and z of the room
    height_low_m: float = 1.0  # of sources, above the floor
    height_high_m: float = 1.8
    wall_m: float = 0.3  # between sources and walls
    repeats: int = 1
    t60_low_s: float = 0.2  # nominal, in the test split too
    test_snr_db: tuple[float, ...] = (20.0,)


class Dataset(SpeakerExamples):
    """Fixed microphones; sources uniform over the floor plan; speaker-disjoint splits."""

    label = "own room (simulated)"
    reference = "the user's own"
    Options = Options

    def array(self, rng: np.random.Generator | None = None) -> np.ndarray:
        """The fixed microphones (M, 3) in room coordinates (m); ``rng`` is not used."""
        return np.array([row[1:] for row in self.options.mics], float) - self.options.corner

    def source_box(self) -> tuple[np.ndarray, np.ndarray]:
        options = self.options
        far = np.array(options.room[:2]) - options.wall_m
        low = np.array([options.wall_m, options.wall_m, options.height_low_m])
        return low, np.array([*far, options.height_high_m])

    def check(self) -> None:
        """Raise `InputError` for an impossible geometry; it names the microphone."""
        super().check()
        options, where = self.options, f"datasets.{self.name}.options"
        if not options.mics:
            raise InputError(f"{where}.mics: none, expected [name, x, y, z] of each microphone")
        for row in options.mics:
            if not isinstance(row, list | tuple) or len(row) != 4:
                raise InputError(f"{where}.mics: {row}, expected [name, x, y, z] in metres")
            vector(row[1:], f"{where}.mics, [name, x, y, z]: {row}")
        corner, room = np.array(options.corner), np.array(options.room)
        for (name, *stated), place in zip(options.mics, self.array(), strict=True):
            if (place < -1e-9).any() or (place > room + 1e-9).any():
                box = ", ".join(
                    f"{axis} {low:g} to {high:g}"
                    for axis, low, high in zip("xyz", corner, corner + room, strict=True)
                )
                raise InputError(
                    f"{where}.mics: '{name}' at {stated} m lies outside the room ({box} m); "
                    "corner says where the room begins"
                )
        low, high = self.source_box()
        if not (low[:2] >= 0).all() or not (low[:2] < high[:2]).all():
            raise InputError(
                f"{where}.wall_m: {options.wall_m}, expected at least 0 m and less than half of "
                f"the room's {options.room[0]:g} and {options.room[1]:g} m"
            )
        # Networks scale each axis by the standard deviation of the source positions.
        if not 0 <= low[2] <= high[2] - 0.1 <= room[2] - 0.1:
            raise InputError(
                f"{where}: sources from height_low_m {low[2]:g} to height_high_m {high[2]:g}, "
                f"expected at least 0.1 m between them, within 0 and the room's {room[2]:g} m"
            )

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        drawn = super().scenes(track, sounds)
        return dataclasses.replace(
            drawn,
            mics=self.array(),
            origin=np.zeros(3) - self.options.corner,
            meta=drawn.meta | {"mic_names": [name for name, *_ in self.options.mics]},
        )
