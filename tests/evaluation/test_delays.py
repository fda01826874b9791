"""How positions fit measured arrival times."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from helpers.predictions import CELL, off_by
from wavloc.errors import InputError
from wavloc.evaluation import score
from wavloc.evaluation.delays import RESIDUAL_CAP_M, residuals_m
from wavloc.frames import Frames
from wavloc.geometry import distances


@pytest.fixture
def timed() -> Frames:
    frames = anechoic_frames(16)
    frames.arrivals = distances(frames.source_position, frames.mics()) / frames.speed_of_sound
    frames.arrivals += np.arange(16)[:, None]  # the zero of a frame means nothing
    table = frames.table.assign(set=np.repeat([1, 2], 8))
    table[[f"solution_{axis}" for axis in "xyz"]] = frames.source_position
    return dataclasses.replace(frames, table=table)


def test_residuals_are_those_of_the_pairs(timed: Frames) -> None:
    truth = np.array(timed.source_position)
    assert residuals_m(truth, timed).max() < 1e-9
    assert residuals_m(truth * np.nan, timed) == pytest.approx(RESIDUAL_CAP_M)
    timed.arrivals[:, 3] += 1.0  # 10 of the 55 pairs have this microphone
    assert residuals_m(truth, timed) == pytest.approx(10 / 55 * RESIDUAL_CAP_M)
    timed.arrivals[:, 3] = np.nan
    assert residuals_m(truth, timed).max() < 1e-9
    timed.arrivals = None
    with pytest.raises(InputError, match="no arrival times"):
        residuals_m(truth, timed)


def test_metrics_need_no_truth_and_count_failures(timed: Frames) -> None:
    error = np.full(16, 0.2)
    error[:4] = np.nan
    found = {"m": off_by(timed, error)}
    blind = dataclasses.replace(timed, source_position=np.full((16, 3), np.nan))
    table = score("delays", found, blind, CELL, by=["set"]).set_index(["metric", "track"])
    assert table.loc[("agreement", "set 1"), "value"] == pytest.approx((300 + 20) / 2)
    assert table.loc[("agreement", "set 2"), "value"] == pytest.approx(20)
    assert table.loc[("agreement", "set 1"), "failure_rate"] == 0.5
    assert table.loc[("residual", "set 1"), "value"] > table.loc[("residual", "set 2"), "value"]
    excess = table.loc["residual_excess", "value"]
    assert excess.to_numpy() == pytest.approx(table.loc["residual", "value"].to_numpy())
    with pytest.raises(InputError, match="no column 'solution_x'"):
        score("delays", found, dataclasses.replace(blind, table=blind.table[["frame"]]), CELL)
