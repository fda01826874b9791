"""Curves over levels of a fault and over numbers of microphones."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from helpers.tables import ROWS, measured
from wavloc.errors import InputError
from wavloc.reporting import figures
from wavloc.simulation import faults

CURVE = {"kind": "degradation", "x": "level", "axis": "moved by (m)", "metric": "mae"}


def test_curves_over_levels_and_over_microphones(tmp_path: Path, drawn: list[Figure]) -> None:
    levels = {0.5: 40.0, 0: 10.0, 0.1: 20.0}  # any order
    files = [measured(tmp_path, faults.named("s3", "moved", k), 11, v) for k, v in levels.items()]
    figures.draw(CURVE, {}, {}, ROWS, tmp_path / "f", files)
    axes = drawn[0].axes[0]
    line = axes.lines[0]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0, 0.1, 0.5], [10, 20, 40])
    assert axes.get_xlabel() == "moved by (m)"
    assert len(axes.collections) == 2  # a band each
    assert (tmp_path / "f.png").stat().st_size > 3000
    assert (tmp_path / "f.pdf").is_file()
    few = [measured(tmp_path, "s3", mics, mics) for mics in (5, 11, 7)]
    figures.draw(CURVE | {"x": "mics"}, {}, {}, ROWS, tmp_path / "g", few)
    axes = drawn[1].axes[0]
    assert list(axes.lines[0].get_xdata()) == [5, 7, 11]
    assert axes.xaxis_inverted()
    with pytest.raises(InputError, match="needs metrics"):
        figures.draw(CURVE, {}, {}, ROWS, tmp_path / "h")
