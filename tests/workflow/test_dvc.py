"""DVC over the real Snakefile with few, tiny cells: repro, push, delete, pull, nothing again."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from helpers.workflow import environment, fresh, snakemake
from wavloc.config import merge, read_yaml

FOLDERS = ["data", "models", "predictions", "metrics", "tables", "figures"]


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, "dvc", *arguments)


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in git, the default run cut down to one learned and one classical method."""
    folder = fresh(root, tmp_path_factory.mktemp("dvc") / "wavloc")
    for name in (".dvc", ".dvcignore", ".gitignore"):
        source = root / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / "src").mkdir()  # a dependency of every stage; the installed package is what runs
    (folder / "src" / "README").touch()
    experiments = read_yaml(folder / "config/experiments.yaml")
    table = experiments["tables"]["table_simulated"] | {"methods": ["center", "gnn"]}
    few = {"tables": {"table_simulated": table}, "figures": {}}
    few["figures"]["fig4"] = experiments["figures"]["fig4"]
    (folder / "config/experiments.yaml").write_text(yaml.safe_dump(few))
    sizes = merge(read_yaml(folder / "config/config.yaml"), read_yaml(folder / "config/smoke.yaml"))
    sizes["pathvars"] = read_yaml(folder / "config/config.yaml")["pathvars"]
    sizes["datasets"]["six_faces"]["options"] |= {"train": 4, "valid": 2, "test": 4}
    for cut in ("tables", "figures"):
        del sizes[cut]
    (folder / "config/config.yaml").write_text(yaml.safe_dump(sizes))
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", ".")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(folder, "git", *author, "commit", "--quiet", "--message", "start")
    return folder


def test_params_name_what_differs_from_the_last_commit(project: Path) -> None:
    path = project / "config/config.yaml"
    before = path.read_text()
    path.write_text(yaml.safe_dump(merge(yaml.safe_load(before), {"evaluation": {"block": 3}})))
    try:
        changed = json.loads(dvc(project, "params", "diff", "--json"))
    finally:
        path.write_text(before)
    assert changed == {"config/config.yaml": {"evaluation.block": {"old": None, "new": 3}}}


def test_without_git_it_is_said_what_to_type(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "Makefile", tmp_path)
    for name in ("requirements.txt", "pyproject.toml", ".venv/.stamp"):  # as if it were made
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    done = subprocess.run(["make", "pull"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("wavloc: error: DVC needs a git repository")
    assert "git init" in done.stderr


@pytest.mark.slow
def test_results_are_pushed_deleted_pulled_and_not_made_again(project: Path) -> None:
    dvc(project, "repro")
    held = {name: sorted((project / "results" / name).rglob("*")) for name in FOLDERS}
    assert all(held.values())
    table = (project / "results/tables/table_simulated.csv").read_bytes()

    shown = json.loads(dvc(project, "metrics", "show", "--json"))
    metrics = shown[""]["data"]["results/tables/summary.json"]["data"]
    assert set(metrics["table_simulated"]["mae (cm)"]) == {"center", "gnn"}
    dvc(project, "plots", "show", "--out", "plots", "results/figures/fig4.png")
    assert "fig4.png" in (project / "plots" / "index.html").read_text()

    dvc(project, "remote", "add", "--local", "--default", "here", str(project.parent / "remote"))
    dvc(project, "push")
    for gone in ("results", ".snakemake", ".dvc/cache"):
        shutil.rmtree(project / gone)
    dvc(project, "pull")
    assert held == {name: sorted((project / "results" / name).rglob("*")) for name in FOLDERS}
    snakemake(project, "--touch", "--cores", "1", "all", runner=True)  # as `make pull` does
    again = snakemake(project, "--cores", "1", "all", runner=True)
    assert "Nothing to be done" in again.stdout + again.stderr
    assert "up to date" in dvc(project, "status")
    assert (project / "results/tables/table_simulated.csv").read_bytes() == table
