"""Frames of sources in a shoebox, from a few numbers (`wavloc.simulate`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wavloc import seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.checks import number, vector
from wavloc.datasets.base import Scenes, draw_source
from wavloc.datasets.sound import synthetic
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES
from wavloc.geometry import check_speed

Points = np.ndarray | Sequence[Sequence[float]]

WALL_M = 0.3  # between drawn sources and walls ...
APART_M = 0.3  # ... and microphones
VOICES = 8
CHOICES = 8  # windows of which a frame gets the loudest: a pause has no source to be located


def scenes(
    room: Sequence[float],
    mics: Points,
    sources: Points | None,
    sound: np.ndarray | None,
    count: int,
    t60_s: float,
    snr_db: float,
    speed: float,
    seed: int,
) -> Scenes:
    """Scenes of a room (3,) with microphones (M, 3); sources (F, 3), or ``count`` that are drawn;
    sound (n,) at 16 kHz, or voices. Metres, the room's corner at 0.
    """
    size = np.array(vector(list(room), "room", 0, 500, above=True))
    array = _points(mics, "mics")
    number(t60_s, "t60", 0, 10, "s")
    if snr_db != np.inf:
        number(snr_db, "snr_db", -100, 200, "dB")
    check_speed(speed, "speed_of_sound")
    if sources is None:
        number(count, "count", 1, 10_000_000, whole=True)
        places = _drawn(size, array, count, seed)
    else:
        places = _points(sources, "sources")
    dry = _voices(seed) if sound is None else _sound(sound)
    start = _loud_starts(dry, len(places), seed)
    made = Scenes(
        room=size,
        mics=array,
        source=places,
        dry=dry,
        start=start,
        dry_begin=np.zeros(len(places), int),
        dry_end=np.full(len(places), len(dry)),
        t60_s=np.full(len(places), float(t60_s)),
        snr_db=np.full(len(places), float(snr_db)),
        table=pd.DataFrame(
            {
                "frame": np.arange(len(places)),
                "track": "simulated",
                "t60_nominal_s": float(t60_s),
                "snr_db": float(snr_db),
            }
        ),
        samples=FRAME_SAMPLES,
        sample_rate=SAMPLE_RATE,
        speed_of_sound=speed,
    )
    made.check()
    return made


def _points(given: Points, name: str) -> np.ndarray:
    """Positions (n, 3)."""
    points = np.asarray(given, float)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(f"{name}: shape {points.shape}, expected finite numbers (n, 3) in metres")
    return points


def _sound(given: np.ndarray) -> np.ndarray:
    """Dry sound (n,), long enough for a frame."""
    sound = np.asarray(given, np.float32)
    if sound.ndim != 1 or len(sound) < FRAME_SAMPLES or not np.isfinite(sound).all():
        raise InputError(
            f"sound: shape {sound.shape}, expected finite samples (n,) at {SAMPLE_RATE} Hz, at "
            f"least {FRAME_SAMPLES}"
        )
    return sound


def _drawn(room: np.ndarray, mics: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions (count, 3) all over the room."""
    margin = np.minimum(WALL_M, room / 4)
    rng = seeds.rng(seed, "shoebox", "sources")
    places = [draw_source(rng, margin, room - margin, mics, APART_M) for _ in range(count)]
    drawn = [place for place in places if place is not None]
    if len(drawn) < count:
        raise InputError(f"sources: no place {APART_M} m from all microphones in 100 draws")
    return np.array(drawn)


def _voices(seed: int) -> np.ndarray:
    """Speech-like sound (n,) of some voices, an utterance of each."""
    parts = []
    for voice in range(VOICES):
        rng = seeds.rng(seed, "shoebox", "voice", voice)
        formants = rng.uniform([300, 900, 2000, 3200], [800, 1800, 3000, 4500])
        parts.append(synthetic.utterance(3.0, rng.uniform(90, 250), formants, rng))
    return np.concatenate(parts).astype(np.float32)


def _loud_starts(dry: np.ndarray, count: int, seed: int) -> np.ndarray:
    """First samples (count,) of frames, each the loudest of some."""
    rng = seeds.rng(seed, "shoebox", "starts")
    starts = rng.integers(0, len(dry) - FRAME_SAMPLES + 1, (count, CHOICES))
    energy = np.concatenate([[0.0], np.cumsum(np.square(dry, dtype=float))])
    loudest = (energy[starts + FRAME_SAMPLES] - energy[starts]).argmax(axis=1)
    return starts[np.arange(count), loudest]
