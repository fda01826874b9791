"""Errors, metrics and bootstrap intervals against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.frames import anechoic_frames
from wavloc.errors import InputError
from wavloc.evaluation import bootstrap
from wavloc.evaluation.metrics import errors_m, evaluate
from wavloc.methods.predictions import Predictions

CELL = {"dataset": "d", "track": "t", "setup": "1a", "mics": 11}


def predictions(frames, offset_m: np.ndarray, **meta: object) -> Predictions:
    position = frames.source_position + np.asarray(offset_m)[:, None] * [1.0, 0.0, 0.0]
    status = np.where(np.isfinite(position).all(axis=1), "ok", "failed").astype(object)
    return Predictions(position, status, meta=meta)


def test_error_is_capped_and_failure_is_the_cap() -> None:
    frames = anechoic_frames(4)
    found = predictions(frames, [0.1, 2.0, 50.0, np.nan])
    assert errors_m(found, frames) == pytest.approx([0.1, 2.0, 3.0, 3.0])


def test_metrics_of_known_errors() -> None:
    frames = anechoic_frames(4)
    both = {
        "good": predictions(frames, [0.1, 0.2, 0.4, 0.1], method="good"),
        "bad": predictions(frames, [0.2, 0.4, np.nan, 0.2], method="bad"),
        "oracle": predictions(frames, [0.0] * 4, method="oracle", control=True),
    }
    table = evaluate(both, frames, CELL).set_index(["method", "metric"])["value"]
    assert table["good", "mae"] == pytest.approx(20.0)
    assert table["good", "median"] == pytest.approx(15.0)
    assert table["good", "acc30"] == pytest.approx(75.0)
    assert table["good", "rmse"] == pytest.approx(100 * np.sqrt(0.22 / 4))
    assert table["bad", "failure_rate"] == pytest.approx(25.0)
    assert table["bad", "mae"] == pytest.approx(95.0)
    # The oracle is no competitor: the best method is "good".
    assert table["good", "difference_to_best"] == 0
    assert table["bad", "difference_to_best"] == pytest.approx(75.0)


def test_refusal_gives_a_note_and_no_value() -> None:
    frames = anechoic_frames(4)
    refused = predictions(frames, [np.nan] * 4, refused="needs at least 5 microphones, got 4")
    both = {"good": predictions(frames, [0.1] * 4), "none": refused}
    table = evaluate(both, frames, CELL).set_index(["method", "metric"])
    assert np.isnan(table.loc[("none", "mae"), "value"])
    assert "5 microphones" in table.loc[("none", "mae"), "note"]
    assert table.loc[("good", "mae"), "value"] == pytest.approx(10.0)


def test_mean_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, 0.1, (300, 1))
    _, low, high = bootstrap.intervals(
        bootstrap.weighted_mean, values, np.random.default_rng(1), resamples=4000
    )
    theirs = scipy.stats.bootstrap(
        (values[:, 0],), np.mean, n_resamples=4000, method="percentile", rng=2
    ).confidence_interval
    width = theirs.high - theirs.low
    assert abs(low[0] - theirs.low) < 0.06 * width
    assert abs(high[0] - theirs.high) < 0.06 * width


@settings(deadline=None)
@given(count=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_weighted_median_equals_the_median_of_the_resample(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, 2)).round(1)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=10).astype(float)
    ours = bootstrap.weighted_median(weights, values)
    for row, weight in zip(ours, weights, strict=True):
        resample = np.repeat(values, weight.astype(int), axis=0)
        assert row == pytest.approx(np.median(resample, axis=0))


def test_blocks_widen_the_interval_of_slow_signals() -> None:
    slow = np.repeat(np.random.default_rng(0).random(30), 20)[:, None]
    widths = []
    for block in (1, 20):
        _, low, high = bootstrap.intervals(
            bootstrap.weighted_mean, slow, np.random.default_rng(0), 2000, block
        )
        widths.append(high[0] - low[0])
    assert widths[1] > 3 * widths[0]


def test_coverage_of_the_interval() -> None:
    """The true mean lies in the 95 % interval about 95 times of 100."""
    rng = np.random.default_rng(5)
    values = rng.exponential(1.0, (100, 300))
    _, low, high = bootstrap.intervals(bootstrap.weighted_mean, values, rng, 1000)
    assert 0.89 < ((low < 1) & (high > 1)).mean() < 0.98


def test_wrong_length_and_unknown_truth_are_refused() -> None:
    frames = anechoic_frames(4)
    with pytest.raises(InputError, match="3 rows"):
        errors_m(Predictions(np.zeros((3, 3)), np.array(["ok"] * 3)), frames)
    frames.source_position[1] = np.nan
    with pytest.raises(InputError, match="unknown source positions"):
        errors_m(predictions(frames, [0.0] * 4), frames)


def test_chunks_of_resamples_change_nothing(monkeypatch) -> None:
    values = np.random.default_rng(0).random((50, 2))
    first = bootstrap.intervals(bootstrap.weighted_mean, values, np.random.default_rng(1), 1000)
    monkeypatch.setattr(bootstrap, "ELEMENTS", 900)
    second = bootstrap.intervals(bootstrap.weighted_mean, values, np.random.default_rng(1), 1000)
    assert np.array_equal(np.stack(first), np.stack(second))
