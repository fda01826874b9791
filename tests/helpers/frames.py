"""Frames with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.geometry import LUVIRA_MICS, distances
from wavloc.simulation import mixtures


def anechoic_frames(
    count: int = 8,
    seed: int = 0,
    mics: np.ndarray = LUVIRA_MICS,
    margin: int = 0,
    speed: float = 343.0,
) -> Frames:
    """White noise delayed exactly (in the frequency domain) to every microphone; no reflections."""
    rng = np.random.default_rng(seed)
    low, high = mics.min(axis=0), mics.max(axis=0)
    source = rng.uniform(low + 0.1 * (high - low), high - 0.1 * (high - low), (count, 3))
    samples = FRAME_SAMPLES + 2 * margin
    size = 2 * samples
    dry = rng.standard_normal((count, size))
    distance = distances(source, mics)
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * (distance * 16000 / speed)[..., None])
    wet = np.fft.irfft(np.fft.rfft(dry)[:, None] * phase, size) / distance[..., None]
    start = size // 4
    return Frames(
        audio=wet[..., start : start + samples].astype(np.float32),
        source_audio=dry[:, start : start + samples].astype(np.float32),
        mic_positions=mics.copy(),
        source_position=source,
        table=pd.DataFrame({"frame": np.arange(count), "time_s": 0.064 * np.arange(count)}),
        sample_rate=16000,
        speed_of_sound=speed,
    )


def mixture(count: int = 8, sources: int = 2, seed: int = 0) -> Frames:
    """Frames in which several sources sound at once."""
    frames = anechoic_frames(count, seed=seed)
    return mixtures.mixed(frames, anechoic_frames(40, seed=99), np.full(count, sources), seed)
