"""Metrics by condition."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.predictions import CELL, off_by
from wavloc.errors import InputError
from wavloc.evaluation import score
from wavloc.frames import Frames

CONDITIONS = ["t60_nominal_s", "snr_db"]


def test_conditions_are_those_frames_alone(swept: Frames) -> None:
    found = {"m": off_by(swept, np.linspace(0, 1.5, 16))}
    table = score("conditions", found, swept, CELL, by=CONDITIONS)
    mae = table[table["metric"] == "mae"]
    assert len(mae) == 2 + 2 + 4
    pair = mae[(mae["t60_nominal_s"] == 0.2) & (mae["snr_db"] == 10)]
    assert pair["value"].item() == pytest.approx(100 * np.linspace(0, 1.5, 16)[12:].mean())
    assert pair["track"].item() == "T60 0.2 s, SNR 10 dB"
    alone = mae[(mae["snr_db"] == 0) & mae["t60_nominal_s"].isna()]
    rows = [0, 1, 2, 3, 8, 9, 10, 11]
    assert alone["value"].item() == pytest.approx(100 * np.linspace(0, 1.5, 16)[rows].mean())
    assert alone["n_frames"].item() == 8
    with pytest.raises(InputError, match="no column 'snr_db'"):
        score("conditions", found, anechoic_frames(16), CELL, by=["snr_db"])


def test_frames_without_a_true_position_do_not_count(swept: Frames) -> None:
    found = {"m": off_by(swept, np.linspace(0, 1.5, 16))}
    part = swept.select(np.arange(16))
    part.source_position[3:8] = np.nan
    table = score("conditions", found, part, CELL, by=["snr_db"])
    counted = table[table["metric"] == "mae"].set_index("snr_db")["n_frames"]
    assert counted.sum() == 11
    assert len(counted) == part.table["snr_db"].nunique()
    part.source_position[:] = np.nan
    with pytest.raises(InputError, match="unknown source positions"):
        score("conditions", found, part, CELL, by=["snr_db"])
