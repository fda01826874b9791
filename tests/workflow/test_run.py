"""The script that starts Snakemake."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import pytest


def test_dates_in_the_future_become_now_in_the_same_order(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was ahead: inputs stay older than what was made of them, equals stay equal."""
    spec = importlib.util.spec_from_file_location("run", root / "workflow" / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    monkeypatch.chdir(tmp_path)
    now = time.time()
    ages = {"past": -100, "input": 3600, "same": 3600, "output": 3601, "table": 9e6}
    (tmp_path / "results" / "deep").mkdir(parents=True)
    for name, age in ages.items():
        path = tmp_path / "results" / "deep" / name
        path.touch()
        os.utime(path, (now + age, now + age))
    run.settle_dates()
    dates = {name: (tmp_path / "results" / "deep" / name).stat().st_mtime for name in ages}
    assert dates["past"] == pytest.approx(now - 100)
    assert dates["past"] < dates["input"] == dates["same"] < dates["output"] < dates["table"]
    assert now - 1 < dates["input"]
    assert dates["table"] <= time.time()
