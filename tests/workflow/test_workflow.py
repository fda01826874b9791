"""The real Snakefile: its shape, its lint, and whole runs of the smoke profile in fresh folders."""

from __future__ import annotations

import fnmatch
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers import miniature
from helpers.data_server import PASSWORD, USER, serving
from helpers.workflow import SMOKE, fresh, kill_when, snakemake, tables
from wavloc import config, files, frames
from wavloc.evaluation.properties import EXACT_M
from wavloc.plan import Plan
from wavloc.reporting.tables import metrics_of


@pytest.fixture(scope="session")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One undisturbed smoke run, the same for all workers of a test run."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "undisturbed"
    with files.lock(base / "undisturbed.lock"):
        if not folder.is_dir():
            fresh(root, folder)
        if not (folder / "results/smoke/report.html").is_file():
            done = snakemake(folder, "--cores", "2", *SMOKE, "all", runner=True)
            assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def smoke(root: Path) -> dict:
    """The resolved configuration of the smoke profile, with the tables that `all` makes."""
    loaded = config.load(root / "config" / "config.yaml", root / "config" / "smoke.yaml")
    tables = {name: spec for name, spec in loaded["tables"].items() if not spec.get("apart")}
    return loaded | {"tables": tables}


def rows_of(loaded: dict, name: str, spec: dict) -> set[str]:
    return {"data"} if spec["layout"] == "counts" else set(Plan(loaded).methods_of(name))


@pytest.mark.slow
def test_smoke_run_makes_every_table_and_figure(finished: Path, smoke: dict) -> None:
    results = finished / "results" / "smoke"
    for name, spec in smoke["tables"].items():
        methods = rows_of(smoke, name, spec)
        for kind in ("csv", "md", "tex"):
            assert (results / "tables" / f"{name}.{kind}").stat().st_size > 100
        data = "(measured delays)" if "lund12" in name else "(simulated)"
        assert data in (results / "tables" / f"{name}.md").read_text()
        table = pd.read_csv(results / "tables" / f"{name}.csv")
        tracks = {"ranks": 3, "conditions": 5 + 4 + 20, "sets": 6}.get(spec["layout"])
        tracks = 8 if name == "table_lund12_delays" else tracks
        if "faults" in spec:  # every level; 0 has nothing to detect
            levels = [smoke["faults"][fault]["levels"] for fault in spec["faults"]]
            tracks = sum(len(found) - ("auc" in spec["metrics"]) for found in levels)
        rows = tracks or len(spec["tracks"]) * len(spec["setups"]) * len(spec["mics"])
        ours = table[table["method"].isin(methods)]
        assert len(ours) == rows * len(methods) * len(metrics_of(spec))
        empty = ours[ours["value"].isna()]
        assert empty["note"].notna().all()
        assert not empty["note"].astype(str).str.startswith("not computed").any()
    assert (results / "tables" / "reproduction.csv").stat().st_size > 100
    assert "not the paper's data" in (results / "tables" / "reproduction.md").read_text()
    for name in smoke["figures"]:
        for kind in ("png", "pdf"):
            assert (results / "figures" / f"{name}.{kind}").stat().st_size > 3000
    described = {path.name.partition(".")[0] for path in results.glob("data/*.croissant.json")}
    assert described == {"luvira_twin", "six_faces", "lund12"}
    report = (results / "report.html").read_text()
    assert len(report) > 50_000
    assert "809 frames recorded, 312 of them without a label" in report
    assert "dry speech" in report  # its licence
    assert sorted((results / "logs").rglob("*.log"))
    assert sorted((results / "benchmarks").rglob("*.tsv"))


