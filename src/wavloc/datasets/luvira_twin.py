"""The LuViRA twin: synthetic takes over the real LuViRA array (Yaman et al. 2024); no download.

Eight takes, music1..4 and speech1..4: a loudspeaker is carried through the simulated room of the
wav2pos paper (7 x 8 x 2 m), past the 11 real microphone positions. Reports must call it "twin",
never "LuViRA".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.base import Scenes, require_positive
from wavloc.datasets.sound.corpus import Corpus
from wavloc.datasets.takes import carried
from wavloc.datasets.takes.eight import SIM, EightTakes, TakeOptions
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS

LEAD_SILENCE_S = 0.5  # the real takes begin with silence too
VARYING_HEIGHT = ("music2", "music4")  # the takes with large height variation (paper, Sec. IV)


@dataclasses.dataclass(frozen=True)
class Options(TakeOptions):
    """Options of the twin; metres and seconds unless stated."""

    seconds: float = 60.0  # length of a take, as in the real data
    t60_s: float = 0.2  # nominal
    snr_db: float = 20.0  # of the take's mean active level to the microphone noise
    snr_jitter_db: float = 3.0  # per microphone, uniform +- this
    gain_jitter_db: float = 3.0  # the same; gains are not calibrated in the real data
    occlusion: bool = True  # the carrier shadows direct paths


class Dataset(EightTakes):
    """Eight takes of a carried loudspeaker over the LuViRA array."""

    label = "LuViRA twin"
    reference = "geometry: Yaman et al. 2024 (LuViRA); room: Berg et al. 2024, Sec. IV"
    sounds = ("speech", "music")
    Options = Options

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        """A take, or its extension for a track that ends in ``_sim``; room coordinates (m)."""
        self.check_track(track)
        self.check_options()
        take = track.removesuffix(SIM)
        sound = sounds[take[:-1]]
        rng = seeds.rng(self.seed, self.name, take)  # the extension has the sound of the take
        total = int(self.options.seconds * SAMPLE_RATE)
        dry, speakers = self._dry_sound(take, sound, total, rng)
        start, table = self.grid(track, total)
        table["speaker"] = speakers[start + self.samples // 2]
        mics = LUVIRA_MICS + self.options.shift
        if track.endswith(SIM):
            part = self.extension(track, start, table, mics)
        else:
            part = self._carried(take, start, table, rng)
        scenes = self.scenes_of(dry, mics, part)
        scenes.meta["sound"] = sound.meta
        return scenes

    def check_options(self) -> None:
        """Raise `InputError` for options that cannot give frames."""
        options = self.options
        super().check_options()
        require_positive(self.name, seconds=options.seconds, t60_s=options.t60_s)
        if int(options.seconds * SAMPLE_RATE) < self.samples:
            raise InputError(
                f"datasets.{self.name}.options.seconds: {options.seconds} is too short"
            )

    def _carried(
        self, take: str, start: np.ndarray, table: pd.DataFrame, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Fields of `Scenes` for a take: path, occlusion, noise and gains."""
        options, n_mics = self.options, len(LUVIRA_MICS)
        path = carried.walk(options.seconds, take in VARYING_HEIGHT, rng)
        occluded = carried.occlusion(path, rng)
        index = np.rint(table["time_s"].to_numpy() * carried.PATH_RATE).astype(int)
        nearest = np.clip(index, 0, len(path) - 1)
        snr_db = options.snr_db + rng.uniform(-options.snr_jitter_db, options.snr_jitter_db, n_mics)
        gain_db = rng.uniform(-options.gain_jitter_db, options.gain_jitter_db, n_mics)
        return {
            "start": start,
            "source": path[nearest] + options.shift,
            "t60_s": np.full(len(start), options.t60_s),
            "snr_db": np.broadcast_to(snr_db, (len(start), n_mics)),
            "table": table.assign(t60_nominal_s=options.t60_s, snr_db=options.snr_db),
            "occluded": occluded[nearest] if options.occlusion else None,
            "noise_level": "track",
            "meta": {"gain_db": gain_db.tolist()},
        }

    def _dry_sound(
        self, take: str, corpus: Corpus, total: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Dry sound of a take (total,) and the speaker or song at each sample (total,)."""
        dry = np.zeros(total, np.float32)
        speakers = np.full(total, "", dtype=object)
        first = int(LEAD_SILENCE_S * SAMPLE_RATE)
        if take.startswith("music"):
            # Two songs for four takes, as in the real data; each take begins at a random place.
            song = (int(take[-1]) - 1) % min(2, len(corpus.items))
            sound = corpus.audio(song)
            offset = int(rng.integers(len(sound)))
            dry[first:] = np.resize(np.roll(sound, -offset), total - first)
            speakers[first:] = str(corpus.items["speaker"].iloc[song])
            return dry, speakers
        items = self._utterances(take, corpus)
        turn = 0
        while first < total:
            item = int(items[turn % len(items)])
            sound = corpus.audio(item)[: total - first]
            dry[first : first + len(sound)] = sound
            speakers[first : first + len(sound)] = str(corpus.items["speaker"].iloc[item])
            first += len(sound) + int(rng.uniform(0.2, 0.4) * SAMPLE_RATE)
            turn += 1
        return dry, speakers

    def _utterances(self, take: str, corpus: Corpus) -> np.ndarray:
        """Items of the corpus in a speech take, in order; no item is in two takes."""
        order = seeds.rng(self.seed, self.name, "utterances").permutation(len(corpus.items))
        if len(order) < 4:
            raise InputError(
                f"dataset '{self.name}': the speech corpus has {len(order)} utterances, expected "
                "at least 4: one for each take, or training would hear the sound of the test"
            )
        return order[int(take[-1]) - 1 :: 4]
