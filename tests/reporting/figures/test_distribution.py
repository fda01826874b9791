"""Cumulative error distributions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavloc.reporting import style
from wavloc.reporting.figures.distribution import cumulative, distribution

LOOKS = {"GNN": style.method_style(0), "all failed": style.method_style(1)}


def test_error_distribution(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    errors = np.where(random.random(200) < 0.2, np.nan, random.gamma(2, 0.1, 200))
    x, y = cumulative(errors)
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) > 0).all()
    assert y[-1] == pytest.approx(100 * np.isfinite(errors).mean())
    assert cumulative(np.full(5, np.nan))[1].size == 0
    by_method = {"GNN": errors, "all failed": np.full(200, np.nan)}
    panels = {"split 1": {"music1": by_method, "speech1": by_method}, "split 2": {"m": by_method}}
    figure = distribution(panels, LOOKS)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["split 1: music1", "split 2: m"]
    style.save(figure, tmp_path / "fig6")
    assert (tmp_path / "fig6.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "fig6.pdf").read_bytes().startswith(b"%PDF")
