"""Kept predictions: tables without training, while they are of this code and these data."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers.workflow import fresh, snakemake
from wavloc import cli, config, frames, jobs
from wavloc.methods import predictions
from wavloc.plan import Cell, Plan
from wavloc.tracked import Tracked

SMALL = {
    "profile": "kept",
    "tracked": "results/published/kept",
    "pathvars": {
        "results": "results/kept",
        "logs": "results/kept/logs",
        "benchmarks": "results/kept/benchmarks",
    },
    "outputs": ["table_simulated", "fig3e"],
    "tables": {"table_simulated": {"methods": ["center", "wav2pos", "gnn"]}},
    "datasets": {"six_faces": {"options": {"test": 8}}},
    "methods": {"wav2pos": {"pretrained": None, "options": {"features": "gcc"}}},
}
RUN = ["--cores", "2", "--configfile", "config/smoke.yaml", "small.yaml", "--"]


@pytest.fixture(scope="module")
def kept(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A run whose predictions were kept and whose results are gone; its table."""
    folder = fresh(root, tmp_path_factory.mktemp("kept") / "wavloc")
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    done = snakemake(folder, *RUN, "tables", "figures")
    assert done.returncode == 0, done.stderr[-3000:]
    results = folder / "results/kept"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["track", "--config", "results/kept/plan.json"]) == 0
    table = (results / "tables/table_simulated.csv").read_bytes()
    shutil.rmtree(results)
    return folder, table


@pytest.mark.slow
def test_tables_are_rendered_from_kept_predictions_without_training(
    kept: tuple[Path, bytes],
) -> None:
    folder, table = kept
    planned = snakemake(folder, "-n", *RUN, "tables", "figures")
    assert planned.returncode == 0, planned.stderr[-3000:]
    assert "recall_model" in planned.stdout
    assert "\ntrain " not in planned.stdout
    done = snakemake(folder, *RUN, "tables", "figures")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "results/kept/tables/table_simulated.csv").read_bytes() == table
    assert not list((folder / "results/kept").rglob("weights.safetensors"))
    size = sum(f.stat().st_size for f in (folder / SMALL["tracked"]).rglob("*") if f.is_file())
    assert size < 1e6


def with_another_gnn(folder: Path) -> None:
    """Write ``changed.yaml``, whose GNN is not the kept one; no results are left."""
    changed = json.loads(json.dumps(SMALL))
    changed["methods"]["gnn"] = {"options": {"hidden_dim": 24}}
    (folder / "changed.yaml").write_text(yaml.safe_dump(changed))
    shutil.rmtree(folder / "results/kept", ignore_errors=True)


def elsewhere(path: Path) -> None:
    """One of the kept predictions becomes that of another place in its utterance."""
    found = predictions.load(path)
    found.time_s = np.asarray(found.time_s) + np.eye(len(found))[0]
    found.save(path)


@pytest.mark.slow
def test_other_options_make_their_own_predictions(kept: tuple[Path, bytes]) -> None:
    """Those of the other method stay, and a message says what is made again."""
    folder, _ = kept
    with_another_gnn(folder)
    metrics = "results/kept/metrics/six_faces/test/1a-6"  # Table V would measure all models anew
    planned = snakemake(
        folder, "--cores", "1", "-n", "--configfile", "config/smoke.yaml", "changed.yaml", "--",
        f"{metrics}/table_simulated.csv", f"{metrics}/fig3e-denoising.csv",
    )  # fmt: skip
    assert planned.returncode == 0, planned.stderr[-3000:]
    assert "are of other code, options or data" in planned.stderr
    counts = [line.split() for line in planned.stdout.splitlines()]
    counts = {parts[0]: parts[1] for parts in counts if len(parts) == 2 and parts[1].isdigit()}
    assert counts["train"] == "1"  # gnn
    assert counts["recall_prediction"] == "1"  # wav2pos, its signals too
    assert counts["recall_denoising"] == "1"


@pytest.mark.slow
def test_with_kept_models_nothing_is_trained(kept: tuple[Path, bytes]) -> None:
    """A method whose predictions are not kept has empty cells; the others stand as before."""
    folder, table = kept
    with_another_gnn(folder)
    told = ["--cores", "2", "--configfile", "config/smoke.yaml", "changed.yaml"]
    done = snakemake(folder, *told, "--config", "models=kept", "--", "tables", "figures")
    assert done.returncode == 0, done.stderr[-3000:]
    results = folder / "results/kept"
    assert not list(results.rglob("weights.safetensors"))
    path = results / "tables/table_simulated"
    now, before = values(path.with_suffix(".csv")), values(io.BytesIO(table))
    assert now.drop("gnn", level=0).equals(before.drop("gnn", level=0))
    assert before["gnn"].notna().all()
    assert now["gnn"].isna().all()
    assert "not computed: its network is not trained yet" in path.with_suffix(".md").read_text()
    assert (results / "figures/fig3e.png").is_file()


