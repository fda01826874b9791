"""Errors of positions (Berg et al. 2024, Sec. IV) and paired differences between methods."""

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.base import Evaluation, Result, Results
from wavloc.evaluation.metrics import CAP_M, METRICS, Errors, of_kind
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

NO_MICS = "does not localize microphones"


def errors_m(predictions: Predictions, frames: Frames) -> np.ndarray:
    """Capped Euclidean error per frame (F,) in metres; a failure is `CAP_M`."""
    require_truth(frames)
    position = predictions.of(frames).position
    return capped(np.linalg.norm(position - frames.source_position, axis=1))


def capped(error: np.ndarray) -> np.ndarray:
    """Errors in metres, at most `CAP_M`, which is what a missing estimate (NaN) counts as."""
    return np.where(np.isfinite(error), np.minimum(error, CAP_M), CAP_M)


def require_truth(frames: Frames) -> None:
    """Raise `InputError` unless all source positions are known."""
    if not np.isfinite(frames.source_position).all():
        raise InputError("the Frames have unknown source positions: nothing to evaluate against")


def ranked_errors_m(predictions: Predictions, frames: Frames) -> np.ndarray:
    """As `errors_m`; NaN throughout where the method refused the frames."""
    refused = "refused" in predictions.meta
    return np.full(len(frames), np.nan) if refused else errors_m(predictions, frames)


def mic_errors_m(predictions: Predictions, frames: Frames, known: np.ndarray) -> np.ndarray:
    """Mean capped error per frame (F,) in metres over microphones that are not in known (F, K)."""
    if predictions.mic_positions is None:
        return np.full(len(frames), np.nan)
    error = capped(np.linalg.norm(predictions.mic_positions - frames.mics(), axis=-1))
    unknown = np.ones(error.shape, bool)
    np.put_along_axis(unknown, known, False, axis=1)
    return (error * unknown).sum(axis=1) / unknown.sum(axis=1)


def score(evaluation: Evaluation, known: np.ndarray | None = None) -> pd.DataFrame:
    """Metrics of kind ``errors``; those of microphones where known (F, K) leaves some out."""
    if known is not None and known.shape[1] == evaluation.frames.n_mics:
        known = None
    metrics = [name for name in of_kind("errors") if METRICS[name].everywhere or known is not None]
    errors = _errors(evaluation, known)
    bounds = {}
    if errors.methods:
        for metric in metrics:
            values = METRICS[metric].per_frame(errors)
            bounds[metric] = evaluation.intervals(METRICS[metric].statistic, values)

    def results_of(name: str, prediction: Predictions) -> Results:
        column, lost = errors.methods.index(name), no_frame(prediction)
        results: dict[str, Result] = {metric: lost or bounds[metric][column] for metric in metrics}
        results["failure_rate"] = bounds["failure_rate"][column]
        if known is not None and prediction.mic_positions is None:
            results["mic_mae"] = lost or NO_MICS
        return list(results.values()), failures(prediction).mean()

    return evaluation.table(metrics, results_of)


def _errors(evaluation: Evaluation, known: np.ndarray | None) -> Errors:
    """Of all methods that answered."""
    frames = evaluation.frames
    answered = {k: v for k, v in evaluation.predictions.items() if "refused" not in v.meta}
    error = np.array([errors_m(prediction, frames) for prediction in answered.values()]).T
    failed = np.array([failures(prediction) for prediction in answered.values()]).T
    mics = None
    if known is not None:
        mics = np.array([mic_errors_m(answer, frames, known) for answer in answered.values()]).T
    # Controls are shown the answer or ignore the sound: they are no competitors.
    control = [bool(prediction.meta.get("control")) for prediction in answered.values()]
    return Errors(list(answered), control, error, failed, mics)


def failures(predictions: Predictions) -> np.ndarray:
    """Frames (F,) without a position."""
    return ~np.isfinite(predictions.position).all(axis=1)


def no_frame(predictions: Predictions) -> str:
    """Why every frame failed, most frequent status first; empty if one did not."""
    if not failures(predictions).all():
        return ""
    reasons = pd.Series(predictions.status).value_counts()
    return f"no frame located ({', '.join(f'{name}: {n}' for name, n in reasons.items())})"
