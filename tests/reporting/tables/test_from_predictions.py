"""Tables straight from predictions, their cells anew in plain NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.predictions import off_by
from wavloc import cli
from wavloc.frames import Frames
from wavloc.reporting import tables

CONDITIONS = ["t60_nominal_s", "snr_db"]


def test_cells_of_three_tables_straight_from_predictions(swept: Frames, tmp_path: Path) -> None:
    """Evaluate and tabulate on the command line; the same cells anew in plain NumPy."""
    rng = np.random.default_rng(7)
    swept.save(tmp_path / "frames")
    error = {"multilat": rng.gamma(1.5, 0.3, 16), "gnn": rng.gamma(1.5, 0.2, 16)}
    error["multilat"][[2, 11]] = np.nan
    error["gnn"][5] = 40.0
    for name, values in error.items():
        off_by(swept, values, method=name).save(tmp_path / f"{name}.parquet")
    frames, found = str(tmp_path / "frames"), [str(tmp_path / f"{name}.parquet") for name in error]
    at = ["--dataset", "faces", "--track", "test", "--mics", "11"]
    spec = {"title": "T", "caption": "c", "dataset": "faces", "setups": ["1a"], "mics": [11]}
    spec |= {"methods": list(error), "tracks": ["test"], "metrics": ["mae"]}
    board = {"title": "T", "caption": "c", "layout": "ranks", "tables": ["first"]}
    given = {
        "datasets": {"faces": {"module": "six_faces"}},
        "outputs": ["first", "conditions", "board"],
        "tables": {
            "first": spec | {"layout": "tracks"},
            "conditions": spec | {"layout": "conditions", "by": CONDITIONS},
            "board": board | {"methods": list(error), "metrics": ["mean_rank"]},
        },
    }
    (tmp_path / "config.yaml").write_text(json.dumps(given))

    def table(name: str, made: list[str]) -> pd.DataFrame:
        metrics = str(tmp_path / f"{name}-metrics.csv")
        assert cli.main([*made, "--out", metrics]) == 0
        command = ["tables", "--config", str(tmp_path / "config.yaml"), "--table", name]
        assert cli.main([*command, "--metrics", metrics, "--out", str(tmp_path / name)]) == 0
        shown = tables.read(tmp_path / f"{name}.csv").set_index(["track", "method", "metric"])
        return shown["value"]

    evaluated = ["evaluate", "--frames", frames, "--predictions", *found, *at]
    first = table("first", evaluated)
    second = table("conditions", [*evaluated, "--kind", "conditions", "--by", *CONDITIONS])
    ranked = ["rank", "--frames", f"faces/test={frames}", "--predictions"]
    ranked += [f"faces/test/{name}={path}" for name, path in zip(error, found, strict=True)]
    third = table("board", ranked)

    truth = np.load(tmp_path / "frames" / "source_position.npy")
    capped = {}
    for name, path in zip(error, found, strict=True):
        position = pd.read_parquet(path)[["x", "y", "z"]].to_numpy()
        distance = np.sqrt(((position - truth) ** 2).sum(axis=1))
        capped[name] = np.where(np.isnan(distance) | (distance > 3), 3, distance)
    one, other = capped["multilat"], capped["gnn"]
    best = min(capped.values(), key=np.mean)
    hits = (other < 0.3).mean()
    close = {"abs": 1e-3}
    assert first["test", "multilat", "mae"] == pytest.approx(100 * one.mean(), **close)
    assert first["test", "multilat", "median"] == pytest.approx(100 * np.median(one), **close)
    assert first["test", "gnn", "rmse"] == pytest.approx(100 * np.sqrt((other**2).mean()), **close)
    assert first["test", "gnn", "acc30"] == pytest.approx(100 * hits, **close)
    assert first["test", "multilat", "failure_rate"] == pytest.approx(100 * 2 / 16, **close)
    difference = 100 * (one - best).mean()
    assert first["test", "multilat", "difference_to_best"] == pytest.approx(difference, **close)
    cell = (np.arange(16) // 8 == 1) & (np.arange(16) // 4 % 2 == 0)
    value = second["T60 0.2 s, SNR 0 dB", "gnn", "mae"]
    assert value == pytest.approx(100 * other[cell].mean(), **close)
    rank = 1.0 if one.mean() < other.mean() else 2.0
    assert third["all", "multilat", "mean_rank"] == rank
    assert third["faces", "gnn", "mean_rank"] == 3 - rank
