"""The leaderboard: ranks of known errors, and what chance decides."""

from __future__ import annotations

import numpy as np

from wavloc.evaluation.ranking import leaderboard


def test_ranks_of_known_errors() -> None:
    errors = {
        ("one", "a"): {"x": np.full(20, 0.1), "y": np.full(20, 0.2), "z": np.full(20, np.nan)},
        ("one", "b"): {"x": np.full(20, 0.3), "y": np.full(20, 0.3), "z": np.full(20, 0.1)},
        ("two", "t"): {"x": np.full(9, 0.2), "y": np.full(9, 0.1)},  # z was not run
    }
    table = leaderboard(errors, resamples=1000).set_index(["track", "method"])
    assert table.loc["one", "value"].to_dict() == {"x": 1.75, "y": 2.25, "z": 2.0}
    assert table.loc["two", "value"].to_dict() == {"x": 2.0, "y": 1.0, "z": 3.0}
    assert table.loc["all", "value"].to_dict() == {"x": 1.875, "y": 1.625, "z": 2.5}
    assert (table["ci_low"] == table["ci_high"]).all()  # nothing varies
    assert table.loc[("all", "x"), "n_frames"] == 49


def test_a_rank_that_chance_decides_has_a_wide_interval() -> None:
    rng = np.random.default_rng(0)
    alike = {name: rng.exponential(0.2, 60) for name in "ab"}
    worse = {"c": rng.exponential(1.5, 60)}
    table = leaderboard({("d", "t"): alike | worse}, resamples=1000)
    table = table[table["track"] == "all"].set_index("method")
    assert table.loc["c", ["ci_low", "ci_high"]].tolist() == [3, 3]
    assert table.loc["a", "ci_low"] == 1
    assert table.loc["a", "ci_high"] == 2
