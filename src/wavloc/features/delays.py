"""What is measured from frames: GCC-PHAT of all pairs, its peaks, and which delays are possible.

Frames that hold arrival times have their delays already.
"""

from typing import Any

import numpy as np

from wavloc.errors import InputError
from wavloc.features.gcc import find_peaks, gcc_phat
from wavloc.frames import Frames
from wavloc.geometry import pairs


def limits(frames: Frames, block: slice) -> np.ndarray:
    """Largest possible delay (B, P) in samples, and two more for rounding; 0 where unknown."""
    mics = frames.mics(block)
    first, second = pairs(frames.n_mics).T
    span = np.linalg.norm(mics[:, first] - mics[:, second], axis=-1)
    reach = np.ceil(span * frames.sample_rate / frames.speed_of_sound) + 2
    return np.nan_to_num(reach)


def correlate(frames: Frames, block: slice, options: Any) -> tuple[np.ndarray, np.ndarray]:
    """GCC (B, P, L) of some frames, by a method's options, and the largest possible delays (B, P)
    in samples.
    """
    limit = limits(frames, block)
    if limit.max() + 2 >= frames.frame_samples:
        raise InputError(
            f"delays of up to {limit.max() - 2:.0f} samples do not fit frames of "
            f"{frames.frame_samples}, expected longer frames or microphones nearer to each other"
        )
    gcc = gcc_phat(
        frames.window(block),
        pairs(frames.n_mics),
        int(limit.max()) + 2,
        sample_rate=frames.sample_rate,
        exponent=options.exponent,
        band=(options.low_hz, options.high_hz),
        oversample=options.oversample,
    )
    return gcc, limit


def peaks(frames: Frames, block: slice, options: Any) -> np.ndarray:
    """Delays (B, P, H) in samples of the H = ``options.peaks`` strongest peaks of each pair, or
    those of the arrival times, H = 1.
    """
    if frames.arrivals is not None:
        first, second = pairs(frames.n_mics).T
        arrivals = np.asarray(frames.arrivals[block])
        return (arrivals[:, first] - arrivals[:, second])[..., None] * frames.sample_rate
    gcc, limit = correlate(frames, block, options)
    return find_peaks(gcc, limit, options.peaks, options.oversample, options.min_distance)[0]


def mask_impossible(gcc: np.ndarray, limit: np.ndarray, oversample: int) -> np.ndarray:
    """gcc (B, P, L) with 0 at lags beyond the limit (B, P) in samples and for unknown pairs."""
    lag = np.abs(np.arange(gcc.shape[-1]) - gcc.shape[-1] // 2)
    possible = (lag <= limit[..., None] * oversample) & (limit > 0)[..., None]
    return np.where(possible & np.isfinite(gcc), gcc, 0)


def mic_positions(frames: Frames, block: slice) -> np.ndarray:
    """Microphones of some frames: (M, 3) where they are the same in all, else (B, M, 3)."""
    return frames.mic_positions if frames.mic_positions.ndim == 2 else frames.mics(block)
