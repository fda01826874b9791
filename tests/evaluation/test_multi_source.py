"""Several sources: matching against brute force, rows of metrics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from helpers.frames import mixture
from wavloc.evaluation import multi_source, score
from wavloc.methods.predictions import Predictions
from wavloc.simulation import mixtures


def scattered(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates (F, 3, 3), their certainty and 1 to 3 true sources, with missing estimates."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 3, (60, 3, 3))
    estimates = truth[:, rng.permutation(3)] + rng.normal(0, 0.4, (60, 3, 3))
    estimates[rng.random((60, 3)) < 0.2] = np.nan
    truth[np.arange(3) >= rng.integers(1, 4, (60, 1))] = np.nan
    return estimates, rng.random((60, 3)), truth


def test_matched_error_is_that_of_the_best_assignment() -> None:
    estimates, _, truth = scattered()
    found = multi_source.matched_error_m(estimates, truth)
    for frame in range(len(truth)):
        real = truth[frame][np.isfinite(truth[frame]).all(-1)]
        best = np.inf
        for way in itertools.permutations(range(len(real))):
            errors = np.linalg.norm(estimates[frame, list(way)] - real, axis=1)
            best = min(best, np.where(np.isnan(errors), 3.0, np.minimum(errors, 3.0)).mean())
        assert found[frame] == pytest.approx(best)


def test_detections_are_the_largest_matching_within_reach() -> None:
    estimates, certainty, truth = scattered()
    rate, alarms = multi_source.detections(estimates, certainty, truth)
    for frame in range(len(truth)):
        real = truth[frame][np.isfinite(truth[frame]).all(-1)]
        told = estimates[frame][certainty[frame] >= 0.5]
        told = told[np.isfinite(told).all(-1)]
        near = np.linalg.norm(told[:, None] - real, axis=-1) < 0.5
        small = min(near.shape)
        most = max(
            sum(near[e, s] for e, s in zip(es, ss, strict=True))
            for es in itertools.permutations(range(len(told)), small)
            for ss in itertools.permutations(range(len(real)), small)
        )
        assert rate[frame] == pytest.approx(most / len(real))
        assert alarms[frame] == len(told) - most


def test_metrics_rows_and_methods_that_answer_with_one_source() -> None:
    frames = mixture(20)
    places = mixtures.positions(frames)
    exact = Predictions(places[:, 0], np.full(20, "ok"), positions=places[:, ::-1])
    exact.certainty = np.full((20, 2), 0.9)
    one = Predictions(places[:, 0], np.full(20, "ok"))
    table = score("sources", {"exact": exact, "one": one}, frames, {"track": "t"}, resamples=1000)
    values = table[table.method == "exact"].set_index("metric")["value"]
    assert values.to_dict() == {"source_mae": 0, "detection_rate": 100, "false_alarms": 0}
    assert (table[table.method == "one"]["note"] == multi_source.ONE_ONLY).all()
