"""Detection of faulty microphones by their reliability: ROC curves and the areas under them."""

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.base import Evaluation, Results
from wavloc.evaluation.metrics import of_kind
from wavloc.methods.predictions import Predictions
from wavloc.simulation.faults import faulty_mics

NO_RELIABILITY = "does not tell how reliable microphones are"
ONE_CLASS = "all microphones are faulty, or none"


def roc(reliability: np.ndarray, faulty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every threshold: each (T,), from 0 to 1.

    reliability and faulty: (F, M); a microphone with NaN reliability has no signal and does not
    count. Positive: a reliability at or below the threshold.
    """
    has_audio = np.isfinite(reliability)
    score, wrong = reliability[has_audio], faulty[has_audio]
    thresholds, group = np.unique(score, return_inverse=True)
    false, true = (
        np.bincount(group, weights=kind, minlength=len(thresholds)).cumsum() / max(kind.sum(), 1)
        for kind in (~wrong, wrong)
    )
    return np.append(0.0, false), np.append(0.0, true)


def weighted_area(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: weights (R, F) of frames, values (F, M, 2) -> (R, 1).

    values: reliability, and 1 where faulty. The area is the probability that a faulty microphone is
    rated below a good one, ties counting half; NaN where a resample has one class only.
    """
    mics = values.shape[1]
    score, faulty = values[..., 0].ravel(), values[..., 1].ravel() == 1
    order = np.argsort(score, kind="stable")
    order = order[: np.isfinite(score).sum()]  # NaN sorts last
    starts = np.unique(score[order], return_index=True)[1]
    frame = order // mics
    chunks = np.array_split(weights, mics)  # as much memory as without microphones
    return np.concatenate([_area(part[:, frame], faulty[order], starts) for part in chunks])


def _area(weights: np.ndarray, faulty: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Areas (R, 1) of sorted microphones: weights (R, n), faulty (n,), starts of equal scores."""
    bad = np.add.reduceat(weights * faulty, starts, axis=1)
    good = np.add.reduceat(weights * ~faulty, starts, axis=1)
    above = good[:, ::-1].cumsum(axis=1)[:, ::-1] - good / 2
    pairs = bad.sum(axis=1) * good.sum(axis=1)
    won = (bad * above).sum(axis=1)
    return np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)[:, None]


def score(evaluation: Evaluation) -> pd.DataFrame:
    """Area under the ROC curve of every method that rates microphones; frames are resampled."""
    faulty = faulty_mics(evaluation.frames)

    def results_of(_: str, prediction: Predictions) -> Results:
        reliability = prediction.reliability
        if reliability is None:
            return NO_RELIABILITY
        if faulty.all() or not faulty.any():
            return ONE_CLASS
        if reliability.shape != faulty.shape:
            raise InputError(
                f"predictions rate {reliability.shape} microphones, expected {faulty.shape}"
            )
        values = np.stack([reliability, faulty], axis=-1)
        return evaluation.intervals(weighted_area, values), np.nan

    return evaluation.table(of_kind("detection"), results_of)
