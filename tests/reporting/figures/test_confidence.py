"""Reliability diagram and selective accuracy: what is drawn follows from the closed forms."""

import numpy as np
import pytest

from wavloc.reporting.figures.confidence import BINS, calibration, confidence, kept


def test_a_calibrated_method_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    stated = rng.random(50_000)
    error = np.where(rng.random(50_000) < stated, 0.1, 1.0)
    told, right = calibration(stated, error)
    assert len(told) == BINS
    assert np.abs(told - right).max() < 0.02


def test_the_error_of_the_most_confident_frames() -> None:
    share, mae = kept(np.array([0.2, 0.9, 0.5, 0.1]), np.array([1.0, 0.1, 0.4, np.nan]))
    assert share == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert mae == pytest.approx([0.1, 0.25, 0.5, 4.5 / 4])  # a failure counts as 3 m


def test_one_row_for_each_track_and_methods_without_confidence_are_left_out() -> None:
    style = {"color": "k", "linestyle": "-", "marker": "o"}
    told = {"speech3": {"ours": (np.linspace(0, 1, 20), np.linspace(2, 0, 20))}, "music3": {}}
    figure = confidence(told, {"ours": style, "other": style})
    assert len(figure.axes) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours"]
    assert "no method states a confidence" in [text.get_text() for text in figure.axes[2].texts]
