"""The benchmark for a lent GPU, with small networks on a CPU."""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing.dummy
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from wavloc import frames
from wavloc.methods import predictions

SMALL = {
    "ngcc_phat": {"channels": 4, "taps": 63},
    "wav2pos": {
        **{"embed_dim": 16, "encoder_depth": 1, "decoder_depth": 1, "pair_hidden": 16},
        **{"head_hidden": [16, 16], "coordinate_hidden": 8, "batch": 8},
    },
}
ROW = {"part": "features", "mode": "float32", "deviation": 0.0, "passed": True}


@pytest.fixture
def quarter(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark; its processes are threads."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    module = importlib.import_module("gpu_quarter_hour")
    threads = {"get_context": lambda kind: multiprocessing.dummy}
    threads["TimeoutError"] = multiprocessing.TimeoutError
    monkeypatch.setattr(module, "multiprocessing", SimpleNamespace(**threads))
    return module


def test_predictions_of_each_minute_and_a_run_that_goes_on(
    quarter: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three passes, no time for more than one in each run."""
    monkeypatch.setattr(quarter, "checked", lambda *_: [ROW])
    monkeypatch.setattr(quarter, "DATA", np.inf)

    def run(*more: str) -> int:
        words = ["--minutes", "0.001", "--device", "cpu", "--sound", "synthetic", "--cores", "1"]
        words += ["--options", json.dumps(SMALL), "--out", str(tmp_path), *more]
        monkeypatch.setattr("sys.argv", ["gpu_quarter_hour.py", *words])
        return quarter.main()

    work, histories = tmp_path / "work", []
    work.mkdir()
    (work / "wav2pos.json").write_text("3")
    for passes in (1, 2, 3):
        assert run() == 0
        told = json.loads((tmp_path / "quarter_hour.json").read_text())
        histories.append(told["history"])
        assert len(told["history"]) == len(told["minutes"]) == passes
        assert told["finished"] == (passes == 3)
        last = told["minutes"][-1]
        assert last["valid_mae_m"] == min(row["mae_m"] for row in told["history"])
        for track in ("music3", "speech3"):
            found = predictions.load(tmp_path / f"{track}.parquet")
            tested = frames.load(work / "data/luvira_twin" / track)
            assert np.array_equal(found.frame, tested.table["frame"])
            assert np.isfinite(found.position).all()
            assert found.meta["setup"] == "1a"
    assert histories[2][:2] == histories[1]
    assert histories[1][:1] == histories[0]
    assert told["checks"] == [ROW]
    kept = [file.name for file in work.glob("store/*/*.bin") if file.stem not in ("sound", "known")]
    assert len(kept) == 2  # features of frames to be trained on and held out
    assert 0 < told["train_frames"] < told["train_frames"] + told["valid_frames"] <= 32
    learned = json.loads((work / "parts.json").read_text())
    assert {"music1", "speech4", "music1_sim-0", "speech4_sim-0"} <= set(learned)
    assert not [name for name in learned if "3" in name]
    with pytest.raises(SystemExit, match="begun with other options"):
        run("--frames", "40")


def test_checks_that_fail_or_take_too_long_do_not_stop_the_training(
    quarter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(run, seconds: float) -> list[dict]:
        monkeypatch.setattr(quarter.check_gpu, "run", run)
        given = argparse.Namespace(compile="auto")
        return quarter.checked(given, torch.device("cpu"), seconds)

    assert rows(lambda *_: [ROW | {"of_peak": float("nan")}], 60) == [ROW]
    (late,) = rows(lambda *_: time.sleep(0.5), 0.01)
    assert "not done" in late["mode"]
    assert "passed" not in late
    (broken,) = rows(lambda *_: 1 / 0, 60)
    assert "ZeroDivisionError" in broken["mode"]
    assert broken["passed"] is False
