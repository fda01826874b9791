"""Runs of the real Snakefile in fresh folders."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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


def kill_when(folder: Path, ready: Callable[[], bool], *arguments: str) -> None:
    """Start a run, and kill its whole process group as soon as ``ready()``."""
    started = subprocess.Popen(
        [sys.executable, "workflow/run.py", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    try:
        while not ready():
            assert started.poll() is None, "the run ended before it was killed"
            assert time.monotonic() < deadline, "the run did not get that far in 300 s"
            time.sleep(0.02)
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


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
