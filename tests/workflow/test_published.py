"""A full-size run in small: a killed training goes on, and what the run shows is kept."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors import safe_open

from helpers.workflow import environment, fresh, kill_when, snakemake

EPOCHS = 9000  # longer than it takes until a state is saved
SMALL = {
    "profile": "small",
    "pathvars": {
        "results": "results/small",
        "logs": "results/small/logs",
        "benchmarks": "results/small/benchmarks",
    },
    "outputs": ["table_conditions"],
    "tables": {"table_conditions": {"methods": ["gnn"], "setups": ["1b"]}},
    "datasets": {"six_faces": {"options": {"test": 8}}},
    "methods": {"gnn": {"options": {"epochs": EPOCHS}}},
}
RUN = ["--cores", "2", "--configfile", "config/smoke.yaml", "small.yaml", "--"]


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose training was killed, and was let go on with by the same command."""
    folder = fresh(root, tmp_path_factory.mktemp("small") / "wavloc")
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    models = folder / "results/small/models/six_faces/speakers"
    kill_when(folder, lambda: any(models.glob(".gnn.partial/*/state.safetensors")), *RUN, "all")
    assert not (models / "gnn").exists()
    (saved,) = models.glob(".gnn.partial/*/state.safetensors")
    with safe_open(saved, "pt") as stored:
        note = json.loads(stored.metadata()["note"])
    (folder / "saved.json").write_text(json.dumps(note["history"]))
    done = snakemake(folder, *RUN, "all", runner=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_a_killed_training_goes_on(finished: Path) -> None:
    model = finished / "results/small/models/six_faces/speakers/gnn"
    history = pd.read_csv(model / "history.csv")
    assert history["epoch"].tolist() == list(range(1, EPOCHS + 1))
    saved = pd.DataFrame(json.loads((finished / "saved.json").read_text()))
    assert 0 < len(saved) < EPOCHS
    # Not trained again: these epochs were as fast as they were before.
    speed = history["frames_per_s"][: len(saved)]
    assert speed.tolist() == pytest.approx(saved["frames_per_s"].tolist(), rel=1e-4)
    assert not list(model.parent.glob(".gnn.partial"))


@pytest.mark.slow
def test_what_a_finished_run_shows_is_kept(finished: Path) -> None:
    plan, out = "results/small/plan.json", finished / "results/published/small"
    command = ["wavloc", "publish", "--config", plan, "--out", str(out)]

    def publish() -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=finished, env=environment(), capture_output=True, text=True
        )

    done = publish()
    assert done.returncode == 0, done.stderr
    shown = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert shown >= {"report.html", "provenance.json", "tables/table_conditions.md"}
    assert not {path for path in shown if path.startswith(("data", "models", "logs"))}
    made = finished / "results/small/tables/table_conditions.csv"
    assert (out / "tables/table_conditions.csv").read_bytes() == made.read_bytes()
    note = json.loads((out / "provenance.json").read_text())
    assert (note["profile"], note["seed"]) == ("small", 0)
    assert note["config"]
    assert note["packages"]["numpy"]
    (model,) = note["models"].values()
    assert model["epochs"] == EPOCHS
    assert model["provenance"]["device"]
    first = (out / "provenance.json").read_bytes()
    assert publish().returncode == 0  # again over its own folder
    assert (out / "provenance.json").read_bytes() == first
    report = finished / "results/small/report.html"
    kept = report.read_bytes()
    report.unlink()
    try:
        missing = publish()
    finally:
        report.write_bytes(kept)
    assert missing.returncode == 2
    assert "report.html: missing; finish the run first" in missing.stderr
    (out / "notes.txt").write_text("mine")
    foreign = publish()
    assert foreign.returncode == 2
    assert "notes.txt" in foreign.stderr
    assert (out / "notes.txt").read_text() == "mine"