@pytest.mark.slow
def test_every_learned_row_has_a_model_and_its_size(finished: Path, smoke: dict) -> None:
    results = finished / "results" / "smoke"
    models = {path.parent.relative_to(results / "models") for path in results.rglob("method.json")}
    assert {path.parts[1] for path in models if path.parts[0] == "luvira_twin"} == {"3", "4"}
    third = {path.name for path in models if path.parts[:2] == ("luvira_twin", "3")}
    learned = {
        entry.get("model", name)
        for name, entry in smoke["methods"].items()
        if entry["learned"]
        and any(name in rows_of(smoke, table, spec) for table, spec in smoke["tables"].items())
    } - {"dinn"}  # which has one for each number of microphones
    assert third == learned | {"dinn-7", "dinn-11"}
    assert "ngcc_phat" in third
    for model in models:
        folder = results / "models" / model
        assert {"weights.safetensors", "history.csv"} <= {p.name for p in folder.iterdir()}
    header, *lines = (
        (results / "tables" / "table1.md").read_text().split("| Method")[1].splitlines()
    )
    wav2pos = next(line for line in lines if line.startswith("| wav2pos"))
    assert " k |" in wav2pos
    assert "Params" in header
    mics = pd.read_csv(results / "tables" / "table3.csv")
    assert mics.loc[mics["metric"] == "mic_mae", "value"].notna().all()


@pytest.mark.slow
def test_measured_properties_are_those_of_the_entries(finished: Path, smoke: dict) -> None:
    """On the models that the run trained; Table I shows what was measured."""
    found = sorted((finished / "results" / "smoke" / "metrics").rglob("properties.json"))
    assert len(found) == 2
    for path in found:
        for name, measured in json.loads(path.read_text()).items():
            claimed = smoke["methods"][name]
            assert measured["variable_mics"] == claimed["variable_mics"], (path, name)
            found = measured["permutation_invariant"]
            if measured["moved_by_draws_m"]["mean"] < EXACT_M:
                assert found == claimed["permutation_invariant"], (path, name, measured)
            else:  # an effect of the order may be less than that of random draws, never a claim
                assert found or not claimed["permutation_invariant"], (path, name, measured)
    rows = (finished / "results/smoke/tables/table1.md").read_text().splitlines()
    flags = {row.split("|")[1].strip(): row.split("|")[3:5] for row in rows if row.startswith("|")}
    assert [flag.strip() for flag in flags["DI-NN"]] == ["no", "no"]
    assert [flag.strip() for flag in flags["wav2pos"]] == ["yes", "yes"]


@pytest.mark.slow
def test_costs_are_measured_and_counts_are_counted(finished: Path) -> None:
    folder = finished / "results/smoke/tables"
    cost = pd.read_csv(folder / "table5.csv").set_index(["method", "metric"])
    models = finished / "results/smoke/models/luvira_twin/3"
    names = {name: name for name in ("gnn", "wav2pos", "wav2pos_maxpool")} | {"dinn": "dinn-11"}
    for method, model in names.items():
        seconds = files.read_json(models / model / "method.json")["training"]["cost"]["seconds"]
        assert seconds > 0  # in the table less than half of 0.0001 h reads 0
        hours = cost.loc[(method, "train_hours"), "value"]
        assert hours == pytest.approx(seconds / 3600, abs=5.1e-5), method
        assert "CPU" in cost.loc[(method, "train_hours"), "note"]
    assert cost["value"].xs("ms_per_frame", level="metric").gt(0).all()
    assert cost.loc[("wav2pos", "train_hours"), "paper_value"] == 64.3
    held = pd.read_csv(folder / "table6.csv").set_index(["track", "metric"])["value"]
    assert held["train", "frames"] == 8
    assert held["test", "frames"] == 20
    people = {
        track: set(pd.read_parquet(path / "frames.parquet")["speaker"])
        for track in ("train", "valid", "test")
        for path in [finished / "results/smoke/data/six_faces" / track]
    }
    assert not people["train"] & people["test"]
    assert {track: len(names) for track, names in people.items()} == {
        track: held[track, "speakers"] for track in people
    }


