"""Frames from any recording: a list of microphones and audio files."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from wavloc import audio, files
from wavloc.checks import number
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.geometry import SPEED_OF_SOUND, check_extent, check_speed

SUSPICIOUS = 0.3  # median reliability below which a microphone is reported


def read_mics(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Read ``name,x,y,z`` (metres, header line first): names and positions (M, 3)."""
    path = Path(path)
    files.require_regular(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.reader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable ({error})") from None
    if not rows or [cell.strip() for cell in rows[0]] != ["name", "x", "y", "z"]:
        raise InputError(f"{path}, line 1: {rows[0] if rows else 'empty'}, expected name,x,y,z")
    names: list[str] = []
    positions: list[list[float]] = []
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            raise InputError(f"{path}, line {line}: empty row, expected name,x,y,z")
        if len(row) != 4:
            raise InputError(f"{path}, line {line}: {len(row)} cells, expected name,x,y,z")
        name = row[0].strip()
        if not name or name in names:
            raise InputError(f"{path}, line {line}: name '{name}' is empty or used twice")
        try:
            position = [float(cell) for cell in row[1:]]
        except ValueError:
            raise InputError(f"{path}, line {line}: {row[1:]} are not numbers (metres)") from None
        if not np.isfinite(position).all():
            raise InputError(f"{path}, line {line}: {row[1:]} are not finite")
        for taken, known in zip(names, positions, strict=True):
            if known == position:
                raise InputError(f"{path}, line {line}: '{name}' is at the place of '{taken}'")
        names.append(name)
        positions.append(position)
    if not names:
        raise InputError(f"{path}: no microphones below the header line")
    check_extent(np.array(positions), str(path))
    return names, np.array(positions)


def read_channels(paths: list[Path], names: list[str]) -> tuple[np.ndarray, int]:
    """Read one multichannel file, or one file per microphone: (M, samples) float32, rate in Hz.

    Channels are in the order of mics.csv; single files are named ``<microphone>.wav`` or the like.
    """
    if len(paths) == 1 and len(names) != 1:
        samples, rate = audio.read_audio(paths[0])
        if samples.shape[1] != len(names):
            raise InputError(
                f"{paths[0]}: {samples.shape[1]} channels, expected {len(names)} as in mics.csv"
            )
        return samples.T, rate
    by_stem = {path.stem: path for path in paths}
    missing = [name for name in names if name not in by_stem]
    surplus = [stem for stem in by_stem if stem not in names]
    if missing or surplus or len(by_stem) != len(paths):
        raise InputError(
            f"audio files do not match mics.csv: no file for {missing or 'none'}, no microphone "
            f"for {surplus or 'none'} (expected one file <name>.wav or .flac per microphone)"
        )
    channels, rates = [], {}
    for name in names:
        samples, rate = audio.read_audio(by_stem[name])
        if samples.shape[1] != 1:
            raise InputError(f"{by_stem[name]}: {samples.shape[1]} channels, expected 1")
        channels.append(samples[:, 0])
        rates[name] = rate
    if len(set(rates.values())) > 1:
        raise InputError(f"sample rates differ: {rates} Hz, expected one rate for all files")
    lengths = {name: len(channel) for name, channel in zip(names, channels, strict=True)}
    if len(set(lengths.values())) > 1:
        raise InputError(f"lengths differ: {lengths} samples, expected one length for all files")
    return np.stack(channels), rates[names[0]]


def cut(
    channels: np.ndarray,
    rate: int,
    mics: np.ndarray,
    hop_s: float,
    speed_of_sound: float = SPEED_OF_SOUND,
    other_medium: bool = False,
) -> Frames:
    """Cut channels (M, samples) into frames of 2048 samples at 16 kHz, one every ``hop_s`` s.

    other_medium: the speed of sound need not be that of air.
    """
    number(hop_s, "hop", 1e-3, 3600, "s")
    check_speed(speed_of_sound, "speed of sound", other_medium)
    sound = audio.resample(channels, rate, audio.SAMPLE_RATE)
    if sound.shape[1] < FRAME_SAMPLES:
        raise InputError(
            f"recording of {channels.shape[1] / rate:.3f} s is shorter than one frame "
            f"({FRAME_SAMPLES / audio.SAMPLE_RATE} s)"
        )
    hop = max(1, round(hop_s * audio.SAMPLE_RATE))
    windows = np.lib.stride_tricks.sliding_window_view(sound, FRAME_SAMPLES, axis=1)[:, ::hop]
    stacked = np.ascontiguousarray(windows.transpose(1, 0, 2))
    count = len(stacked)
    time_s = (np.arange(count) * hop + FRAME_SAMPLES / 2) / audio.SAMPLE_RATE
    return Frames(
        audio=stacked,
        source_audio=np.full((count, FRAME_SAMPLES), np.nan, np.float32),
        mic_positions=mics,
        source_position=np.full((count, 3), np.nan),
        table=pd.DataFrame({"frame": np.arange(count), "time_s": time_s}),
        sample_rate=audio.SAMPLE_RATE,
        speed_of_sound=speed_of_sound,
        meta={"other_medium": True} if other_medium else {},
    )


def silent(frames: Frames, below_db: float) -> np.ndarray:
    """Which frames (F,) have a power ``below_db`` or more under the 95th percentile."""
    number(below_db, "silence", 0, 200, "dB")
    return audio.silent(np.square(frames.window()).mean(axis=(1, 2)), below_db)


def suspicious(
    names: list[str], reliability: np.ndarray, below: float = SUSPICIOUS
) -> list[tuple[str, float]]:
    """Microphones whose median reliability over frames (F, M) is below a bound, worst first."""
    median = np.full(len(names), np.nan)
    has_audio = np.isfinite(reliability).any(axis=0)
    median[has_audio] = np.nanmedian(reliability[:, has_audio], axis=0)
    order = np.argsort(median, kind="stable")
    return [(names[k], float(median[k])) for k in order if median[k] < below]
