"""What a split holds, counted."""

from __future__ import annotations

import numpy as np

from helpers.frames import anechoic_frames
from helpers.predictions import CELL
from wavloc.evaluation.counts import counts
from wavloc.frames import Frames


def test_counts_of_a_split(swept: Frames) -> None:
    table = counts({"test": swept, "all": anechoic_frames(3)}, CELL)
    table = table.set_index(["track", "metric"])
    assert table.loc["test", "value"].to_dict() == {"speakers": 3, "utterances": 5, "frames": 16}
    assert np.isnan(table.loc[("all", "speakers"), "value"])
    assert "do not name their speakers" in table.loc[("all", "speakers"), "note"]