@pytest.mark.slow
def test_oracle_is_the_ceiling_and_center_the_floor(finished: Path) -> None:
    table = pd.read_csv(finished / "results/smoke/tables/table7.csv")
    mae = table[table["metric"] == "mae"].groupby("method")["value"].mean()
    assert mae["oracle"] == mae.min()
    assert mae["oracle"] < 0.1
    assert mae["multilat_plus"] < mae["center"]


@pytest.mark.slow
def test_second_run_does_nothing(finished: Path) -> None:
    done = snakemake(finished, "--cores", "2", *SMOKE, "all", runner=True)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stderr + done.stdout


# A table that simulates, trains and predicts in a sixteenth of the jobs of `all`.
ONE = "results/smoke/tables/table_simulated.csv"
FEW = {"tables": {"table_simulated": {"methods": ["multilat", "multilat_ngcc", "gnn"]}}}


@pytest.fixture
def few(root: Path, tmp_path: Path) -> Path:
    """A fresh folder with ``few.yaml``, whose table `ONE` has fewer rows."""
    folder = fresh(root, tmp_path / "wavloc")
    (folder / "few.yaml").write_text(yaml.safe_dump(FEW))
    return folder


def rows_of_few(folder: Path) -> pd.DataFrame:
    """The rows of `ONE` that do not depend on which other rows there are."""
    table = pd.read_csv(folder / ONE)
    own = table["method"].isin(FEW["tables"]["table_simulated"]["methods"])
    return table[own & (table["metric"] != "difference_to_best")].reset_index(drop=True)


@pytest.mark.slow
def test_run_killed_three_times_ends_in_the_same_tables(few: Path, finished: Path) -> None:
    """SIGKILL of everything while simulating, training and predicting; then the same command."""
    results = few / "results/smoke"
    run = ["--cores", "2", "--configfile", "config/smoke.yaml", "few.yaml", "--", ONE]
    for stage, pattern, enough in (
        ("data", "meta.json", 1),
        ("models", "method.json", 1),
        ("predictions", "*.parquet", 2),
    ):
        kill_when(few, lambda p=results / stage, q=pattern, n=enough: count_files(p, q) >= n, *run)
        assert not (few / ONE).exists()
    done = snakemake(few, *run, runner=True)
    assert done.returncode == 0, done.stderr[-3000:]
    pd.testing.assert_frame_equal(rows_of_few(few), rows_of_few(finished), check_exact=True)


def count_files(folder: Path, pattern: str) -> int:
    """How many files below ``folder`` match; unlike glob, os.walk copes with those that go away."""
    return sum(len(fnmatch.filter(names, pattern)) for _, _, names in os.walk(folder))


@pytest.mark.slow
def test_other_seed_changes_the_tables(few: Path, finished: Path) -> None:
    smoke = ["--configfile", "config/smoke.yaml", "few.yaml", "--config", "seed=1", "--"]
    done = snakemake(few, "--cores", "2", *smoke, ONE, runner=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tables(few)) == [Path(ONE).name]
    ours, theirs = rows_of_few(few), rows_of_few(finished)
    assert (ours["method"] == theirs["method"]).all()
    changed = (ours["value"] != theirs["value"]).groupby(ours["method"]).any()
    assert changed.all()


@pytest.mark.parametrize("profile", ["config", "smoke", "twin", "paper", "faults"])
def test_every_shipped_config_has_a_dag(root: Path, tmp_path: Path, profile: str) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    done = snakemake(folder, "-n", "--configfile", f"config/{profile}.yaml", "--", "all")
    assert done.returncode == 0, done.stderr[-2000:]


