"""Errors and their metrics against closed forms; refusals and failures."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.predictions import CELL, off_by
from wavloc.errors import InputError
from wavloc.evaluation import score
from wavloc.evaluation.errors import errors_m
from wavloc.methods.predictions import Predictions


def test_error_is_capped_and_failure_is_the_cap() -> None:
    frames = anechoic_frames(4)
    found = off_by(frames, [0.1, 2.0, 50.0, np.nan])
    assert errors_m(found, frames) == pytest.approx([0.1, 2.0, 3.0, 3.0])


def test_metrics_of_known_errors() -> None:
    frames = anechoic_frames(4)
    both = {
        "good": off_by(frames, [0.1, 0.2, 0.4, 0.1], method="good"),
        "bad": off_by(frames, [0.2, 0.4, np.nan, 0.2], method="bad"),
        "oracle": off_by(frames, [0.0] * 4, method="oracle", control=True),
    }
    table = score("errors", both, frames, CELL).set_index(["method", "metric"])["value"]
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
    refused = off_by(frames, [np.nan] * 4, refused="needs at least 5 microphones, got 4")
    both = {"good": off_by(frames, [0.1] * 4), "none": refused}
    table = score("errors", both, frames, CELL).set_index(["method", "metric"])
    assert np.isnan(table.loc[("none", "mae"), "value"])
    assert "5 microphones" in table.loc[("none", "mae"), "note"]
    assert table.loc[("good", "mae"), "value"] == pytest.approx(10.0)


def test_a_method_that_fails_in_every_frame_is_not_available() -> None:
    """As Multilat* with five microphones: a guard refuses every frame."""
    frames = anechoic_frames(4)
    lost = off_by(frames, np.full(4, np.nan))
    lost.status[:] = ["too_few_entries"] * 3 + ["low_support"]
    table = score("errors", {"good": off_by(frames, np.zeros(4)), "lost": lost}, frames, CELL)
    rows = table[table["method"] == "lost"].set_index("metric")
    assert rows["value"].drop("failure_rate").isna().all()
    assert rows.loc["failure_rate", "value"] == 100
    assert rows.loc["mae", "note"] == "no frame located (too_few_entries: 3, low_support: 1)"


def test_wrong_length_and_unknown_truth_are_refused() -> None:
    frames = anechoic_frames(4)
    with pytest.raises(InputError, match="3 rows"):
        errors_m(Predictions(np.zeros((3, 3)), np.array(["ok"] * 3)), frames)
    frames.source_position[1] = np.nan
    with pytest.raises(InputError, match="unknown source positions"):
        errors_m(off_by(frames, [0.0] * 4), frames)
