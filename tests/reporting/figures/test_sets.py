"""Sets of measured delays, from above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.frames import anechoic_frames
from wavloc.errors import InputError
from wavloc.reporting import figures, style
from wavloc.reporting.figures.sets import sets


def test_each_set_has_its_true_path_and_its_positions() -> None:
    frames = anechoic_frames(12)
    frames.table["set"] = np.repeat([1, 3], 6)
    frames.source_position[6:] = np.nan
    estimates = {"A": frames.source_position + 0.1, "B": np.full((12, 3), np.nan)}
    looks = {"A": style.method_style(4), "B": style.method_style(6)}
    first, second = sets(frames, estimates, looks).axes
    assert (first.get_title(), second.get_title()) == (
        "set 1: truth for 6 of 6",
        "set 3: truth for 0 of 6",
    )
    lines = {line.get_color(): line.get_xydata() for line in first.lines}
    assert style.TRUTH not in style.COLOURS
    assert np.allclose(lines[style.TRUTH], frames.source_position[:6, :2])
    assert np.allclose(lines[looks["A"]["color"]], frames.source_position[:6, :2] + 0.1)
    assert len(first.lines) == len(second.lines) == 4


def test_frames_without_sets_are_refused(tmp_path: Path) -> None:
    anechoic_frames(3).save(tmp_path / "f")
    spec = {"kind": "sets", "tracks": ["t"]}
    with pytest.raises(InputError, match="no column 'set'"):
        figures.draw(spec, {"t": tmp_path / "f"}, {}, {}, tmp_path / "out")
