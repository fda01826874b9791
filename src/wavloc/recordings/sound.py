"""A recording read in blocks: frames of all microphones at given times, each on its own clock.

Sample n of a microphone was taken at start_s + n / (rate (1 + drift)) of a time that all share.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wavloc import audio
from wavloc.audio import SAMPLE_RATE
from wavloc.checks import number
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.recordings.microphones import stem

MOST_VALUES = 2**25  # correlations of a block of frames that are in memory at once
MOMENTS, MOMENT_S = 16, 1.0  # that are listened to for the loudest
PAD = 16  # samples on each side of a frame while it is moved by a part of a sample


class Strip:
    """Sound of some channels, of which only what is still needed is kept."""

    def __init__(self, blocks: Iterable[np.ndarray]):
        """blocks: (C, n) float32, one after the other."""
        self._blocks = iter(blocks)
        self._held: np.ndarray | None = None
        self._first = 0  # number of the first sample that is held

    def window(self, starts: np.ndarray, size: int) -> np.ndarray | None:
        """Samples from starts (C,) on: (C, size), zero before the begin; None beyond the end."""
        while self.reached < starts.max() + size:
            block = next(self._blocks, None)
            if block is None:
                return None
            held = self._held
            self._held = block if held is None else np.concatenate([held, block], axis=1)
            self.forget(int(starts.min()))
        assert self._held is not None
        index = starts[:, None] - self._first + np.arange(size)
        sound = np.take_along_axis(self._held, np.maximum(index, 0), axis=1)
        return np.where(index < 0, np.float32(0), sound)

    @property
    def reached(self) -> int:
        """Number of the sample after the last one that was read."""
        return self._first + (0 if self._held is None else self._held.shape[1])

    def forget(self, before: int) -> None:
        """Drop samples that are no longer needed; they are dropped many at a time."""
        drop = min(before - self._first, self.reached - self._first)
        if self._held is not None and drop > self._held.shape[1] // 2:
            self._held, self._first = self._held[:, drop:].copy(), self._first + drop


@dataclasses.dataclass
class Clocks:
    """When the recordings of M microphones begin, and how fast they run: (M,) seconds and ppm."""

    start_s: np.ndarray
    drift_ppm: np.ndarray

    def samples(self, time_s: float) -> np.ndarray:
        """Number (M,) of the sample of each microphone at a time, with a fraction."""
        rate = SAMPLE_RATE * (1 + 1e-6 * self.drift_ppm)
        return (time_s - self.start_s) * rate


@dataclasses.dataclass
class Recording:
    """Sound of M microphones from files or a stream; counts: how many channels each has.

    opened: gives the blocks of each source at `SAMPLE_RATE`, anew each time; samples: None where
    the end is not known yet; read: of the source of a number so many samples from one on, as they
    were recorded, (C, n) at ``rate``; None where they are gone.
    """

    opened: Callable[[], list[Iterator[np.ndarray]]]
    counts: list[int]
    clocks: Clocks
    samples: np.ndarray | None  # (M,) at `SAMPLE_RATE`
    read: Callable[[int, int, int], np.ndarray] | None = None
    rate: int = SAMPLE_RATE

    @property
    def begin_s(self) -> float:
        """From when on all microphones are heard."""
        return float(self.clocks.start_s.max())

    @property
    def end_s(self) -> float:
        """Until when all are heard."""
        return math.inf if self.samples is None else float(self._ends_s.min())

    @property
    def _ends_s(self) -> np.ndarray:
        assert self.samples is not None
        clocks = self.clocks
        return clocks.start_s + self.samples / (SAMPLE_RATE * (1 + 1e-6 * clocks.drift_ppm))

    def unused(self) -> str:
        """What is not used since not all microphones have it, in words; nothing for a sample."""
        begins, ends = self.clocks.start_s, self._ends_s
        if max(np.ptp(begins), np.ptp(ends)) < 1.5 / SAMPLE_RATE:
            return ""
        return (
            f"the recordings begin or end at different times, used: {self.begin_s:.3f} to "
            f"{self.end_s:.3f} s of {begins.min():.3f} to {ends.max():.3f} s"
        )

    def stretch(self, begin_s: float, seconds: float) -> np.ndarray:
        """Sound (M, n) between two times as it was recorded, to a sample."""
        assert self.read is not None
        assert self.samples is not None
        first = np.rint(self.clocks.samples(begin_s) * (self.rate / SAMPLE_RATE)).astype(int)
        there = np.floor(self.samples * (self.rate / SAMPLE_RATE) + 1e-6).astype(int) - first
        count, bounds = min(round(seconds * self.rate), there.min()), np.cumsum([0, *self.counts])
        channels: list[np.ndarray] = []
        for source, (low, high) in enumerate(itertools.pairwise(bounds)):
            begins = first[low:high] - first[low:high].min()
            sound = self.read(source, int(first[low:high].min()), count + int(begins.max()))
            channels += [row[at : at + count] for row, at in zip(sound, begins, strict=True)]
        return np.stack(channels)

    def excerpt(self, seconds: float) -> np.ndarray:
        """A stretch of about so many seconds, around the loudest of some moments."""
        length = self.end_s - self.begin_s
        if length <= seconds:
            return self.whole()
        moments = self.begin_s + length * (np.arange(MOMENTS) + 0.5) / MOMENTS - MOMENT_S / 2
        power = [np.median(self.stretch(at, MOMENT_S).var(axis=1)) for at in moments]
        begin = moments[int(np.argmax(power))] + (MOMENT_S - seconds) / 2
        return self.stretch(float(np.clip(begin, self.begin_s, self.end_s - seconds)), seconds)

    def whole(self) -> np.ndarray:
        """All sound (M, n) that all microphones have, as it was recorded."""
        return self.stretch(self.begin_s, self.end_s - self.begin_s)

    def hops(self, hop_s: float, size: int) -> np.ndarray:
        """Middle (F,) in seconds of frames of ``size`` samples, one every ``hop_s``."""
        seconds = self.end_s - self.begin_s
        hop = max(1, round(hop_s * SAMPLE_RATE))
        count = (round(seconds * SAMPLE_RATE) - size) // hop + 1
        if count < 1:
            raise InputError(
                f"recording of {seconds:.3f} s is shorter than one frame ({size / SAMPLE_RATE} s)"
            )
        return self.begin_s + (np.arange(count) * hop + size / 2) / SAMPLE_RATE

    def sounds(self, times_s: Iterable[float], size: int) -> Iterator[np.ndarray]:
        """Frames (M, size) with their middle at ascending times, up to the end of the sound."""
        return self.cuts((time_s, size) for time_s in times_s)

    def cuts(self, spans: Iterable[tuple[float, int]]) -> Iterator[np.ndarray]:
        """As `sounds`, each frame of its own size; they begin one after the other."""
        strips = [Strip(blocks) for blocks in self.opened()]
        bounds = np.cumsum([0, *self.counts])
        for time_s, size in spans:
            first = self.clocks.samples(time_s) - size / 2
            whole = np.rint(np.round(first, 6)).astype(np.int64)
            late = np.round(first - whole, 6)
            pad = PAD if late.any() else 0
            parts = []
            for strip, low, high in zip(strips, bounds, bounds[1:], strict=False):
                starts = whole[low:high] - pad
                part = strip.window(starts, size + pad)
                if part is None:
                    return
                strip.forget(int(starts.min()))
                parts.append(part)
            sound = np.concatenate(parts)
            yield _moved(sound, late)[:, pad:] if pad else sound


def _moved(sound: np.ndarray, late: np.ndarray) -> np.ndarray:
    """Sound (M, n) read ``late`` (M,) samples later, by less than one: a ramp of phase."""
    size = sound.shape[1] + PAD
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(size) * late[:, None])
    moved = np.fft.irfft(np.fft.rfft(sound, size) * turn, size)
    return moved[:, : sound.shape[1]].astype(np.float32)


def open_files(paths: list[Path], names: list[str], start_s: np.ndarray) -> Recording:
    """One multichannel file, or one file per microphone, named after it.

    Channels are in the order of mics.csv; single files are named ``<microphone>.wav`` or the like.
    start_s (M,): when each begins.
    """
    paths, described = _described(paths, names)
    counts = [channels for _, channels, _ in described]
    rate = described[0][2]

    def opened() -> list[Iterator[np.ndarray]]:
        return [
            audio.resample_blocks(
                (np.ascontiguousarray(block.T) for block in audio.stream_audio(path)),
                rate,
                SAMPLE_RATE,
            )
            for path in paths
        ]

    def read(source: int, first: int, count: int) -> np.ndarray:
        return audio.read_part(paths[source], first, count).T

    samples = np.repeat([count * SAMPLE_RATE / rate for count, *_ in described], counts)
    clocks = Clocks(start_s, np.zeros(len(names)))
    return _with_time(Recording(opened, counts, clocks, samples, read, rate))


def open_array(
    channels: np.ndarray, rate: int | None, names: list[str], start_s: np.ndarray
) -> Recording:
    """Sound in memory: channels (M, n) at a rate in Hz, integers as parts of full scale."""
    if rate is None:
        raise InputError("sample_rate: None, expected that of the array in Hz")
    number(rate, "sample_rate", *audio.RATES_HZ, "Hz", whole=True)
    channels = np.asarray(channels)
    if channels.ndim != 2 or len(channels) != len(names) or channels.dtype.kind not in "fi":
        raise InputError(
            f"audio: {channels.dtype} of shape {channels.shape}, expected numbers (channels, "
            f"samples) with {len(names)} channels, one per microphone"
        )
    scale = 2.0 ** (8 * channels.itemsize - 1) if channels.dtype.kind == "i" else 1.0
    sound = (channels / np.float32(scale)).astype(np.float32)
    if not np.isfinite(sound).all():
        raise InputError("audio: contains NaN or infinite samples")
    size = 2**18

    def opened() -> list[Iterator[np.ndarray]]:
        starts = range(0, sound.shape[1], size)
        blocks = (sound[:, start : start + size] for start in starts)
        return [audio.resample_blocks(blocks, rate, SAMPLE_RATE)]

    samples = np.full(len(names), sound.shape[1] * SAMPLE_RATE / rate)
    clocks = Clocks(start_s, np.zeros(len(names)))

    def read(_: int, first: int, count: int) -> np.ndarray:
        return sound[:, first : first + count]

    return _with_time(Recording(opened, [len(names)], clocks, samples, read, rate))


def _with_time(recording: Recording) -> Recording:
    """The recording, which has a time at which all microphones are heard."""
    if recording.end_s <= recording.begin_s:
        raise InputError(
            f"no time at which all record: the last begins at {recording.begin_s} s, one ends at "
            f"{recording.end_s} s"
        )
    return recording


def _described(
    paths: list[Path], names: list[str]
) -> tuple[list[Path], list[tuple[int, int, int]]]:
    """Files in the order of the microphones; samples, channels and rate of each."""
    if len(paths) > 1 or len(names) == 1:
        paths = _in_order(paths, names)
    described = [audio.describe_audio(path) for path in paths]
    counts = [channels for _, channels, _ in described]
    if len(paths) == 1 and counts[0] != len(names):
        raise InputError(f"{paths[0]}: {counts[0]} channels, expected {len(names)} as in mics.csv")
    for path, count in zip(paths, counts, strict=True):
        if len(paths) > 1 and count != 1:
            raise InputError(f"{path}: {count} channels, expected 1")
    rates = [rate for *_, rate in described]
    if len(set(rates)) > 1:
        shown = dict(zip(names, rates, strict=True))
        raise InputError(f"sample rates differ: {shown} Hz, expected one rate for all files")
    return paths, described


def _in_order(paths: list[Path], names: list[str]) -> list[Path]:
    """One file per microphone, in the order of their names."""
    by_stem = {stem(path): path for path in paths}
    missing = [name for name in names if name not in by_stem]
    surplus = [name for name in by_stem if name not in names]
    if missing or surplus or len(by_stem) != len(paths):
        raise InputError(
            f"audio files do not match mics.csv: no file for {missing or 'none'}, no microphone "
            f"for {surplus or 'none'} (expected one file <name>.wav or .flac per microphone)"
        )
    return [by_stem[name] for name in names]


def to_frames(
    sound: np.ndarray, times_s: np.ndarray, mics: np.ndarray, speed: float, meta: dict[str, Any]
) -> Frames:
    """Frames of sound (B, M, size) at times (B,); microphones (M, 3) metres."""
    count, _, size = sound.shape
    if size != FRAME_SAMPLES:
        meta = meta | {"frame_samples": size}
    return Frames(
        audio=sound,
        source_audio=np.full((count, size), np.nan, np.float32),
        mic_positions=mics,
        source_position=np.full((count, 3), np.nan),
        table=pd.DataFrame({"frame": np.arange(count), "time_s": times_s}),
        sample_rate=SAMPLE_RATE,
        speed_of_sound=speed,
        meta=meta,
    )


def frames_at_once(n_mics: int, size: int) -> int:
    """How many frames are located together."""
    pairs = n_mics * (n_mics - 1) // 2
    most = MOST_VALUES // max(1, pairs * size * 8)
    return max(1, min(256, most - most % 16 if most >= 16 else most))
