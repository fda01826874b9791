"""Figures by kind: their inputs, and one look of a method in all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from helpers.frames import anechoic_frames
from helpers.predictions import off_by
from wavloc.errors import InputError
from wavloc.reporting import figures, style


def test_every_kind_has_a_file() -> None:
    folder = Path(figures.__file__).parent
    kinds = {path.stem for path in folder.glob("*.py")} - {
        "__init__",
        "checked",
        "located",  # of recordings
        "frame",  # of the page of single frames
    }
    assert set(figures.KINDS) == kinds


def test_what_a_figure_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="figure kind 'pie', expected one of confidence, degradation, "
    ):
        figures.draw({"kind": "pie"}, {}, {}, {}, tmp_path / "x")
    for kind in ("sweep", "degradation"):
        with pytest.raises(InputError, match=f"'{kind}' needs metrics"):
            figures.draw({"kind": kind}, {}, {}, {}, tmp_path / "x")
    with pytest.raises(InputError, match="'layout' needs frames of 'test'"):
        figures.draw({"kind": "layout", "tracks": ["test"]}, {}, {}, {}, tmp_path / "x")
    anechoic_frames(2).save(tmp_path / "t")
    spec, rows = {"kind": "map", "tracks": ["t"]}, {"gnn": {"label": "GNN", "place": 0}}
    with pytest.raises(InputError, match="'map' needs predictions of 't/gnn'"):
        figures.draw(spec, {"t": tmp_path / "t"}, {}, rows, tmp_path / "x")


def test_a_method_looks_the_same_in_every_figure(tmp_path: Path, drawn: list[Figure]) -> None:
    """Its place in the whole configuration decides, not its place among those shown."""
    look = style.method_style(5)
    entries = {
        name: {"label": name, "place": place}
        for name, place in (("multilat", 0), ("wav2pos", 5), ("srp", 9))
    }
    row = {"method": "wav2pos", "metric": "mae", "value": 9, "ci_low": 8, "ci_high": 10}
    pd.DataFrame([row | {"failure_rate": 0, "snr_db": 0}]).to_csv(tmp_path / "m.csv", index=False)
    frames = anechoic_frames(4)
    frames.save(tmp_path / "t4")
    off_by(frames, np.full(4, 0.1)).save(tmp_path / "p.parquet")
    data, predicted = {"t4": tmp_path / "t4"}, {"t4/wav2pos": tmp_path / "p.parquet"}
    for rows in (entries, {"wav2pos": entries["wav2pos"]}):
        for kind in ("sweep", "trajectory", "distribution"):
            spec = {"kind": kind, "x": "snr_db", "metric": "mae", "tracks": ["t4"]}
            figures.draw(spec, data, predicted, rows, tmp_path / "f", [tmp_path / "m.csv"])
    assert len(drawn) == 6
    for figure in drawn:
        entry = next(
            handle for handle in figure.legends[0].legend_handles if handle.get_label() == "wav2pos"
        )
        assert entry.get_color() == look["color"]
        assert entry.get_marker() == look["marker"]
