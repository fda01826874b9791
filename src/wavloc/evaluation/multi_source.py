"""Several sources at once: estimates are matched to sources before they are scored."""

import itertools

import numpy as np
import pandas as pd

from wavloc.evaluation.base import Evaluation, Results
from wavloc.evaluation.bootstrap import weighted_mean
from wavloc.evaluation.errors import capped, require_truth
from wavloc.evaluation.metrics import of_kind
from wavloc.methods.predictions import Predictions
from wavloc.simulation import mixtures

DETECTED_M = 0.5  # an estimate as near as this to a source has detected it
DECLARED = 0.5  # certainty from which an estimate claims that there is a source
ONE_ONLY = "answers with one source only"


def distances_m(estimates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Capped distances (F, E, K) in metres of estimates (F, E, 3) from sources (F, K, 3).

    A missing estimate is the cap away from everything; NaN where there is no source.
    """
    apart = capped(np.linalg.norm(estimates[:, :, None] - truth[:, None], axis=-1))
    return np.where(np.isfinite(truth).all(-1)[:, None], apart, np.nan)


def matched_error_m(estimates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean distance per source (F,) in metres under the best assignment of one estimate to each.

    The number of sources is known here: estimates (F, E, 3) come most certain first, and as many
    are taken as the frame has sources.
    """
    padded = _padded(estimates, truth.shape[1])
    count = np.isfinite(truth).all(-1).sum(axis=1)
    padded[np.arange(padded.shape[1]) >= count[:, None]] = np.nan
    apart = distances_m(padded, truth)
    sums = [np.nansum(paired, axis=1) for paired in _assignments(apart)]
    return np.min(sums, axis=0) / count


def detections(
    estimates: np.ndarray, certainty: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the sources that were detected, and false alarms, of each frame: two (F,).

    An estimate counts from a certainty (F, E) of `DECLARED`; one that detects none, or the same
    source as another one, is a false alarm.
    """
    declared = (certainty >= DECLARED) & np.isfinite(estimates).all(-1)
    padded = _padded(np.where(declared[..., None], estimates, np.nan), truth.shape[1])
    near = distances_m(padded, truth) < DETECTED_M  # NaN: no source, not near
    hits = np.max([paired.sum(axis=1) for paired in _assignments(near)], axis=0)
    return hits / np.isfinite(truth).all(-1).sum(axis=1), declared.sum(axis=1) - hits


def _padded(estimates: np.ndarray, count: int) -> np.ndarray:
    """Estimates (F, E, 3), followed by missing ones up to ``count``."""
    lacking = max(0, count - estimates.shape[1])
    return np.pad(estimates, ((0, 0), (0, lacking), (0, 0)), constant_values=np.nan)


def _assignments(values: np.ndarray) -> list[np.ndarray]:
    """Values (F, E, K) of each way to give every source an estimate of its own: (F, K) each."""
    _, estimates, sources = values.shape
    every = np.arange(sources)
    ways = itertools.permutations(range(estimates), sources)
    return [values[:, list(way), every] for way in ways]


def score(evaluation: Evaluation) -> pd.DataFrame:
    """MAE per source, detection rate and false alarms of every method for several sources."""
    require_truth(evaluation.frames)
    truth = mixtures.positions(evaluation.frames)

    def results_of(_: str, prediction: Predictions) -> Results:
        if prediction.positions is None:
            return ONE_ONLY
        estimates, certainty = np.asarray(prediction.positions), np.asarray(prediction.certainty)
        values = [matched_error_m(estimates, truth), *detections(estimates, certainty, truth)]
        failed = ~np.isfinite(estimates).all(-1).any(axis=1)
        return evaluation.intervals(weighted_mean, np.stack(values, axis=1)), failed.mean()

    return evaluation.table(of_kind("sources"), results_of)
