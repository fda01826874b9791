"""Positions over time from a recording, some frames at once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from wavloc import audio
from wavloc.checks import number
from wavloc.methods.base import Method
from wavloc.methods.predictions import Predictions
from wavloc.recordings import gate
from wavloc.recordings.sound import Recording, frames_at_once, to_frames

SUSPICIOUS = 0.3  # median reliability below which a microphone is reported


@dataclasses.dataclass
class Locator:
    """A method with what it has to know of the place; size: samples of a frame."""

    method: Method
    mics: np.ndarray
    speed: float
    meta: dict[str, Any]
    size: int

    def predict(self, sounds: Sequence[np.ndarray], times_s: np.ndarray) -> Predictions:
        """Positions in frames (M, n) of one size, with their middle at times (B,)."""
        frames = to_frames(np.stack(sounds), times_s, self.mics, self.speed, self.meta)
        return self.method.predict(frames)


def over_time(
    locator: Locator, recording: Recording, hop_s: float, silence_db: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """A row per frame, see `rows`, and reliability (F, M) of microphones in frames with sound.

    Frames with a power ``silence_db`` or more under the loud ones are ``silent``.
    """
    times = recording.hops(hop_s, locator.size)
    powers = levels(recording, times, locator)
    times = times[: len(powers)]
    loud = np.flatnonzero(~silent(powers, silence_db))
    sounds = recording.sounds(times[loud], locator.size)
    parts, reliability = [], []
    at_once = frames_at_once(len(locator.mics), locator.size)
    with tqdm(total=len(loud), desc="locate", unit="frame", disable=None, leave=False) as bar:
        for index in _batches(loud, at_once):
            found = locator.predict(list(itertools.islice(sounds, len(index))), times[index])
            parts.append(rows(found).set_axis(index))
            if found.reliability is not None:
                reliability.append(found.reliability)
            bar.update(len(index))
    located = pd.concat(parts) if parts else pd.DataFrame(columns=[*"xyz", "status"], dtype=float)
    table = pd.DataFrame({"time_s": times}).join(located)
    table["status"] = table["status"].astype(object).where(table["status"].notna(), "silent")
    empty = np.empty((0, len(locator.mics)))
    return table, np.concatenate(reliability) if reliability else empty


def _batches(index: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(index), size):
        yield index[start : start + size]


def levels(recording: Recording, times: np.ndarray, locator: Locator) -> np.ndarray:
    """Power (F,) of frames at times (F,) in the band of the method."""
    band = gate.band_of(locator.method.options)
    sounds = recording.sounds(times, locator.size)
    bar = tqdm(sounds, "levels", len(times), unit="frame", disable=None, leave=False)
    return np.array([gate.power(sound, band) for sound in bar])


def silent(power: np.ndarray, below_db: float) -> np.ndarray:
    """Which frames (F,) have a power ``below_db`` or more under the 95th percentile."""
    number(below_db, "silence", 0, 200, "dB")
    return audio.silent(power, below_db)


def rows(found: Predictions) -> pd.DataFrame:
    """x, y, z in metres, status and, where the method knows it, standard deviations in metres."""
    table = pd.DataFrame(dict(zip("xyz", found.position.T, strict=True)))
    table["status"] = found.status
    if found.covariance is not None:
        deviation = np.sqrt(np.einsum("fii->fi", found.covariance))
        table[["sigma_x", "sigma_y", "sigma_z"]] = deviation
    return table


def suspicious(
    names: list[str], reliability: np.ndarray, below: float = SUSPICIOUS
) -> list[tuple[str, float]]:
    """Microphones whose median reliability over frames (F, M) is below a bound, worst first."""
    median = np.full(len(names), np.nan)
    has_audio = np.isfinite(reliability).any(axis=0)
    median[has_audio] = np.nanmedian(reliability[:, has_audio], axis=0)
    order = np.argsort(median, kind="stable")
    return [(names[k], float(median[k])) for k in order if median[k] < below]
