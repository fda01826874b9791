"""Positions over time from a recording, some frames at once."""

from __future__ import annotations

import collections
import copy
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from wavloc import audio
from wavloc.audio import SAMPLE_RATE
from wavloc.checks import number
from wavloc.errors import InputError
from wavloc.methods import tracking
from wavloc.methods.base import Method
from wavloc.methods.predictions import LOCATED, Predictions, joined
from wavloc.recordings import events, gate, tracks, volume
from wavloc.recordings.events import Event
from wavloc.recordings.mirror import SAME_M, Mirror
from wavloc.recordings.sound import Recording, frames_at_once, to_frames
from wavloc.recordings.volume import Box

SUSPICIOUS = 0.3  # median reliability below which a microphone is reported
MOST_SECONDS = 30.0  # of an event that are looked at
DETECT_SAMPLES = 1024  # of the frames in which events are looked for
MEMORY_S = 60.0  # of a stream, for what is loud in it
AT_ONCE_S = 2.0  # of an event that are located, its loudest ones
ROUNDED_M = 1e-6  # more than what turning of coordinates rounds


@dataclasses.dataclass
class Locator:
    """A method with what it has to know of the place; size: samples of a frame."""

    method: Method
    mics: np.ndarray
    speed: float
    meta: dict[str, Any]
    size: int
    fixed: bool = False  # every frame has this size
    band: tuple[float, float] | None = None  # of an event, Hz
    box: Box | None = None  # whose border is no place to trust
    mirror: Mirror | None = None  # of microphones in a plane, in whose coordinates meta is

    def span_of(self, event: Event, recording: Recording) -> tuple[float, int]:
        """Middle in seconds and samples of the sound of an event, as all microphones hear it."""
        begin, end = max(event.begin_s, recording.begin_s), min(event.end_s, recording.end_s)
        across = 2 * np.ptp(self.mics, axis=0).max() / self.speed
        seconds = min(end - begin + (0 if self.fixed else across), MOST_SECONDS)
        seconds = max(seconds, self.size / SAMPLE_RATE)
        low, high = recording.begin_s + seconds / 2, recording.end_s - seconds / 2
        if low > high:
            raise InputError(f"the recording is shorter than {seconds:.3f} s, which an event needs")
        return float(np.clip((begin + end) / 2, low, high)), round(seconds * SAMPLE_RATE)

    def loudest(self, sound: np.ndarray) -> np.ndarray:
        """The loudest part of sound (M, n) that is located at once, in the band."""
        size = self.size if self.fixed else max(self.size, round(AT_ONCE_S * SAMPLE_RATE))
        if sound.shape[1] <= size:
            return sound
        band = self.band or gate.band_of(self.method.options)
        starts = range(0, sound.shape[1] - size + 1, size // 2)
        best = max(starts, key=lambda start: gate.power(sound[:, start : start + size], band))
        return sound[:, best : best + size]

    def in_band(self, event: Event) -> Locator:
        """The same with a method that uses the frequencies of an event."""
        if event.low_hz is None and event.high_hz is None:
            return self
        usual = gate.band_of(self.method.options)
        low = usual[0] if event.low_hz is None else event.low_hz
        high = usual[1] if event.high_hz is None else event.high_hz
        changed = dataclasses.replace(self, band=(low, high))
        if hasattr(self.method.options, "low_hz"):
            changed.method = copy.copy(self.method)
            changed.method.options = dataclasses.replace(
                self.method.options, low_hz=low, high_hz=high
            )
        return changed

    def predict(self, sounds: Sequence[np.ndarray], times_s: np.ndarray) -> Predictions:
        """Positions in frames (M, n) of one size, with their middle at times (B,)."""
        if self.band and not hasattr(self.method.options, "low_hz"):
            sounds = [gate.filtered(sound, self.band) for sound in sounds]
        mics = self.mics @ self.mirror.turn.T if self.mirror else self.mics
        found = self.method.predict(
            to_frames(np.stack(sounds), times_s, mics, self.speed, self.meta)
        )
        return self.mirror.turned_back(found) if self.mirror else found

    def judged(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table of positions with the statuses ``edge``, on the border of the search volume,
        and ``ambiguous``, with a mirror image mirror_x, mirror_y, mirror_z in the volume; nothing
        is off along an axis without extent.
        """
        place = table[[*"xyz"]].to_numpy(float, copy=True)
        answered = table["status"].isin(LOCATED).to_numpy() & np.isfinite(place[:, 0])
        status = table["status"].to_numpy(object)
        if self.mirror and self.box:
            behind = self.mirror.height(place) < 0
            place[behind] = self.mirror.image(place[behind])
            image = self.mirror.image(place)
            apart = np.linalg.norm(image - place, axis=1) > SAME_M
            # The box may have no extent along an axis, where turning rounds.
            inside = np.abs(image - np.clip(image, *self.box)).max(axis=1) < ROUNDED_M
            both = answered & apart & inside
            table[[*"xyz"]] = place
            table[["mirror_x", "mirror_y", "mirror_z"]] = np.where(both[:, None], image, np.nan)
            status = np.where(both & (status == "ok"), "ambiguous", status)
        if self.box:
            for axis in np.flatnonzero(self.box[0] == self.box[1]):
                sigma = f"sigma_{'xyz'[axis]}"
                if sigma in table:
                    table[sigma] = table[sigma].where(table[sigma].isna(), 0.0)
            beyond = volume.on_border(place, self.box, self.mics)
            status = np.where(answered & beyond, "edge", status)
        return table.assign(status=status)


@dataclasses.dataclass(frozen=True)
class Found:
    """What was located: a row per frame or event, see `rows`; reliability (F, M) of the microphones
    in them, NaN where the method does not tell.
    """

    table: pd.DataFrame
    reliability: np.ndarray


def over_time(
    locator: Locator,
    recording: Recording,
    hop_s: float,
    silence_db: float,
    bridge_s: float | None = None,
) -> Found:
    """A row per frame. Frames with a power ``silence_db`` or more under the loud ones are
    ``silent``. bridge_s: frames are located together, as tracks with gaps of up to so many seconds.
    """
    times = recording.hops(hop_s, locator.size)
    powers = levels(recording, times, locator)
    times = times[: len(powers)]
    loud = np.flatnonzero(~silent(powers, silence_db))
    sounds = recording.sounds(times[loud], locator.size)
    parts, kept = [], []
    reliability = np.full((len(times), len(locator.mics)), np.nan)
    at_once = frames_at_once(len(locator.mics), locator.size)
    with tqdm(total=len(loud), desc="locate", unit="frame", disable=None, leave=False) as bar:
        for index in _batches(loud, at_once):
            found = locator.predict(list(itertools.islice(sounds, len(index))), times[index])
            parts.append(rows(found).set_axis(index))
            kept += [found] if bridge_s is not None else []
            if found.reliability is not None:
                reliability[index] = found.reliability
            bar.update(len(index))
    noise = np.full((len(times), 3, 3), np.nan)
    if kept:
        parts, noise[loud] = _followed(locator.method, joined(kept), times[loud], loud)
    located = pd.concat(parts) if parts else pd.DataFrame(columns=[*"xyz", "status"], dtype=float)
    table = pd.DataFrame({"time_s": times}).join(located)
    table["status"] = table["status"].astype(object).where(table["status"].notna(), "silent")
    if bridge_s is not None:
        table = tracks.doubted(tracks.smoothed(table, noise, bridge_s))
    return Found(locator.judged(table), reliability)


def _followed(
    method: Any, found: Predictions, times: np.ndarray, loud: np.ndarray
) -> tuple[list[pd.DataFrame], np.ndarray]:
    """Rows of frames ``loud`` given all of them, and the covariance (F, 3, 3) of their errors."""
    method.follow(found, times)
    assert found.candidates is not None
    assert found.posterior is not None
    assert found.confidence is not None
    told = found.candidates, found.posterior, found.confidence
    return [rows(found).set_axis(loud)], tracking.noise(found.position, *told)


def live(
    locator: Locator, recording: Recording, hop_s: float, silence_db: float
) -> Iterator[pd.DataFrame]:
    """One row as in `over_time` at a time, as soon as its sound is there.

    Loud are frames of the last `MEMORY_S` seconds.
    """
    noise = np.random.default_rng(0).standard_normal((len(locator.mics), locator.size))
    # Tables are made before there is any sound.
    made = rows(locator.predict([noise.astype(np.float32)], np.zeros(1)))
    nothing = made.iloc[:0].reindex([0]).assign(status="silent")
    hop, band = max(1, round(hop_s * SAMPLE_RATE)), gate.band_of(locator.method.options)
    recent: collections.deque[float] = collections.deque(maxlen=max(1, int(MEMORY_S / hop_s)))
    ours, theirs = itertools.tee(
        (n * hop + locator.size / 2) / SAMPLE_RATE for n in itertools.count()
    )
    for time_s, sound in zip(ours, recording.sounds(theirs, locator.size), strict=False):
        recent.append(gate.power(sound, band))
        quiet = silent(np.array(recent), silence_db)[-1]
        row = nothing if quiet else rows(locator.predict([sound], np.array([time_s])))
        yield locator.judged(pd.DataFrame({"time_s": [time_s]}).join(row))


def of_events(locator: Locator, recording: Recording, found: list[Event]) -> Found:
    """As `over_time`, one row per event, from its own sound in its own band."""
    for event in found:
        if event.end_s <= recording.begin_s or event.begin_s >= recording.end_s:
            raise InputError(
                f"event from {event.begin_s:.3f} to {event.end_s:.3f} s, expected one between "
                f"{recording.begin_s:.3f} and {recording.end_s:.3f} s, the times of the recording"
            )
    spans = [locator.span_of(event, recording) for event in found]
    order = np.argsort([middle - size / 2 / SAMPLE_RATE for middle, size in spans], kind="stable")
    sounds = recording.cuts(spans[k] for k in order)
    parts, reliability = [], np.full((len(found), len(locator.mics)), np.nan)
    bar = tqdm(order, "locate", unit="event", disable=None, leave=False)
    for k, sound in zip(bar, sounds, strict=False):
        banded = locator.in_band(found[k])
        located = banded.predict([banded.loudest(sound)], np.array([spans[k][0]]))
        parts.append(rows(located).set_axis([k]))
        if located.reliability is not None:
            reliability[k] = located.reliability[0]
    table = pd.DataFrame([dataclasses.asdict(event) for event in found])
    table = table.dropna(axis="columns", how="all")
    table = locator.judged(table.join(pd.concat(parts)))
    return Found(table, reliability)


def _batches(index: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(index), size):
        yield index[start : start + size]


def detected(locator: Locator, recording: Recording, above_db: float) -> list[Event]:
    """Events of a recording by its power in the band of the method."""
    times = recording.hops(DETECT_SAMPLES / 2 / SAMPLE_RATE, DETECT_SAMPLES)
    power = levels(recording, times, dataclasses.replace(locator, size=DETECT_SAMPLES))
    return events.detect(times[: len(power)], power, DETECT_SAMPLES / SAMPLE_RATE, above_db)


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
    """x, y, z in metres, status and, where the method knows them, the probability that the error is
    below 30 cm and standard deviations in metres.
    """
    table = pd.DataFrame(dict(zip("xyz", found.position.T, strict=True)))
    table["status"] = found.status
    if found.confidence is not None:
        table["confidence"] = found.confidence
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
