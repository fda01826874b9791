"""Eight takes, music1..4 and speech1..4, their splits and their simulated extension.

Eight more tracks, music1_sim..speech4_sim, extend the training data as in the wav2pos paper: the
sound of the take is rendered frame by frame, each frame with its own random source position and
T60. They have no noise, gain errors or occlusion; training adds noise.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets import base
from wavloc.datasets.base import Scenes, Split
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES

SIM = "_sim"  # ending of the names of simulated tracks
SIM_WALL_M, SIM_MIC_M = 0.3, 0.4  # least distance of a simulated source to room surfaces, to mics


@dataclasses.dataclass(frozen=True)
class TakeOptions:
    """Sizes of the frames and of the extension; metres and seconds unless stated."""

    hop: int = 1024  # samples between frame starts
    margin: int = 800  # samples stored on both sides of a frame: the paper's +-0.05 s shift
    max_order: int = 0  # cap on the image order, 0 = Sabine's
    silence_db: float = 30.0  # drop frames this far below the 95th percentile of power
    room: tuple[float, ...] = (7.0, 8.0, 2.0)
    shift: tuple[float, ...] = (3.60, 4.53, 0.0)  # room = LuViRA coordinates + shift
    sim_share: float = 1.0  # simulated frames per frame of a take
    sim_t60_low_s: float = 0.0  # bounds of the uniform nominal T60 of simulated frames
    sim_t60_high_s: float = 0.4


class EightTakes(base.Dataset):
    """Tracks, splits and the extension; `Options` derives from `TakeOptions`."""

    def takes(self) -> list[str]:
        """Names of the eight takes, without the extension."""
        return [f"{kind}{index}" for kind in ("music", "speech") for index in range(1, 5)]

    def tracks(self) -> list[str]:
        return self.takes() + [take + SIM for take in self.takes()]

    def splits(self) -> dict[str, Split]:
        """Four splits: both takes of one number are for testing, the other six for training.

        The extension of a training take is also used for training; that of a test take is not
        used, because it has the sound of the test. Two takes share a song, as in the real data,
        but never an utterance.
        """
        splits = {}
        for number in "1234":
            train = tuple(take for take in self.takes() if not take.endswith(number))
            simulated = tuple(take + SIM for take in train)
            splits[number] = Split(train + simulated, (f"music{number}", f"speech{number}"))
        return splits

    @property
    def samples(self) -> int:
        """Stored samples per frame, including the margins."""
        return FRAME_SAMPLES + 2 * self.options.margin

    def check_options(self) -> None:
        """Raise `InputError` for options that cannot give frames."""
        options, where = self.options, f"datasets.{self.name}.options"
        if options.sim_t60_low_s > options.sim_t60_high_s:
            raise InputError(
                f"{where}.sim_t60_low_s, sim_t60_high_s: {options.sim_t60_low_s} and "
                f"{options.sim_t60_high_s} s, expected 0 <= low <= high"
            )

    def grid(self, track: str, total: int) -> tuple[np.ndarray, pd.DataFrame]:
        """First samples (F,) and table of the frames that fit into ``total`` samples of a take."""
        start = np.arange(0, total - self.samples + 1, self.options.hop)
        table = pd.DataFrame(
            {
                "frame": np.arange(len(start)),
                "recording": self.name,
                "track": track,
                "take": track.removesuffix(SIM),
                "time_s": (start + self.samples / 2) / SAMPLE_RATE,
                "split": track,
            }
        )
        return start, table

    def scenes_of(self, dry: np.ndarray, mics: np.ndarray, part: Mapping[str, Any]) -> Scenes:
        """Scenes of a take or its extension: dry sound (n,), mics (M, 3) in room coordinates.

        part: the fields of `Scenes` in which takes and extensions differ.
        """
        frames = len(part["start"])
        scenes = Scenes(
            room=np.array(self.options.room),
            mics=mics,
            dry=dry,
            dry_begin=np.zeros(frames, int),
            dry_end=np.full(frames, len(dry)),
            samples=self.samples,
            sample_rate=SAMPLE_RATE,
            max_order=self.options.max_order or None,
            silence_db=self.options.silence_db,
            origin=np.array(self.options.shift),
            **part,
        )
        scenes.check()
        return scenes

    def extension(
        self, track: str, start: np.ndarray, table: pd.DataFrame, mics: np.ndarray
    ) -> dict[str, Any]:
        """Fields of `Scenes` for the extension of a take: source position and T60 of each frame.

        start (F,), table: the frames of the take; mics (M, 3) in room coordinates. Each frame has
        its own random stream and keeps its draws if ``sim_share`` changes. A share above 1 uses
        every frame of the take more than once, at different positions.
        """
        order = seeds.rng(self.seed, self.name, track, "share").permutation(len(start))
        count = max(1, round(self.options.sim_share * len(start)))
        repeat, position = np.divmod(np.arange(count), len(start))
        chosen, repeat = np.array(sorted(zip(order[position], repeat, strict=True))).T
        draws = [
            self._draw(seeds.rng(self.seed, self.name, track, int(k), int(t)), mics)
            for k, t in zip(chosen, repeat, strict=True)
        ]
        t60_s = np.array([t60 for _, t60 in draws])
        return {
            "start": start[chosen],
            "source": np.stack([source for source, _ in draws]),
            "t60_s": t60_s,
            "snr_db": np.full(len(chosen), np.inf),
            "table": table.iloc[chosen]
            .reset_index(drop=True)
            .assign(t60_nominal_s=t60_s, snr_db=np.inf),
        }

    def _draw(self, rng: np.random.Generator, mics: np.ndarray) -> tuple[np.ndarray, float]:
        """Source position (3,) in room coordinates (m), uniform, and nominal T60 in seconds."""
        options = self.options
        t60_s = float(rng.uniform(options.sim_t60_low_s, options.sim_t60_high_s))
        low, high = np.full(3, SIM_WALL_M), np.array(options.room) - SIM_WALL_M
        source = base.draw_source(rng, low, high, mics, SIM_MIC_M)
        if source is None:
            raise InputError(
                f"datasets.{self.name}.options.room: {list(options.room)} m has no place at least "
                f"{SIM_WALL_M} m from the walls and {SIM_MIC_M} m from every microphone in 100 "
                "draws"
            )
        return source, t60_s
