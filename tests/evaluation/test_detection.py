"""Detection of faulty microphones: areas under ROC curves by their definition, rows of metrics."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from wavloc.errors import InputError
from wavloc.evaluation import detection, score
from wavloc.evaluation.base import COLUMNS
from wavloc.methods.predictions import Predictions
from wavloc.simulation import faults


def rated(count: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Reliabilities in coarse steps (so that many are equal), some not heard; two faulty each."""
    rng = np.random.default_rng(seed)
    faulty = np.argsort(rng.random((count, 6)), axis=1) < 2
    reliability = np.round(np.clip(rng.random((count, 6)) - 0.3 * faulty, 0, 1), 1)
    reliability[0, 0] = np.nan
    return reliability, faulty


def area(reliability: np.ndarray, faulty: np.ndarray) -> float:
    """By its definition: shares of pairs in the right order."""
    heard = np.isfinite(reliability)
    good, bad = reliability[heard & ~faulty], reliability[heard & faulty]
    return float(((bad[:, None] < good) + 0.5 * (bad[:, None] == good)).mean())


def test_area_under_the_curve_is_that_of_its_definition():
    reliability, faulty = rated()
    values = np.stack([reliability, faulty], axis=-1)
    found = detection.weighted_area(np.ones((1, 9)), values)
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(area(reliability, faulty))
    false, true = detection.roc(reliability, faulty)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(found[0, 0])
    drawn = np.random.default_rng(1).multinomial(9, np.full(9, 1 / 9), size=20)
    found = detection.weighted_area(drawn.astype(float), values)
    for row, weights in zip(found[:, 0], drawn, strict=True):
        index = np.repeat(np.arange(9), weights)
        assert row == pytest.approx(area(reliability[index], faulty[index]))


def test_detection_in_metrics_rows() -> None:
    frames = faults.apply(anechoic_frames(12, margin=100), "noisy", 2.0, 2, 0, "twin/speech3")
    faulty = faults.faulty_mics(frames)
    lost = np.full((12, 3), np.nan)
    status = np.full(12, "ok", object)
    perfect = Predictions(lost, status, reliability=1.0 - faulty)
    guess = np.random.default_rng(0).random(faulty.shape)
    found = score(
        "detection",
        {
            "perfect": perfect,
            "guess": Predictions(lost, status, reliability=guess),
            "silent": Predictions(lost, status),
        },
        frames,
        {"dataset": "d", "track": "t", "setup": "1a", "mics": 11},
        resamples=1000,
    ).set_index("method")
    assert set(found.reset_index().columns) == set(COLUMNS)
    assert found.loc["perfect", ["value", "ci_low", "ci_high"]].tolist() == [1, 1, 1]
    low, value, high = found.loc["guess", ["ci_low", "value", "ci_high"]]
    assert low < value < high
    assert value == pytest.approx(area(guess, faulty))
    assert np.isnan(found.loc["silent", "value"])
    assert found.loc["silent", "note"] == detection.NO_RELIABILITY
    everywhere = faults.apply(anechoic_frames(12), "shift", 0.3, 1, 0, "twin/speech3")
    rows = score("detection", {"perfect": perfect}, everywhere, {"mics": 11}, resamples=1000)
    assert rows["note"].tolist() == [detection.ONE_CLASS]
    wrong = Predictions(lost, status, reliability=guess[:, :3])
    with pytest.raises(InputError, match=r"rate \(12, 3\) microphones, expected \(12, 11\)"):
        score("detection", {"wrong": wrong}, frames, {}, resamples=1000)
