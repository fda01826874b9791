"""Measured delays of frames: correlation rows, their peaks, and what delay is possible."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from wavloc.features import gcc
from wavloc.frames import Frames
from wavloc.geometry import pairs


class Whitening(Protocol):
    """Options that every method on correlations has."""

    exponent: float
    low_hz: float
    high_hz: float
    oversample: int
    apart: float


def limits(frames: Frames, block: slice) -> np.ndarray:
    """Largest possible delay (B, P) in samples, and two more for rounding; 0 where unknown."""
    mics = frames.mics(block)
    first, second = pairs(frames.n_mics).T
    span = np.linalg.norm(mics[:, first] - mics[:, second], axis=-1)
    reach = np.ceil(span * frames.sample_rate / frames.speed_of_sound) + 2
    return np.nan_to_num(reach)


def rows(frames: Frames, block: slice, options: Whitening) -> tuple[np.ndarray, np.ndarray]:
    """Correlation rows (B, P, 2 K + 1) of some frames and the limits (B, P) in samples."""
    limit = limits(frames, block)
    correlation = gcc.gcc_phat(
        frames.window(block),
        pairs(frames.n_mics),
        int(limit.max()) + 2,
        sample_rate=frames.sample_rate,
        exponent=options.exponent,
        band=(options.low_hz, options.high_hz),
        oversample=options.oversample,
    )
    return correlation, limit


def peaks(frames: Frames, block: slice, options: Whitening, count: int) -> np.ndarray:
    """The ``count`` strongest possible delays of each pair in samples: (B, P, count)."""
    correlation, limit = rows(frames, block, options)
    return gcc.find_peaks(correlation, limit, count, options.oversample, options.apart)[0]


def positions(frames: Frames, block: slice) -> np.ndarray:
    """Microphones of some frames: (M, 3) where they are the same in all, else (B, M, 3)."""
    return frames.mic_positions if frames.mic_positions.ndim == 2 else frames.mics(block)


def possible(correlation: np.ndarray, limit: np.ndarray, oversample: int) -> np.ndarray:
    """Rows (B, P, L) with 0 at lags that cannot be and for pairs that say nothing."""
    lag = np.abs(np.arange(correlation.shape[-1]) - correlation.shape[-1] // 2)
    good = (lag <= limit[..., None] * oversample) & (limit > 0)[..., None]
    return np.where(good & np.isfinite(correlation), correlation, 0)
