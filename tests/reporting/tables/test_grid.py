"""Layouts of tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.tables import METHODS, ROWS, SPEC, cell, measured
from wavloc.errors import InputError
from wavloc.reporting import tables
from wavloc.reporting.tables.markdown import to_markdown
from wavloc.simulation import faults


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


def test_table_of_faults_has_a_row_for_each_level(tmp_path: Path) -> None:
    tracks = [faults.named("s3", "moved", level) for level in (0, 0.1, 0.5)]
    files = [measured(tmp_path, track, 11, 10 * k + 5) for k, track in enumerate(tracks)]
    spec = {"dataset": "d", "layout": "faults", "tracks": tracks, "setups": ["1a"], "mics": [11],
            "metrics": ["mae"], "title": "T", "caption": "C"}  # fmt: skip
    frame = tables.assemble("t", spec, ROWS, files)
    assert len(frame) == 3 * 2 * 6
    lines = to_markdown(tables.layout(frame, spec, ROWS), "T", "C").splitlines()
    body = [line for line in lines if line.startswith("| s3")]
    assert [line.split(" | ")[0] for line in body] == [f"| {track}" for track in tracks]
    assert "15.0 ± 1.0" in body[1]
