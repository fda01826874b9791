"""The LuViRA twin: the real array of LuViRA (Yaman et al. 2024) with made-up takes, no download.

Eight takes, music1..4 and speech1..4: a loudspeaker is carried through the room of the wav2pos
paper's simulations (7 x 8 x 2 m) past the 11 real microphone positions. Reports must call it
"twin", never "LuViRA".

Eight more tracks, music1_sim..speech4_sim, are the paper's extension for training: the programme
of the take frame by frame, each frame from a random place in a room with a T60 of its own. They
are clean (no noise, no gains, nobody in the way); what spoils them is added in training.
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
from wavloc.datasets.base import Dataset as Base
from wavloc.datasets.base import Scenes, Split, require_positive, require_room
from wavloc.datasets.sound.corpus import Corpus
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES
from wavloc.geometry import LUVIRA_MICS

LEAD_SILENCE_S = 0.5  # the real takes start silent too
PATH_RATE = 100  # Hz, as the motion capture system of the real data
SIM = "_sim"  # ending of the extension's tracks
SIM_WALL_M, SIM_MIC_M = 0.3, 0.4  # how near a simulated source comes to wall, floor, ceiling; mic
CARRIER_RADIUS_M, CARRIER_HEIGHT_M, CARRIER_BEHIND_M = 0.2, 1.75, 0.4


@dataclasses.dataclass(frozen=True)
class Options:
    """Sizes of the twin; lengths in metres and seconds."""

    seconds: float = 60.0  # length of a take, as in the real data
    hop: int = 1024  # samples between frame starts
    margin: int = 800  # samples stored on both sides of a frame: the paper's +-0.05 s shift
    t60_s: float = 0.2  # nominal
    max_order: int = 0  # cap on the image order, 0 = Sabine's
    snr_db: float = 20.0  # microphone noise below the take's mean active level
    snr_spread_db: float = 3.0  # uniform +- per microphone
    gain_spread_db: float = 3.0  # gains are not calibrated in the real data
    silence_db: float = 30.0  # frames this far below the 95th percentile of power are dropped
    occlusion: bool = True  # the carrier's body shadows direct paths
    room: tuple[float, ...] = (7.0, 8.0, 2.0)
    shift: tuple[float, ...] = (3.60, 4.53, 0.0)  # room = LuViRA coordinates + shift
    sim_share: float = 1.0  # simulated frames per frame of a take
    sim_t60_low_s: float = 0.0  # simulated frames draw their T60 uniformly between the two
    sim_t60_high_s: float = 0.4


class Dataset(Base):
    """Eight carried-loudspeaker takes over the LuViRA array."""

    label = "LuViRA twin"
    reference = "geometry: Yaman et al. 2024 (LuViRA); room: Berg et al. 2024, Sec. IV"
    sounds = ("speech", "music")
    Options = Options

    def takes(self) -> list[str]:
        """Names of the eight takes, without the extension."""
        return [f"{kind}{index}" for kind in ("music", "speech") for index in range(1, 5)]

    def tracks(self) -> list[str]:
        return self.takes() + [take + SIM for take in self.takes()]

    def splits(self) -> dict[str, Split]:
        """Four splits: both takes of one number are for testing, the other six for training.

        The extension of a training take trains too, that of a test take is not used at all: it has
        the same programme. No utterance is in two takes; a song is, as in the real data.
        """
        splits = {}
        for number in "1234":
            train = tuple(take for take in self.takes() if not take.endswith(number))
            simulated = tuple(take + SIM for take in train)
            splits[number] = Split(train + simulated, (f"music{number}", f"speech{number}"))
        return splits

    def scenes(self, track: str, sounds: Mapping[str, Corpus]) -> Scenes:
        """A take, or with the ending ``_sim`` its extension; positions in room coordinates (m)."""
        self.check_track(track)
        self._check_options()
        take = track.removesuffix(SIM)
        sound = sounds[take[:-1]]
        rng = seeds.rng(self.seed, self.name, take)  # the extension has the programme of the take
        total = int(self.options.seconds * SAMPLE_RATE)
        dry, speakers = self._programme(take, sound, total, rng)
        start = np.arange(0, total - self._samples + 1, self.options.hop)
        table = pd.DataFrame(
            {
                "frame": np.arange(len(start)),
                "recording": self.name,
                "track": track,
                "take": take,
                "time_s": (start + self._samples / 2) / SAMPLE_RATE,
                "speaker": speakers[start + self._samples // 2],
                "split": track,
            }
        )
        if track.endswith(SIM):
            part = self._simulated(track, start, table)
        else:
            part = self._carried(take, start, table, rng)
        frames = len(part["start"])
        scenes = Scenes(
            room=np.array(self.options.room),
            mics=LUVIRA_MICS + self.options.shift,
            dry=dry,
            dry_begin=np.zeros(frames, int),
            dry_end=np.full(frames, total),
            samples=self._samples,
            sample_rate=SAMPLE_RATE,
            max_order=self.options.max_order or None,
            silence_db=self.options.silence_db,
            origin=np.array(self.options.shift),
            **part,
        )
        scenes.meta["sound"] = sound.meta
        scenes.check()
        return scenes

    @property
    def _samples(self) -> int:
        """Stored samples of a frame, with the margins."""
        return FRAME_SAMPLES + 2 * self.options.margin

    def _check_options(self) -> None:
        options, where = self.options, f"datasets.{self.name}.options"
        require_room(self.name, options.room)
        require_positive(
            self.name,
            seconds=options.seconds,
            hop=options.hop,
            t60_s=options.t60_s,
            silence_db=options.silence_db,
        )
        if int(options.seconds * SAMPLE_RATE) < self._samples:
            raise InputError(f"{where}.seconds: {options.seconds} is too short")
        if not options.sim_share > 0:
            raise InputError(f"{where}.sim_share: {options.sim_share} must be greater than 0")
        if not 0 <= options.sim_t60_low_s <= options.sim_t60_high_s:
            raise InputError(
                f"{where}.sim_t60_low_s, sim_t60_high_s: {options.sim_t60_low_s} and "
                f"{options.sim_t60_high_s} s, expected 0 <= low <= high"
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

    def _simulated(self, track: str, start: np.ndarray, table: pd.DataFrame) -> dict[str, Any]:
        """What is particular to the extension: place and T60 of each frame.

        Every frame has a stream of its own and keeps its draws when the share changes. A share
        above 1 takes every frame of the take again, at another place.
        """
        order = seeds.rng(self.seed, self.name, track, "share").permutation(len(start))
        count = max(1, round(self.options.sim_share * len(start)))
        turn, at = np.divmod(np.arange(count), len(start))
        chosen, turn = np.array(sorted(zip(order[at], turn, strict=True))).T
        draws = [
            self._draw(seeds.rng(self.seed, self.name, track, int(k), int(t)))
            for k, t in zip(chosen, turn, strict=True)
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

    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Source position (3,) in room coordinates (m), uniform, and nominal T60 in seconds."""
        options = self.options
        t60_s = float(rng.uniform(options.sim_t60_low_s, options.sim_t60_high_s))
        high = np.array(options.room) - SIM_WALL_M
        mics = LUVIRA_MICS + options.shift
        for _ in range(100 if (high > SIM_WALL_M).all() else 0):
            source = rng.uniform(SIM_WALL_M, high)
            if np.linalg.norm(mics - source, axis=1).min() >= SIM_MIC_M:
                return source, t60_s
        raise InputError(
            f"datasets.{self.name}.options.room: {list(options.room)} m has no place at least "
            f"{SIM_WALL_M} m from the walls and {SIM_MIC_M} m from every microphone in 100 draws"
        )

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
