"""The interface of datasets: a module with a class ``Dataset`` that derives from `Dataset`.

The module is a file of this folder, or another package's entry point ``wavloc.datasets``.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from wavloc.datasets.sound.corpus import Corpus
from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.geometry import SPEED_OF_SOUND, check_room, distances
from wavloc.plugins import make_options


@dataclasses.dataclass
class Scenes:
    """F frames to be simulated: room, microphones, source positions and dry sound.

    Units are metres, seconds and samples; positions are in room coordinates (0 <= x <= room).
    The dry signal of frame f begins at ``dry[start[f]]``; samples outside
    ``dry_begin[f] <= n < dry_end[f]`` count as silence, so that no other utterance leaks in.
    """

    room: np.ndarray  # (3,)
    mics: np.ndarray  # (M, 3) or (F, M, 3)
    source: np.ndarray  # (F, 3)
    dry: np.ndarray  # 1-D float32, may be memory-mapped
    start: np.ndarray  # (F,) index into `dry`
    dry_begin: np.ndarray  # (F,)
    dry_end: np.ndarray  # (F,)
    t60_s: np.ndarray  # (F,) nominal; below Sabine's bound the room is anechoic
    snr_db: np.ndarray  # (F,) or (F, M)
    table: pd.DataFrame
    samples: int  # per frame
    sample_rate: int
    max_order: int | None = None  # cap on the image order; None = that of `rooms.sabine`
    occluded: np.ndarray | None = None  # (F, M) whether the direct path is shadowed
    noise_level: str = "frame"  # SNR refers to each channel of a frame, or to the "track"
    silence_db: float | None = None  # drop frames this far below the track's 95th percentile
    # (3,) room coordinates of the (0, 0, 0) of the frames
    origin: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
    speed_of_sound: float = SPEED_OF_SOUND
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.source)

    def check(self) -> None:
        """Raise `InputError` for a geometry that cannot be simulated."""
        if not (self.room > 0).all():
            raise InputError(f"room {self.room.tolist()} m: all three sides must be positive")
        if (self.t60_s < 0).any():
            raise InputError(
                f"t60_s {float(self.t60_s.min())}: must not be negative (0 = anechoic)"
            )
        check_room(self.room, self.mics, "microphone")
        check_room(self.room, self.source, "source position")
        closest = float(distances(self.source, self.mics).min())
        if closest < 0.05:
            raise InputError(
                f"a source is {closest:.3f} m from a microphone; at least 0.05 m is needed "
                "(image amplitudes grow as 1/distance)"
            )


@dataclasses.dataclass(frozen=True)
class Split:
    """Names of the tracks for training, test and validation.

    If ``valid`` is empty, training holds out a fraction of the training tracks.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    valid: tuple[str, ...] = ()


class Dataset:
    """A source of frames. `Options` is a frozen dataclass of options with defaults."""

    label: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    sounds: ClassVar[tuple[str, ...]] = ()  # kinds of dry sound needed: "speech", "music"
    recordings: ClassVar[bool] = False  # whether it reads recordings from `data_folder`
    delays: ClassVar[bool] = False  # whether its frames hold arrival times instead of sound
    Options: ClassVar[type]

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        name: str = "",
        seed: int = 0,
        data: str | Path | None = None,
    ):
        self.name = name or type(self).__module__.rpartition(".")[2]
        self.options = make_options(type(self), options or {}, f"datasets.{self.name}")
        self.seed = seed
        self.data = data

    def data_folder(self) -> Path:
        """Folder with the recordings that the dataset reads."""
        if self.data is None:
            raise InputError(f"dataset '{self.name}' reads recordings and needs --data FOLDER")
        return Path(self.data)

    def tracks(self) -> list[str]:
        """Names of the recordings or parts; each becomes one Frames folder."""
        raise TypeError(f"dataset '{self.name}' defines no tracks()")

    def recorded(self, track: str) -> Frames | None:
        """Frames of a recorded track; None for a track that `scenes` simulates."""
        return None

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        """Scenes to simulate for one track; sounds: corpora of dry sound by kind."""
        raise TypeError(f"dataset '{self.name}' defines no scenes()")

    def splits(self) -> dict[str, Split]:
        """Splits of the tracks into training and test, by name."""
        raise TypeError(f"dataset '{self.name}' defines no splits()")

    def split_of(self, track: str) -> str:
        """Name of the split that has ``track`` as a test track; `InputError` if none has."""
        splits = self.splits()
        for name, split in splits.items():
            if track in split.test:
                return name
        tested = sorted({name for split in splits.values() for name in split.test})
        raise InputError(
            f"dataset '{self.name}' has no split that tests on track '{track}', "
            f"expected one of {', '.join(tested)}"
        )

    def check_track(self, track: str) -> None:
        """Raise `InputError` if the dataset has no such track."""
        if track not in self.tracks():
            raise InputError(
                f"dataset '{self.name}' has no track '{track}', "
                f"expected one of {', '.join(self.tracks())}"
            )


def draw_source(
    rng: np.random.Generator,
    low: np.ndarray,
    high: np.ndarray,
    mics: np.ndarray,
    min_distance_m: float,
) -> np.ndarray | None:
    """Position (3,) uniform between two corners, ``min_distance_m`` or more from mics (M, 3).

    None if the corners enclose no volume or 100 draws are all too close to a microphone.
    """
    if (low > high).any():
        return None
    for _ in range(100):
        source = rng.uniform(low, high)
        if np.linalg.norm(mics - source, axis=1).min() >= min_distance_m:
            return source
    return None
