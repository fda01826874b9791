"""Runs of the real Snakefile in fresh folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

COPIED = ["Snakefile", "workflow", "config", "profiles", "docs", "dvc.yaml"]


SMOKE = ["--configfile", "config/smoke.yaml", "--"]


def environment() -> dict[str, str]:
    """Commands of this interpreter's environment first, no bars, no other profile."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    changed = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
    return changed | {"PATH": path, "PYTHONHASHSEED": "0"}


def snakemake(folder: Path, *arguments: str, runner: bool = False) -> subprocess.CompletedProcess:
    command = [sys.executable, "workflow/run.py"] if runner else [sys.executable, "-m", "snakemake"]
    return subprocess.run(
        [*command, *arguments], cwd=folder, env=environment(), capture_output=True, text=True
    )


def fresh(root: Path, folder: Path) -> Path:
    """A copy of what a run needs, without results."""
    folder.mkdir()
    for name in COPIED:
        source = root / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    return folder


def tables(folder: Path) -> dict[str, bytes]:
    """The csv tables but Table V, which measures time."""
    found = sorted((folder / "results/smoke/tables").glob("*.csv"))
    return {path.name: path.read_bytes() for path in found if path.name != "table5.csv"}
