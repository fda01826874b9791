"""Errors of positions (Berg et al. 2024, Sec. IV) and paired differences between methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.evaluation.bootstrap import Resampling
from wavloc.evaluation.metrics import CAP_M, METRICS, Errors, of_kind
from wavloc.evaluation.rows import row, tidy
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

NO_MICS = "does not localize microphones"


def errors_m(predictions: Predictions, frames: Frames) -> np.ndarray:
    """Capped Euclidean error per frame (F,) in metres; a failure is `CAP_M`."""
    require_match(predictions, frames)
    return capped(np.linalg.norm(predictions.position - frames.source_position, axis=1))


def capped(error: np.ndarray) -> np.ndarray:
    """Errors in metres, at most `CAP_M`, which is what a missing estimate (NaN) counts as."""
    return np.where(np.isfinite(error), np.minimum(error, CAP_M), CAP_M)


def require_match(predictions: Predictions, frames: Frames) -> None:
    """Raise `InputError` unless there is a prediction and a true position for each frame."""
    if len(predictions) != len(frames):
        raise InputError(
            f"predictions have {len(predictions)} rows, expected one per frame ({len(frames)})"
        )
    if not np.isfinite(frames.source_position).all():
        raise InputError("the Frames have unknown source positions: nothing to evaluate against")


def ranked_errors_m(predictions: Predictions, frames: Frames) -> np.ndarray:
    """As `errors_m`; NaN throughout where the method refused the frames."""
    if "refused" in predictions.meta:
        return np.full(len(frames), np.nan)
    return errors_m(predictions, frames)


def mic_errors_m(predictions: Predictions, frames: Frames, known: np.ndarray) -> np.ndarray:
    """Mean capped error per frame (F,) in metres over microphones that are not in known (F, K)."""
    if predictions.mic_positions is None:
        return np.full(len(frames), np.nan)
    error = capped(np.linalg.norm(predictions.mic_positions - frames.mics(), axis=-1))
    unknown = np.ones(error.shape, bool)
    np.put_along_axis(unknown, known, False, axis=1)
    return (error * unknown).sum(axis=1) / unknown.sum(axis=1)


def score(
    predictions: Mapping[str, Predictions],
    frames: Frames,
    cell: Mapping[str, object],
    resampling: Resampling,
    known: np.ndarray | None = None,
) -> pd.DataFrame:
    """Metrics of kind ``errors``; those of microphones where known (F, K) leaves some out."""
    known = None if known is None or known.shape[1] == frames.n_mics else known
    metrics = [name for name in of_kind("errors") if METRICS[name].everywhere or known is not None]
    answered = {name: found for name, found in predictions.items() if "refused" not in found.meta}
    bounds = {}
    if answered:
        errors = _errors(answered, frames, known)
        for metric in metrics:
            values = METRICS[metric].per_frame(errors)
            columns = resampling.intervals(METRICS[metric].statistic, values)
            bounds[metric] = dict(zip(answered, np.transpose(columns), strict=True))
    rows = []
    for name, prediction in predictions.items():
        if name not in answered:
            refusal = prediction.meta["refused"]
            rows += [row(cell, name, metric, len(frames), note=refusal) for metric in metrics]
            continue
        lost = no_frame(prediction)
        failure_rate = failures(prediction).mean()
        for metric in metrics:
            no_value = bool(lost) and metric != "failure_rate"
            no_mics = metric == "mic_mae" and prediction.mic_positions is None
            note = lost if no_value else NO_MICS if no_mics else ""
            numbers = () if no_value else bounds[metric][name]
            rows.append(
                row(cell, name, metric, len(frames), numbers, note, failure_rate=failure_rate)
            )
    return tidy(rows)


def _errors(
    predictions: Mapping[str, Predictions], frames: Frames, known: np.ndarray | None
) -> Errors:
    error = np.array([errors_m(found, frames) for found in predictions.values()]).T
    failed = np.array([failures(found) for found in predictions.values()]).T
    mean = error.mean(axis=0)
    # Controls are shown the answer or ignore the sound: they are no competitors.
    control = [bool(found.meta.get("control")) for found in predictions.values()]
    competing = np.where(control, np.inf, mean)
    best = int(np.argmin(competing if np.isfinite(competing).any() else mean))
    mics = None
    if known is not None:
        mics = np.array([mic_errors_m(found, frames, known) for found in predictions.values()]).T
    return Errors(error, failed, best, mics)


def failures(predictions: Predictions) -> np.ndarray:
    """Frames (F,) without a position."""
    return ~np.isfinite(predictions.position).all(axis=1)


def no_frame(predictions: Predictions) -> str:
    """Why every frame failed, most frequent status first; empty if one did not."""
    if not failures(predictions).all():
        return ""
    reasons = pd.Series(predictions.status).value_counts()
    return f"no frame located ({', '.join(f'{name}: {n}' for name, n in reasons.items())})"
