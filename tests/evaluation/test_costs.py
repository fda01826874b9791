"""Costs of methods as rows of metrics."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.predictions import CELL, off_by
from wavloc.evaluation.costs import costs


def test_costs_are_what_was_measured() -> None:
    frames = anechoic_frames(4)
    cost = {"device": "a CPU", "peak_memory_mb": 80.0, "energy_wh": None, "energy_note": "none"}
    trained = {"cost": cost | {"seconds": 7200.0, "energy_wh": 5.0, "device": "a GPU"}}
    found = {
        "net": off_by(frames, np.zeros(4), cost=cost),
        "classical": off_by(frames, np.zeros(4), cost=cost),
        "imported": off_by(frames, np.zeros(4)),
        "none": off_by(frames, np.full(4, np.nan), refused="needs more", cost=cost),
    }
    table = costs(found, {"net": trained, "imported": {"imported": "x.pt"}}, CELL)
    table = table.set_index(["method", "metric"])
    assert table.loc[("net", "train_hours"), "value"] == 2
    assert table.loc[("net", "train_hours"), "note"] == "trained on a GPU"
    assert table.loc[("net", "train_energy"), "value"] == 5
    assert table.loc[("net", "ms_per_frame"), "value"] == pytest.approx(4)
    assert table.loc[("net", "frames_per_s"), "value"] == pytest.approx(250)
    assert table.loc[("net", "ms_per_frame"), "note"] == "run on a CPU"
    for key, note in {
        ("net", "energy"): "none",
        ("classical", "train_hours"): "nothing to train",
        ("imported", "train_hours"): "not measured: made by other means than the training stage",
        ("none", "ms_per_frame"): "needs more",
    }.items():
        assert np.isnan(table.loc[key, "value"])
        assert table.loc[key, "note"] == note
