"""De-noising gain of reconstructed signals: SI-SDR over that of the noisy ones, in dB."""

from __future__ import annotations

import numpy as np

from wavloc.errors import InputError
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions


def si_sdr_db(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Scale-invariant signal-to-distortion ratio over the last axis, means removed (Le Roux 2019).

    The part of the estimate along the reference against the rest of it; scaling either changes
    nothing.
    """
    estimate = estimate - estimate.mean(axis=-1, keepdims=True)
    reference = reference - reference.mean(axis=-1, keepdims=True)
    along = (estimate * reference).sum(axis=-1, keepdims=True)
    along = along / np.square(reference).sum(axis=-1, keepdims=True) * reference
    rest = np.square(estimate - along).sum(axis=-1)
    return 10 * np.log10(np.square(along).sum(axis=-1) / rest)


def gain_db(found: Predictions, frames: Frames, clean: Frames) -> np.ndarray:
    """Gain (F,) in dB, mean over the microphones that were heard.

    clean: the same frames without noise.
    """
    if len(clean) != len(frames) or clean.audio.shape != frames.audio.shape:
        raise InputError(
            f"clean frames have audio {clean.audio.shape}, expected {frames.audio.shape}"
        )
    if not np.allclose(clean.source_position, frames.source_position):
        raise InputError("the clean frames are not the same ones: source positions differ")
    if found.audio is None:
        return np.full(len(frames), np.nan)
    reference = clean.window().astype(np.float64)
    reconstructed = np.asarray(found.audio[:, 1:], np.float64)
    gained = si_sdr_db(reconstructed, reference) - si_sdr_db(frames.window(), reference)
    return np.nanmean(gained, axis=1)
