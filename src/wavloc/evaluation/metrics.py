"""Errors and metrics of the wav2pos paper (Sec. IV), and paired differences between methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.evaluation import bootstrap
from wavloc.evaluation.denoising import gain_db
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions

CAP_M = 3.0  # errors are truncated here; a failed frame counts as this much
HIT_M = 0.30  # acc@30 cm

COLUMNS = [
    *("dataset", "track", "setup", "mics", "method", "metric", "unit", "value"),
    *("ci_low", "ci_high", "n_frames", "failure_rate", "note"),
]
# metric -> (unit, factor from metres or shares, statistic)
METRICS = {
    "mae": ("cm", 100, bootstrap.weighted_mean),
    "median": ("cm", 100, bootstrap.weighted_median),
    "rmse": ("cm", 100, bootstrap.root_mean),
    "acc30": ("%", 100, bootstrap.weighted_mean),
    "failure_rate": ("%", 100, bootstrap.weighted_mean),
    "difference_to_best": ("cm", 100, bootstrap.weighted_mean),
    "mic_mae": ("cm", 100, bootstrap.weighted_mean),  # of microphones with unknown positions
    "si_sdr_gain": ("dB", 1, bootstrap.weighted_mean),  # of reconstructed signals
}
NO_MICS = "does not localize microphones"
NO_AUDIO = "does not reconstruct signals"


def errors_m(predictions: Predictions, frames: Frames) -> np.ndarray:
    """Capped Euclidean error per frame (F,) in metres; a failure is `CAP_M`."""
    require_match(predictions, frames)
    return capped(np.linalg.norm(predictions.position - frames.source_position, axis=1))


def capped(error: np.ndarray) -> np.ndarray:
    """Errors in metres, at most `CAP_M`, which is what a missing estimate (NaN) counts as."""
    return np.where(np.isfinite(error), np.minimum(error, CAP_M), CAP_M)


def require_match(predictions: Predictions, frames: Frames) -> None:
    """Raise `InputError` unless there is a prediction for each frame, and a truth to compare."""
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


def evaluate(
    predictions: Mapping[str, Predictions],
    frames: Frames,
    cell: Mapping[str, object],
    seed: int = 0,
    resamples: int = 2000,
    block: int = 1,
    confidence: float = 0.95,
    known: np.ndarray | None = None,
    clean: Frames | None = None,
) -> pd.DataFrame:
    """Every metric of every method on the same frames, tidy, in the columns `COLUMNS`.

    cell: dataset, track, setup and mics, copied into each row. known (F, K): microphones whose
    positions were given while all were heard; the others' errors are evaluated too. clean: the
    same frames without noise, against which reconstructed signals are evaluated. A method that
    refused the frames, or failed in every one, gets no values and the reason as note.
    """
    if resamples < 1000:
        raise InputError(f"evaluation.resamples: {resamples}, expected at least 1000")
    answered = [name for name in predictions if "refused" not in predictions[name].meta]
    error = np.array([errors_m(predictions[name], frames) for name in answered]).T
    failed = np.array([~np.isfinite(predictions[name].position).all(axis=1) for name in answered]).T
    computed = {}
    values: dict[str, np.ndarray] = dict.fromkeys(METRICS)
    if clean is None:
        del values["si_sdr_gain"]
    if answered:
        values = _per_frame(error, failed, [predictions[name].meta for name in answered])
        if known is not None and known.shape[1] < frames.n_mics:
            found = [mic_errors_m(predictions[name], frames, known) for name in answered]
            values["mic_mae"] = np.array(found).T
        if clean is not None:
            found = [gain_db(predictions[name], frames, clean) for name in answered]
            values["si_sdr_gain"] = np.array(found).T
        for metric in values:
            _, factor, statistic = METRICS[metric]
            # The same stream for every metric and cell: differences between methods are paired.
            rng = seeds.rng(seed, "bootstrap", len(frames))
            bounds = bootstrap.intervals(
                statistic, values[metric], rng, resamples, block, confidence
            )
            computed[metric] = np.stack(bounds) * factor
    rows = []
    for name, prediction in predictions.items():
        lacking = {
            "mic_mae": NO_MICS if prediction.mic_positions is None else "",
            "si_sdr_gain": NO_AUDIO if prediction.audio is None else "",
        }
        silent = _failure(prediction)
        for metric in values:
            row = dict(cell) | {"method": name, "metric": metric, "unit": METRICS[metric][0]}
            row |= {"n_frames": len(frames), "note": prediction.meta.get("refused", "")}
            row["note"] = row["note"] or lacking.get(metric, "")
            if name in answered:
                column = answered.index(name)
                row["failure_rate"] = failed[:, column].mean()
                if silent and metric != "failure_rate":
                    row["note"] = silent
                else:
                    found = computed[metric][:, column]
                    row |= dict(zip(("value", "ci_low", "ci_high"), found, strict=True))
            rows.append(row)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _failure(predictions: Predictions) -> str:
    """Why every frame failed, most frequent status first; empty if one did not."""
    if np.isfinite(predictions.position).all(axis=1).any():
        return ""
    reasons = pd.Series(predictions.status).value_counts()
    return f"no frame located ({', '.join(f'{name}: {n}' for name, n in reasons.items())})"


def _per_frame(
    error: np.ndarray, failed: np.ndarray, meta: list[dict[str, object]]
) -> dict[str, np.ndarray]:
    """Per-frame values (F, K) whose mean, median or root mean square is the metric."""
    mean = error.mean(axis=0)
    # Controls are shown the answer or ignore the sound: they are no competitors.
    competing = np.where([bool(entry.get("control")) for entry in meta], np.inf, mean)
    best = int(np.argmin(competing if np.isfinite(competing).any() else mean))
    return {
        "mae": error,
        "median": error,
        "rmse": error,
        "acc30": ((error < HIT_M) & ~failed).astype(float),
        "failure_rate": failed.astype(float),
        "difference_to_best": error - error[:, best : best + 1],
    }