def test_published_data_are_downloaded_unless_they_are_here(root: Path, tmp_path: Path) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    paper = ["-n", "--configfile", "config/paper.yaml", "--config"]
    target = ["results/paper/data/luvira/music1", "results/paper/data/six_faces/test"]
    fetched = snakemake(folder, *paper, "seed=1", "--", *target).stdout
    assert "output: data/luvira/manifest.json" in fetched
    assert "output: data/librispeech/manifest.json" in fetched
    (folder / "it's here").mkdir()
    (folder / "it's here" / "Audio_only.zip").touch()  # archives at a root go into the cache
    # The content of the other is taken as is.
    here = ["luvira_root=it's here", "librispeech_root=it's here"]
    found = snakemake(folder, *paper, *here, "--", *target).stdout
    assert "output: data/luvira/manifest.json" in found
    assert "data/librispeech/manifest.json" not in found


@pytest.mark.slow
def test_data_rules_of_the_paper_profile_on_miniature_archives(root: Path, tmp_path: Path) -> None:
    """Every data rule, from a server with authentication that breaks off, to frames."""
    published, folder = tmp_path / "published", fresh(root, tmp_path / "user's wavloc")
    published.mkdir()
    miniature.luvira_archives(published, ["music0003", "speech0001"], 1.5)
    speakers = [61, 121, 237, 260, 672, 908, 1089, 1188]
    miniature.librispeech_archive(published, speakers)
    md5 = files.checksum(published / "test-clean.tar.gz", "md5")
    small = {"max_order": 2}
    with serving(published) as server:
        server.drop_after = [1_000_000]
        there = {"urls": [f"{server.url}/gone", server.url]}
        login = {"user": USER, "password": PASSWORD}
        changes = {
            "cache": "user's $(touch cache)",
            "network": {"backoff_s": 0.1},
            "downloads": {
                "librispeech": {"archives": {"test-clean.tar.gz": f"md5:{md5}"}, **there, **login}
            },
            "sound": {"speech": {"expect": {"files": 24, "speakers": 8}}},
            "datasets": {
                "luvira": {"download": there, "options": small | {"sim_share": 0.2}},
                "six_faces": {"options": small | {"train": 4, "valid": 2, "test": 20}},
            },
        }
        (folder / "mini.yaml").write_text(yaml.safe_dump(changes))
        paper = ["--configfile", "config/paper.yaml", "mini.yaml"]
        data = "results/paper/data"
        targets = [f"{data}/luvira/{track}" for track in ("music3", "speech1_sim")]
        targets += [f"{data}/six_faces/test", f"{data}/subsets/luvira/music3-7.npy"]
        done = snakemake(folder, "--cores", "2", *paper, "--", *targets, runner=True)
        assert done.returncode == 0, done.stderr[-3000:]
        resumed = [sent for _, sent in server.requests if sent]
        assert len(resumed) == 1
        server.requests.clear()
        # Another way to have the same data makes nothing run again.
        there["urls"].reverse()
        (folder / "mini.yaml").write_text(yaml.safe_dump(changes))
        paper += ["--config", "offline=true", "--"]
        again = snakemake(folder, "--cores", "2", *paper, *targets, runner=True)
        assert "Nothing to be done" in again.stderr + again.stdout
        assert server.requests == []
    take, extension, rooms = (frames.load(folder / target) for target in targets[:3])
    truth = miniature.path_of("music0003", take.table["time_s"].to_numpy())
    assert np.linalg.norm(take.source_position - truth, axis=1).max() < 0.001
    assert extension.meta["frames_rendered"] == 4
    assert len(rooms) == 20
    assert set(rooms.table["speaker"]) <= {"61", "121", "237"}
    log = (folder / "results/paper/logs/corpus/speech.log").read_text()
    assert "files: 24" in log
    assert '"test": ["61", "121", "237"]' in log
    assert "shorter_than_1_s: 8" in log


