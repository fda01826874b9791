"""The LuViRA twin: the real array of LuViRA (Yaman et al. 2024) with made-up takes, no download.

Eight takes, music1..4 and speech1..4: a loudspeaker is carried through the room of the wav2pos
paper's simulations (7 x 8 x 2 m) past the 11 real microphone positions. Reports must call it
"twin", never "LuViRA".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.base import Scenes, require_positive
from wavloc.datasets.sound.corpus import Corpus
from wavloc.datasets.takes.eight import SIM, EightTakes, TakeOptions
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS

LEAD_SILENCE_S = 0.5  # the real takes start silent too
PATH_RATE = 100  # Hz, as the motion capture system of the real data
CARRIER_RADIUS_M, CARRIER_HEIGHT_M, CARRIER_BEHIND_M = 0.2, 1.75, 0.4


@dataclasses.dataclass(frozen=True)
class Options(TakeOptions):
    """Sizes of the twin; lengths in metres and seconds."""

    seconds: float = 60.0  # length of a take, as in the real data
    t60_s: float = 0.2  # nominal
    snr_db: float = 20.0  # microphone noise below the take's mean active level
    snr_spread_db: float = 3.0  # uniform +- per microphone
    gain_spread_db: float = 3.0  # gains are not calibrated in the real data
    occlusion: bool = True  # the carrier's body shadows direct paths


class Dataset(EightTakes):
    """Eight carried-loudspeaker takes over the LuViRA array."""

    label = "LuViRA twin"
    reference = "geometry: Yaman et al. 2024 (LuViRA); room: Berg et al. 2024, Sec. IV"
    sounds = ("speech", "music")
    Options = Options

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        """A take, or with the ending ``_sim`` its extension; positions in room coordinates (m)."""
        self.check_track(track)
        self.check_options()
        take = track.removesuffix(SIM)
        sound = sounds[take[:-1]]
        rng = seeds.rng(self.seed, self.name, take)  # the extension has the programme of the take
        total = int(self.options.seconds * SAMPLE_RATE)
        dry, speakers = self._programme(take, sound, total, rng)
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
        """What is particular to a take: path, occlusion, noise and gains."""
        options, n_mics = self.options, len(LUVIRA_MICS)
        path, occluded = self._path(take, rng)
        at = np.rint(table["time_s"].to_numpy() * PATH_RATE).astype(int)
        nearest = np.clip(at, 0, len(path) - 1)
        spread = rng.uniform(-options.snr_spread_db, options.snr_spread_db, n_mics)
        gain_db = rng.uniform(-options.gain_spread_db, options.gain_spread_db, n_mics)
        return {
            "start": start,
            "source": path[nearest] + options.shift,
            "t60_s": np.full(len(start), options.t60_s),
            "snr_db": np.broadcast_to(options.snr_db + spread, (len(start), n_mics)),
            "table": table.assign(t60_nominal_s=options.t60_s, snr_db=options.snr_db),
            "occluded": occluded[nearest] if options.occlusion else None,
            "noise_level": "track",
            "meta": {"gain_db": gain_db.tolist()},
        }

    def _programme(
        self, track: str, corpus: Corpus, total: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Dry signal of a take (total,) and who sounds at each sample.

        Music: two songs for four takes, as in the real data, from random places. Speech: the
        takes share out the utterances, so that no recording is in two of them.
        """
        number = int(track[-1])
        dry = np.zeros(total, np.float32)
        speakers = np.full(total, "", dtype=object)
        at = int(LEAD_SILENCE_S * SAMPLE_RATE)
        if track.startswith("music"):
            song = (number - 1) % min(2, len(corpus.items))
            sound = corpus.audio(song)
            offset = int(rng.integers(len(sound)))
            piece = np.resize(np.roll(sound, -offset), total - at)
            dry[at:] = piece
            speakers[at:] = str(corpus.items["speaker"].iloc[song])
            return dry, speakers
        order = seeds.rng(self.seed, self.name, "utterances").permutation(len(corpus.items))
        if len(order) < 4:
            raise InputError(
                f"dataset '{self.name}': the speech corpus has {len(order)} utterances, expected "
                "at least 4: one for each take, or training would hear the sound of the test"
            )
        own = order[number - 1 :: 4]
        turn = 0
        while at < total:
            item = int(own[turn % len(own)])
            sound = corpus.audio(item)[: total - at]
            dry[at : at + len(sound)] = sound
            speakers[at : at + len(sound)] = str(corpus.items["speaker"].iloc[item])
            at += len(sound) + int(rng.uniform(0.2, 0.4) * SAMPLE_RATE)
            turn += 1
        return dry, speakers

    def _path(self, track: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Positions (T, 3) in LuViRA coordinates at `PATH_RATE` and occlusion (T, M)."""
        seconds = self.options.seconds
        n_points = int(np.ceil(seconds / 2)) + 2
        points = np.empty((n_points, 2))
        points[0] = rng.uniform([-2.1, -2.6], [2.1, 1.8])
        for k in range(1, n_points):  # a walk depends on its last step
            points[k] = np.clip(points[k - 1] + rng.normal(0, 1.1, 2), [-2.1, -2.6], [2.1, 1.8])
        time = np.arange(int(seconds * PATH_RATE) + 1) / PATH_RATE
        moving = self._with_pauses(time, rng)
        xy = CubicSpline(2.0 * np.arange(n_points), points)(moving)
        xy = np.clip(xy, -np.array([2.3, 2.8]), np.array([2.3, 2.8]))
        z = 1.15 + 0.04 * np.sin(2 * np.pi * 1.8 * moving + rng.uniform(0, 2 * np.pi))
        if track in ("music2", "music4"):  # the takes with large height variation (paper, Sec. IV)
            phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(7, 11)
            z = z + 0.45 * np.sin(2 * np.pi * time / period + phase)
        path = self._keep_away(np.column_stack([xy, z]))
        return path, self._occlusion(path, rng)

    @staticmethod
    def _with_pauses(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Path parameter over time that stands still for 1-2 s about three times a minute."""
        speed = np.ones_like(time)
        for _ in range(max(1, round(3 * time[-1] / 60))):
            start, length = rng.uniform(0, time[-1]), rng.uniform(1, 2)
            speed[(time >= start) & (time < start + length)] = 0
        smooth = gaussian_filter1d(speed, 0.2 * PATH_RATE, mode="nearest")
        return np.concatenate([[0.0], np.cumsum(smooth[:-1]) / PATH_RATE])

    @staticmethod
    def _keep_away(path: np.ndarray, nearest_m: float = 0.4) -> np.ndarray:
        """Push positions out of a ball around every microphone."""
        for mic in LUVIRA_MICS:
            offset = path - mic
            distance = np.linalg.norm(offset, axis=1, keepdims=True)
            pushed = mic + offset / np.maximum(distance, 1e-6) * nearest_m
            path = np.where(distance < nearest_m, pushed, path)
        return path

    @staticmethod
    def _occlusion(path: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Which straight paths source -> microphone cross the carrier, an upright cylinder: (T, M).

        The carrier walks behind the loudspeaker against a heading that follows the path.
        """
        step = gaussian_filter1d(
            np.gradient(path[:, :2], axis=0), PATH_RATE, axis=0, mode="nearest"
        )
        heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        wander = gaussian_filter1d(rng.standard_normal(len(path)), 2 * PATH_RATE, mode="wrap")
        heading += np.deg2rad(40) * wander / (np.abs(wander).max() + 1e-9)
        back = CARRIER_BEHIND_M * np.column_stack([np.cos(heading), np.sin(heading)])
        axis = path[:, :2] - back
        ray = LUVIRA_MICS[None, :, :2] - path[:, None, :2]  # (T, M, 2)
        to_axis = (axis - path[:, :2])[:, None]
        along = np.clip((ray * to_axis).sum(-1) / np.maximum((ray**2).sum(-1), 1e-9), 0, 1)
        gap = np.linalg.norm(along[..., None] * ray - to_axis, axis=-1)
        height = path[:, 2:] + along * (LUVIRA_MICS[:, 2] - path[:, 2:])
        return (gap < CARRIER_RADIUS_M) & (height < CARRIER_HEIGHT_M)
