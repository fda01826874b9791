"""Layouts of tables."""

from __future__ import annotations

import pytest

from helpers.tables import METHODS, SPEC, cell
from wavloc.errors import InputError
from wavloc.reporting import tables


def test_layouts_by_microphones_and_by_split(tmp_path):
    spec = SPEC | {
        "layout": "mics",
        "tracks": ["speech3"],
        "setups": ["1a", "2a"],
        "mics": [5, 7, 9],
    }
    found = [
        cell(tmp_path, "multilat", "speech3", 10.0 * mics, setup, mics)
        for setup in spec["setups"]
        for mics in spec["mics"]
    ]
    grid = tables.layout(tables.assemble("table2", spec, METHODS, found), spec, METHODS)
    assert grid.properties == []
    assert len(grid.columns) == 12
    assert grid.columns[0] == ("setup 1a", "M = 5", "MAE (cm)")
    assert grid.sections[0][0].cells[-2].text == "90.0 ± 0.5"
    tracks = [f"{kind}{number}" for kind in ("music", "speech") for number in range(1, 5)]
    spec = SPEC | {"layout": "splits", "tracks": tracks, "metrics": ["mae"]}
    grid = tables.layout(tables.assemble("table7", spec, METHODS, []), spec, METHODS)
    heads = [("split 1", "music1"), ("split 1", "speech1"), ("split 2", "music2")]
    assert grid.columns[:3] == heads
    assert len(grid.columns) == 8
    assert "MAE (cm)" in grid.constants
    with pytest.raises(InputError, match="layout 'round' is unknown"):
        tables.layout(tables.assemble("t", SPEC, METHODS, []), SPEC | {"layout": "round"}, METHODS)
