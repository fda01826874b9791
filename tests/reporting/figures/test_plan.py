"""Tracks from above."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavloc.geometry import LUVIRA_MICS
from wavloc.reporting import style
from wavloc.reporting.figures.plan import plan


def test_track_from_above_breaks_at_gaps(tmp_path: Path) -> None:
    time_s = np.concatenate([np.arange(10), np.arange(20, 30)]) * 0.128
    truth = np.stack([np.sin(time_s), np.cos(time_s), np.ones(20)], axis=1)
    position = truth.copy()
    position[4] = 2.0  # one outlier: the median removes it
    estimates = {"GNN": position, "Lost": truth * np.nan}
    looks = {"GNN": style.method_style(1), "Lost": style.method_style(2)}
    for width, outliers in ((0, 1), (5, 0)):
        figure = plan("t", time_s, truth, estimates, looks, LUVIRA_MICS, width)
        panel, lost = figure.axes
        path = [line for line in panel.lines if line.get_color() == style.TRUTH]
        assert [len(line.get_xdata()) for line in path] == [10, 10]
        assert lost.get_title() == "Lost\nno frame located"
        dots = [line.get_xdata() for line in panel.lines if line.get_linestyle() == "None"]
        assert (np.concatenate(dots[1:]) == 2.0).sum() == outliers
    style.save(plan("t", time_s, truth, {}, {}, LUVIRA_MICS), tmp_path / "bare")
    assert (tmp_path / "bare.pdf").stat().st_size > 3000
