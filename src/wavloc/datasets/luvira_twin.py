"""The LuViRA twin: synthetic takes over the real LuViRA array (Yaman et al. 2024); no download.

Eight takes, music1..4 and speech1..4: a loudspeaker is carried through the simulated room of the
wav2pos paper (7 x 8 x 2 m), past the 11 real microphone positions. Reports must call it "twin",
never "LuViRA".
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.base import Scenes
from wavloc.datasets.sound.corpus import Corpus
from wavloc.datasets.takes.eight import SIM, EightTakes, TakeOptions
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS

LEAD_SILENCE_S = 0.5  # the real takes begin with silence too
VARYING_HEIGHT = ("music2", "music4")  # the takes with large height variation (paper, Sec. IV)
PATH_RATE = 100  # Hz, as the motion capture of the real data
RADIUS_M, HEIGHT_M, BEHIND_M = 0.2, 1.75, 0.4  # the carrier, and how far behind the loudspeaker
MIC_M = 0.4  # least distance of the path to a microphone


@dataclasses.dataclass(frozen=True)
class Options(TakeOptions):
    """Options of the twin; metres and seconds unless stated."""

    seconds: float = 60.0  # length of a take, as in the real data
    sim_seconds: float = 0.0  # of sound in the extension; 0 = as in a take
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
        seconds = self.options.seconds
        if track.endswith(SIM) and self.options.sim_seconds:
            seconds = self.options.sim_seconds
        total = int(seconds * SAMPLE_RATE)
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
        if int(options.seconds * SAMPLE_RATE) < self.samples:
            raise InputError(
                f"datasets.{self.name}.options.seconds: {options.seconds} is too short"
            )

    def _carried(
        self, take: str, start: np.ndarray, table: pd.DataFrame, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Fields of `Scenes` for a take: path, occlusion, noise and gains."""
        options, n_mics = self.options, len(LUVIRA_MICS)
        path = walk(options.seconds, take in VARYING_HEIGHT, rng)
        occluded = occlusion(path, rng)
        index = np.rint(table["time_s"].to_numpy() * PATH_RATE).astype(int)
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


def walk(seconds: float, varying_height: bool, rng: np.random.Generator) -> np.ndarray:
    """Path (T, 3) in LuViRA coordinates (m) at `PATH_RATE`: a random walk with pauses and steps."""
    n_points = int(np.ceil(seconds / 2)) + 2
    points = np.empty((n_points, 2))
    points[0] = rng.uniform([-2.1, -2.6], [2.1, 1.8])
    for k in range(1, n_points):
        points[k] = np.clip(points[k - 1] + rng.normal(0, 1.1, 2), [-2.1, -2.6], [2.1, 1.8])
    time = np.arange(int(seconds * PATH_RATE) + 1) / PATH_RATE
    moving = _with_pauses(time, rng)
    xy = CubicSpline(2.0 * np.arange(n_points), points)(moving)
    xy = np.clip(xy, -np.array([2.3, 2.8]), np.array([2.3, 2.8]))
    z = 1.15 + 0.04 * np.sin(2 * np.pi * 1.8 * moving + rng.uniform(0, 2 * np.pi))
    if varying_height:
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(7, 11)
        z = z + 0.45 * np.sin(2 * np.pi * time / period + phase)
    return _keep_away(np.column_stack([xy, z]))


def _with_pauses(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Time spent walking (T,) up to each time (T,); about three pauses of 1-2 s a minute."""
    speed = np.ones_like(time)
    for _ in range(max(1, round(3 * time[-1] / 60))):
        start, length = rng.uniform(0, time[-1]), rng.uniform(1, 2)
        speed[(time >= start) & (time < start + length)] = 0
    smooth = gaussian_filter1d(speed, 0.2 * PATH_RATE, mode="nearest")
    return np.concatenate([[0.0], np.cumsum(smooth[:-1]) / PATH_RATE])


def _keep_away(path: np.ndarray) -> np.ndarray:
    """The path (T, 3), pushed out of a ball around every microphone."""
    for mic in LUVIRA_MICS:
        offset = path - mic
        distance = np.linalg.norm(offset, axis=1, keepdims=True)
        pushed = mic + offset / np.maximum(distance, 1e-6) * MIC_M
        path = np.where(distance < MIC_M, pushed, path)
    return path


def occlusion(path: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whether the carrier blocks the direct path to each microphone: (T, 3) -> (T, M) bool.

    The carrier is an upright cylinder that walks behind the loudspeaker; its heading follows the
    path with random deviations.
    """
    step = gaussian_filter1d(np.gradient(path[:, :2], axis=0), PATH_RATE, axis=0, mode="nearest")
    heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    wander = gaussian_filter1d(rng.standard_normal(len(path)), 2 * PATH_RATE, mode="wrap")
    heading += np.deg2rad(40) * wander / (np.abs(wander).max() + 1e-9)
    back = BEHIND_M * np.column_stack([np.cos(heading), np.sin(heading)])
    axis = path[:, :2] - back
    ray = LUVIRA_MICS[None, :, :2] - path[:, None, :2]  # (T, M, 2)
    to_axis = (axis - path[:, :2])[:, None]
    along = np.clip((ray * to_axis).sum(-1) / np.maximum((ray**2).sum(-1), 1e-9), 0, 1)
    gap = np.linalg.norm(along[..., None] * ray - to_axis, axis=-1)
    height = path[:, 2:] + along * (LUVIRA_MICS[:, 2] - path[:, 2:])
    return (gap < RADIUS_M) & (height < HEIGHT_M)
