"""De-noising gain of reconstructed signals: SI-SDR over that of the noisy ones, in dB."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.base import Evaluation, Results
from wavloc.evaluation.bootstrap import weighted_mean
from wavloc.evaluation.conditions import by_condition
from wavloc.evaluation.errors import failures, no_frame
from wavloc.evaluation.metrics import of_kind
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


def gain_db(audio: np.ndarray, frames: Frames, clean: Frames) -> np.ndarray:
    """Gain (F,) in dB, mean over the microphones that have a signal.

    audio (F, M + 1, N): reconstructed, the source's first; clean: the same frames without noise.
    """
    if len(clean) != len(frames) or clean.audio.shape != frames.audio.shape:
        raise InputError(
            f"clean frames have audio {clean.audio.shape}, expected {frames.audio.shape}"
        )
    if not np.allclose(clean.source_position, frames.source_position, equal_nan=True):
        raise InputError("the clean frames are not the same ones: source positions differ")
    reference = clean.window().astype(np.float64)
    reconstructed = np.asarray(audio[:, 1:], np.float64)
    gain = si_sdr_db(reconstructed, reference) - si_sdr_db(frames.window(), reference)
    return np.nanmean(gain, axis=1)


def score(evaluation: Evaluation, clean: Frames, by: Sequence[str] = ()) -> pd.DataFrame:
    """Gain of every method that reconstructs signals, by condition where ``by`` names columns."""
    if by:
        return by_condition(score, evaluation, by, clean=clean)

    def results_of(_: str, prediction: Predictions) -> Results:
        if prediction.audio is None or no_frame(prediction):
            return no_frame(prediction) or NO_AUDIO
        gain = gain_db(prediction.audio, evaluation.frames, clean)[:, None]
        return evaluation.intervals(weighted_mean, gain), failures(prediction).mean()

    return evaluation.table(of_kind("denoising"), results_of)