@pytest.mark.slow
def test_kept_predictions_of_other_frames_are_empty_cells(
    kept: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other methods stand as before, but for their distance to the best."""
    folder, table = kept
    lost = folder / SMALL["tracked"] / "predictions/six_faces/test/1a-6/wav2pos.parquet"
    elsewhere(lost)
    done = snakemake(folder, *RUN[:-1], "--config", "models=kept", "--", "tables")
    assert done.returncode == 0, done.stderr[-3000:]
    path = folder / "results/kept/tables/table_simulated"
    now, before = values(path.with_suffix(".csv")), values(io.BytesIO(table))
    own = [name for name in before["center"].index if name != "difference_to_best"]
    for method in ("center", "gnn"):
        assert now[method][own].equals(before[method][own])
    assert now["wav2pos"].isna().all()
    text = path.with_suffix(".md").read_text()
    assert "not computed: what is kept is of other frames" in text
    assert "N/A" not in text
    as_kept = lost.read_bytes()
    monkeypatch.chdir(folder)
    assert cli.main(["track", "--config", "results/kept/plan.json"]) == 0
    assert lost.read_bytes() == as_kept  # an empty cell replaces nothing


def values(table: Path | io.BytesIO) -> pd.Series:
    """Values of a csv table by method and metric."""
    return pd.read_csv(table).set_index(["method", "metric"])["value"]


# ------------------------------------------------------------------ what decides a prediction


def plan_of(folder: Path, **changes) -> Plan:
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump({"networks": "reduced"} | changes))
    return Plan(config.load(path))


CELL = Cell("luvira_twin", "speech3", "1a", 11)


def test_a_digest_changes_with_what_decides_a_prediction_and_nothing_else(tmp_path: Path) -> None:
    def digest(method: str = "wav2pos", **changes) -> str:
        return Tracked(plan_of(tmp_path, **changes)).of_prediction(CELL, method)

    def options(name: str, **values) -> dict:
        return {name: {"options": values}}

    plain = digest()
    assert digest() == plain
    assert digest(cache="elsewhere", evaluation={"resamples": 3000}) == plain
    assert digest(methods=options("gnn", epochs=3)) == plain
    assert digest(datasets=options("six_faces", train=7)) == plain
    for changes in (
        {"seed": 1},
        {"methods": options("wav2pos", epochs=3)},
        {"methods": options("ngcc_phat", epochs=3)},  # its features
        {"datasets": options("luvira_twin", sim_share=2.0)},
        {"sound": {"speech": {"voices": 5}}},
    ):
        assert digest(**changes) != plain
    assert digest("gnn", methods=options("ngcc_phat", epochs=3)) == digest("gnn")


def test_what_is_left_out_is_in_no_list_of_a_plan(tmp_path: Path) -> None:
    """GNN is left out of one track: it has no rank, and no model where it answers nowhere."""
    whole = plan_of(tmp_path, outputs=["table7", "table_simulated", "leaderboard"], models="kept")
    gone = [f"{cell.path}/gnn" for cell in whole.cells if cell.track in ("music1", "speech1")]
    part = Plan(whole.config | {"left_out": gone})
    assert len(gone) == 2
    assert "luvira_twin/music2/gnn" in whole.ranked("leaderboard")
    assert {name.split("/")[-1] for name in whole.ranked("leaderboard")} - {
        name.split("/")[-1] for name in part.ranked("leaderboard")
    } == {"gnn"}
    assert set(whole.models) - set(part.models) == {"results/models/luvira_twin/1/gnn"}
    assert "GNN" in jobs.networks(part, "table7")
    assert "wav2pos: 6 passes of 7 frames" in jobs.networks(part, "table7", {"wav2pos": {7}})
    several = jobs.networks(part, "leaderboard", {"wav2pos": {7}})  # of which 7 are those of one
    assert "wav2pos: 6 passes)" in several
    everywhere = Plan(whole.config | {"left_out": [f"{cell.path}/gnn" for cell in whole.cells]})
    assert "GNN" not in jobs.networks(everywhere, "table7")
    assert all(track != "train" for _, track in part.tracks)  # nothing is trained
    nothing_kept = Tracked(plan_of(tmp_path, models="kept"), tmp_path / "kept").missing()
    assert "luvira_twin/speech3/1a-11/wav2pos_seed1" in nothing_kept  # of `table_seeds`, in no run


def test_kept_predictions_are_small_and_keep_the_table(tmp_path: Path, monkeypatch) -> None:
    """No signals, and positions of microphones only where they were unknown."""
    monkeypatch.chdir(tmp_path)
    plan = plan_of(tmp_path, outputs=["table3", "table1"], pathvars={"results": "results/r"})
    for cell in plan.cells:
        methods = {"1a": "wav2pos", "2a": "wav2pos_m", "2b": "wav2pos_m"}
        found = predictions.Predictions(
            position=np.zeros((4, 3)),
            status=np.full(4, "ok", object),
            mic_positions=np.ones((4, 11, 3)),
            audio=np.ones((4, 12, 2048), np.float32),
        )
        path = Path(plan.prediction(cell, methods[cell.setup]))
        path.parent.mkdir(parents=True, exist_ok=True)
        found.save(path)
    from wavloc import tracked

    count, size = tracked.keep(Tracked(plan, "kept"))
    assert count == len(plan.cells)
    assert size < 100_000
    again = Tracked(plan, "kept")
    for cell in plan.cells:
        method = {"1a": "wav2pos"}.get(cell.setup, "wav2pos_m")
        (path,) = again.prediction(cell, method)
        loaded = predictions.load(path)
        assert loaded.audio is None
        assert (loaded.mic_positions is None) == (cell.setup == "1a")
    (other,) = [c for c in plan.cells if c.track == "music3"]
    weights = Path(plan.folder(plan.model_of(other, "wav2pos"))) / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()  # trained here: nothing of it is replaced
    assert again.prediction(other, "wav2pos") == []
    assert again.kept(other, "wav2pos")
    weights.unlink()
    changed = Tracked(plan_of(tmp_path, seed=2, outputs=["table1"]), "kept")
    assert changed.prediction(other, "wav2pos") == []
    assert len(changed.stale()) == 2


def test_recall_refuses_predictions_of_other_frames(stored: Path, tmp_path: Path, capsys) -> None:
    pd.DataFrame({"frame": range(3), "x": 0.0, "y": 0.0, "z": 0.0}).to_csv(tmp_path / "p.csv")
    predictions.load(tmp_path / "p.csv").save(tmp_path / "p.parquet")
    command = ["recall", str(tmp_path / "p.parquet"), "--out", str(tmp_path / "q.parquet")]
    assert cli.main(command) == 2
    assert "--frames: missing" in capsys.readouterr().err
    assert cli.main([*command, "--frames", str(stored)]) == 2
    assert "3 rows, expected one per frame" in capsys.readouterr().err
    assert not (tmp_path / "q.parquet").exists()


def test_cells_of_other_frames_are_empty_and_have_no_rank(stored: Path, tmp_path: Path) -> None:
    data = frames.load(stored)
    places = pd.DataFrame({"frame": range(24), "x": 1.0, "y": 1.0, "z": 1.0})
    places.assign(time_s=data.table["time_s"] + 0.2).to_csv(tmp_path / "p.csv")
    predictions.load(tmp_path / "p.csv").save(tmp_path / "p.parquet")
    q, z = tmp_path / "q.parquet", tmp_path / "z.parquet"
    command = ["recall", str(tmp_path / "p.parquet"), "--frames", str(stored), "--out", str(q)]
    assert cli.main(command) == 2
    assert not q.exists()
    assert cli.main([*command, "--other-frames-as-na"]) == 0
    found = predictions.load(q).of(data)
    assert np.isnan(found.position).all()
    assert found.meta["refused"].startswith("not computed: ")

    places.assign(time_s=data.table["time_s"]).to_csv(tmp_path / "z.csv")
    predictions.load(tmp_path / "z.csv").save(z)
    ranked = ["rank", "--resamples", "1000", "--frames", f"d/t={stored}", "--out"]
    shown = ["--predictions", f"d/t/lost={q}", f"d/t/found={z}"]
    assert cli.main([*ranked, str(tmp_path / "r.csv"), *shown]) == 0
    assert set(pd.read_csv(tmp_path / "r.csv")["method"]) == {"found"}
    assert cli.main([*ranked, str(tmp_path / "none.csv"), *shown[:2]]) == 2
    assert not (tmp_path / "none.csv").exists()
