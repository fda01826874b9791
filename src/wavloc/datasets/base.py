"""The one dataset interface. A dataset is a file of this folder (or an entry point
``wavloc.datasets`` of another package) with a class ``Dataset`` that derives from `Dataset`.
"""

from __future__ import annotations

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
    """F frames still to be rendered: who sounds where, in which room, heard by which microphones.

    Everything in metres, seconds and samples; positions in room coordinates (0 <= x <= room).
    The dry signal of frame f starts at ``dry[start[f]]``; samples outside
    ``dry_begin[f] <= n < dry_end[f]`` are silence (another utterance's sound must not leak in).
    """

    room: np.ndarray  # (3,)
    mics: np.ndarray  # (M, 3) or (F, M, 3)
    source: np.ndarray  # (F, 3)
    dry: np.ndarray  # 1-D float32, may be memory-mapped
    start: np.ndarray  # (F,) first of the `samples` to be rendered
    dry_begin: np.ndarray  # (F,)
    dry_end: np.ndarray  # (F,)
    t60_s: np.ndarray  # (F,) nominal; below Sabine's bound the room is anechoic
    snr_db: np.ndarray  # (F,) or (F, M)
    table: pd.DataFrame
    samples: int
    sample_rate: int
    max_order: int | None = None  # cap on the image order, None = Sabine's
    occluded: np.ndarray | None = None  # (F, M) direct path shadowed by the carrier
    noise_level: str = "frame"  # SNR relative to each frame's channel, or to the whole "track"
    silence_db: float | None = None  # drop frames this far below the track's 95th percentile
    origin: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
    speed_of_sound: float = SPEED_OF_SOUND
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.source)

    def check(self) -> None:
        """Refuse geometry that cannot be simulated."""
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
    """Which tracks a method learns from and which it is scored on: names of `Dataset.tracks`.

    An empty ``valid`` means that the training stage holds out a share of the training tracks.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    valid: tuple[str, ...] = ()


class Dataset:
    """Where frames come from. `Options` is a frozen dataclass of sizes with their defaults."""

    label: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    sounds: ClassVar[tuple[str, ...]] = ()  # dry material needed: "speech", "music"
    recordings: ClassVar[bool] = False  # whether it reads recordings, from `data_folder`
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
        """Names of the recordings or splits; each becomes one Frames folder."""
        raise TypeError(f"dataset '{self.name}' defines no tracks()")

    def recorded(self, track: str) -> Frames | None:
        """Frames of a track that was recorded; None where `scenes` says what to simulate."""
        return None

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        """What to simulate for one track, from dry material by kind."""
        raise TypeError(f"dataset '{self.name}' defines no scenes()")

    def splits(self) -> dict[str, Split]:
        """Ways to part the tracks into training and test, by name."""
        raise TypeError(f"dataset '{self.name}' defines no splits()")

    def split_of(self, track: str) -> str:
        """Name of the split that tests on ``track``; `InputError` if none does."""
        splits = self.splits()
        for name, split in splits.items():
            if track in split.test:
                return name
        tested = sorted({other for split in splits.values() for other in split.test})
        raise InputError(
            f"dataset '{self.name}' has no split that tests on track '{track}', "
            f"expected one of {', '.join(tested)}"
        )

    def check_track(self, track: str) -> None:
        """Raise `InputError` for a track this dataset does not have."""
        if track not in self.tracks():
            raise InputError(
                f"dataset '{self.name}' has no track '{track}', "
                f"expected one of {', '.join(self.tracks())}"
            )


def require_positive(name: str, **values: float) -> None:
    """Raise `InputError` naming the first option that is not greater than zero."""
    for key, value in values.items():
        if not value > 0:
            raise InputError(f"datasets.{name}.options.{key}: {value!r} must be greater than 0")


def require_room(name: str, room: tuple[float, ...]) -> None:
    """Raise `InputError` unless ``room`` is three positive lengths in metres."""
    if len(room) != 3 or not all(side > 0 for side in room):
        raise InputError(
            f"datasets.{name}.options.room: {list(room)}, expected three lengths above 0 m"
        )
