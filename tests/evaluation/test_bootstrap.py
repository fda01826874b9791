"""Bootstrap intervals against scipy, known distributions and resamples written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from wavloc.evaluation import bootstrap


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


@pytest.mark.parametrize(
    ("statistic", "truth"),
    [
        (bootstrap.weighted_mean, 2 / 10),
        (bootstrap.weighted_median, 0.16783469900166612),  # of a gamma distribution of shape 2
        (bootstrap.root_mean, np.sqrt(6) / 10),
    ],
)
def test_intervals_cover_the_truth(statistic, truth: float) -> None:
    """At least 93 % of nominal 95 % intervals, on errors of known distribution."""
    values = np.random.default_rng(3).gamma(2.0, 0.1, (300, 400))
    _, low, high = bootstrap.intervals(statistic, values, np.random.default_rng(4), 1000)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.93


def test_chunks_of_resamples_change_nothing(monkeypatch) -> None:
    values = np.random.default_rng(0).random((50, 2))
    first = bootstrap.intervals(bootstrap.weighted_mean, values, np.random.default_rng(1), 1000)
    monkeypatch.setattr(bootstrap, "ELEMENTS", 900)
    second = bootstrap.intervals(bootstrap.weighted_mean, values, np.random.default_rng(1), 1000)
    assert np.array_equal(np.stack(first), np.stack(second))