def test_targets_of_the_phases_exist(root: Path, tmp_path: Path) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    done = snakemake(folder, "--list-target-rules")
    phases = {"all", "data", "models", "predict", "evaluate", "tables", "figures", "faults"}
    assert set(done.stdout.split()) >= phases | {
        *("table1", "table5", "leaderboard", "fig3a", "single_frames")
    }
    single = snakemake(folder, "-n", "table3").stdout
    assert "wav2pos_m" in single
    assert "results/models/luvira_twin/1" not in single  # only what it needs
    first = snakemake(folder, "-n", "table1").stdout
    assert "method=gnn" in first
    assert "method=wav2pos_base" not in first  # of Table IV, in the same cell
    ablation = snakemake(folder, "-n", "table4").stdout
    assert "method=wav2pos_base" in ablation
    assert "method=gnn" not in ablation
    (folder / "published.pth").touch()
    weights = ["--config", "authors_weights=published.pth", "--"]
    imported = snakemake(folder, "-n", *weights, "table1").stdout
    assert "\nrule import_model:\n    input: published.pth\n" in imported
    assert "model=wav2pos_authors" in imported
    # A single target builds only what it needs.
    one = snakemake(folder, "-n", *SMOKE, "results/smoke/figures/fig4.png")
    assert "predict_cell" not in one.stdout
    curve = snakemake(folder, "-n", "fig3a").stdout
    assert "results/metrics/six_faces/test/1a-6/table_simulated-conditions.csv" in curve
    assert "luvira_twin" not in curve
    assert "test_clean" not in curve
    gain = snakemake(folder, "-n", "fig3e").stdout
    assert "test_clean" in gain
    assert "method=wav2pos" in gain
    assert "method=multilat" not in gain


def test_config_mistake_is_one_line(root: Path, tmp_path: Path) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    done = snakemake(folder, "-n", "--config", "sead=1", "--", "all")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "wavloc: error" in line]
    assert len(lines) == 1
    assert "'sead' was unexpected" in lines[0]
    missing = ["speech=librispeech", "librispeech_root=/nowhere"]
    nowhere = snakemake(folder, "-n", "--config", *missing, "--", "all")
    assert "data of librispeech: /nowhere: no such folder" in nowhere.stderr
    folder_of_sound = snakemake(folder, "-n", "--config", "speech=folder", "--", "all")
    assert "speech=folder needs speech_root=PATH" in folder_of_sound.stderr


def test_lint_has_only_the_environment_hint(root: Path, tmp_path: Path) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    done = snakemake(folder, "--workflow-profile", "none", "--lint")
    titles = {
        line.strip("* :").rstrip(":")
        for line in (done.stdout + done.stderr).splitlines()
        if line.startswith("    * ")
    }
    assert {title for title in titles if "conda environment or container" not in title} == set()


def test_dvc_stages_are_snakemake_targets(root: Path, tmp_path: Path) -> None:
    """Each stage calls one target, every out persists, and all final files are somebody's out."""
    folder = fresh(root, tmp_path / "wavloc")
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    stages = pipeline["stages"]
    outs = [next(iter(out)) for stage in stages.values() for out in stage["outs"]]
    assert all(out[name]["persist"] for s in stages.values() for out in s["outs"] for name in out)
    targets = snakemake(folder, "--list-target-rules").stdout.split()
    for stage in stages.values():
        target = stage["cmd"].removeprefix("python workflow/run.py ")
        assert target in targets or target == "results/report.html"
    listed = snakemake(folder, "--summary", "all").stdout.splitlines()
    begin = next(k for k, line in enumerate(listed) if line.startswith("output_file\t"))
    files = [line.split("\t")[0] for line in listed[begin + 1 :]]
    assert len(files) > 50
    for file in files:
        homes = [out for out in outs if file == out or file.startswith(f"{out}/")]
        assert len(homes) == 1, file
    assert set(pipeline["metrics"]) <= set(files)
    assert pipeline["plots"] == [
        f"results/figures/{name}.png"
        for name in config.load(root / "config" / "config.yaml")["figures"]
    ]
    assert all((folder / file).is_file() for file in pipeline["params"])
