"""The picture of located positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from wavloc.geometry import LUVIRA_MICS
from wavloc.reporting.figures.located import located


def test_positions_over_time_and_from_above(tmp_path: Path) -> None:
    track = np.random.default_rng(0).random((30, 3))
    table = pd.DataFrame({"time_s": np.arange(30), **dict(zip("xyz", track.T, strict=True))})
    names = [f"m{number}" for number in range(11)]
    located(table, names, LUVIRA_MICS, tmp_path / "own.png")
    assert (tmp_path / "own.png").stat().st_size > 5000
