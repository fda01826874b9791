"""De-noising gain of reconstructed signals: SI-SDR over that of the noisy ones, in dB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.bootstrap import Resampling
from wavloc.evaluation.conditions import by_condition
from wavloc.evaluation.errors import failures, no_frame, require_match
from wavloc.evaluation.rows import score_each
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

NO_AUDIO = "does not reconstruct signals"


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


def gain_db(predictions: Predictions, frames: Frames, clean: Frames) -> np.ndarray:
    """Gain (F,) in dB of predictions with audio, mean over the microphones that have a signal.

    clean: the same frames without noise.
    """
    if len(clean) != len(frames) or clean.audio.shape != frames.audio.shape:
        raise InputError(
            f"clean frames have audio {clean.audio.shape}, expected {frames.audio.shape}"
        )
    if not np.allclose(clean.source_position, frames.source_position):
        raise InputError("the clean frames are not the same ones: source positions differ")
    reference = clean.window().astype(np.float64)
    reconstructed = np.asarray(predictions.audio[:, 1:], np.float64)
    gain = si_sdr_db(reconstructed, reference) - si_sdr_db(frames.window(), reference)
    return np.nanmean(gain, axis=1)


def score(
    predictions: Mapping[str, Predictions],
    frames: Frames,
    cell: Mapping[str, object],
    resampling: Resampling,
    clean: Frames,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Gain of every method that reconstructs signals, by condition where ``by`` names columns."""
    if by:
        return by_condition(score, predictions, frames, cell, resampling, by, clean=clean)

    def gains(prediction: Predictions) -> tuple[np.ndarray, float] | str:
        require_match(prediction, frames)
        if prediction.audio is None or no_frame(prediction):
            return no_frame(prediction) or NO_AUDIO
        return gain_db(prediction, frames, clean)[:, None], failures(prediction).mean()

    return score_each("denoising", predictions, cell, resampling, gains)
