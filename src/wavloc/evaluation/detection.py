"""How well reliabilities tell faulty microphones from others: ROC curves and areas under them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.evaluation import bootstrap
from wavloc.evaluation.metrics import COLUMNS
from wavloc.frames import Frames
from wavloc.methods.predictions import Predictions
from wavloc.simulation.faults import faulty_mics

NO_RELIABILITY = "does not tell how reliable microphones are"
ONE_SORT = "all microphones are faulty, or none"


def roc(reliability: np.ndarray, faulty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true alarms, as shares, of all thresholds: each (T,), from 0 to 1.

    reliability and faulty: (F, M), NaN reliability counts as not heard. An alarm is a reliability
    at or below the threshold.
    """
    heard = np.isfinite(reliability)
    score, wrong = reliability[heard], faulty[heard]
    thresholds, group = np.unique(score, return_inverse=True)
    alarms = [
        np.bincount(group, weights=kind, minlength=len(thresholds)).cumsum() / max(kind.sum(), 1)
        for kind in (~wrong, wrong)
    ]
    return tuple(np.concatenate([[0.0], alarm]) for alarm in alarms)


def weighted_area(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: weights (R, F) of frames, values (F, M, 2) -> (R, 1).

    values: reliability, and 1 where faulty. It is the probability that a faulty microphone is rated
    below another one, equals counting half; NaN where a resample has one sort only.
    """
    mics = values.shape[1]
    score, wrong = values[..., 0].ravel(), values[..., 1].ravel() == 1
    order = np.argsort(score, kind="stable")
    order = order[: np.isfinite(score).sum()]  # NaN sorts last
    starts = np.unique(score[order], return_index=True)[1]
    sort, frame = wrong[order], order // mics
    chunks = np.array_split(weights, mics)  # as much memory as without microphones
    return np.concatenate([_area(part[:, frame], sort, starts) for part in chunks])


def _area(weights: np.ndarray, wrong: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Areas (R, 1) of sorted microphones: weights (R, n), wrong (n,), starts of equal scores."""
    faulty = np.add.reduceat(weights * wrong, starts, axis=1)
    good = np.add.reduceat(weights * ~wrong, starts, axis=1)
    above = good[:, ::-1].cumsum(axis=1)[:, ::-1] - good / 2
    pairs = faulty.sum(axis=1) * good.sum(axis=1)
    won = (faulty * above).sum(axis=1)
    return np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)[:, None]


def detection(
    predictions: Mapping[str, Predictions],
    frames: Frames,
    cell: Mapping[str, object],
    seed: int = 0,
    resamples: int = 2000,
    block: int = 1,
) -> pd.DataFrame:
    """Area under the ROC curve of every method, frames resampled, in the columns of the metrics."""
    faulty = faulty_mics(frames)
    rows = []
    for name, found in predictions.items():
        row = dict(cell) | {"method": name, "metric": "auc", "unit": "share"}
        row |= {"n_frames": len(frames), "note": found.meta.get("refused", "")}
        if found.reliability is None:
            row["note"] = row["note"] or NO_RELIABILITY
        elif faulty.all() or not faulty.any():
            row["note"] = ONE_SORT
        else:
            if found.reliability.shape != faulty.shape:
                raise InputError(
                    f"predictions of '{name}' rate {found.reliability.shape} microphones, "
                    f"expected {faulty.shape}"
                )
            values = np.stack([found.reliability, faulty], axis=-1)
            rng = seeds.rng(seed, "bootstrap", len(frames))
            bounds = bootstrap.intervals(weighted_area, values, rng, resamples, block)
            numbers = [float(bound[0]) for bound in bounds]
            row |= dict(zip(("value", "ci_low", "ci_high"), numbers, strict=True))
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
