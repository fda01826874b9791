"""Coordinates over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavloc.reporting import style
from wavloc.reporting.figures.trajectory import trajectory

LOOKS = {"GNN": style.method_style(0), "all failed": style.method_style(1)}


def test_trajectory_with_failures_and_gaps_has_equal_bytes(tmp_path: Path) -> None:
    time_s = np.concatenate([np.arange(20), np.arange(30, 50)]) * 0.128
    truth = np.stack([np.sin(time_s), np.cos(time_s), np.ones(40)], axis=1)
    failing = truth + 0.1
    failing[3:9] = np.nan
    lost = np.full((40, 3), np.nan)
    estimates = {"GNN": failing, "all failed": lost}
    for width in (0, 5):
        for name in ("one", "two"):
            figure = trajectory("music3", time_s, truth, estimates, LOOKS, width)
            style.save(figure, tmp_path / name)
        for suffix in ("png", "pdf"):
            one, two = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
            assert one == two
    style.save(trajectory("one", time_s[:1], truth[:1] * np.nan, {}, LOOKS), tmp_path / "single")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
