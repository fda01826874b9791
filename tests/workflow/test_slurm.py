"""The smoke profile through a real Slurm: the same tables as on this machine alone.

Not part of the other tests: minutes long, and it wants root. `make test-slurm` runs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import slurm_node
from helpers.workflow import SMOKE, environment, fresh, snakemake, tables

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
# What is asked of a real cluster may be more than this machine has.
SMALL = ["--set-resources", "train:slurm_partition=gpu", "train:gpu=1", "train:mem_mb=2000"]
CLUSTER = ["--workflow-profile", "profiles/slurm", "--cores", "2", *SMALL, *SMOKE]
# Targets of the whole comparison; fewer for a quick look.
TARGETS = os.environ.get("WAVLOC_SLURM_TARGETS", "tables").split()


@pytest.fixture(scope="module")
def node() -> Iterator[slurm_node.Node]:
    reason = slurm_node.why_not()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="wavloc-slurm-") as folder:
        Path(folder).chmod(0o711)  # munge runs as another user
        with slurm_node.running(Path(folder)) as running:
            yield running


@pytest.fixture(scope="module")
def local(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same targets without Slurm."""
    folder = fresh(root, tmp_path_factory.mktemp("local") / "wavloc")
    done = snakemake(folder, "--cores", "2", *SMOKE, *TARGETS, "table6", runner=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_slurm_makes_the_same_tables(
    root: Path, local: Path, node: slurm_node.Node, tmp_path: Path
) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    done = snakemake(folder, *CLUSTER, *TARGETS, "table6", runner=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "submitted with SLURM jobid" in done.stderr
    assert "group_" in done.stderr  # short jobs went together
    assert tables(folder) == tables(local)
    assert node.jobs("running", "pending") == []


def test_node_lost_in_the_middle_of_a_job(
    root: Path, local: Path, node: slurm_node.Node, tmp_path: Path
) -> None:
    """The run says that it failed, or tries again; a plain rerun ends in the same table."""
    folder = fresh(root, tmp_path / "wavloc")
    command = [sys.executable, "workflow/run.py", *CLUSTER, "table6"]
    with (tmp_path / "log").open("w") as log:
        started = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 300
        while not list((folder / "results/smoke/data/six_faces").glob(".*.*")):
            assert started.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, "no simulation was begun in 300 s"
            time.sleep(0.02)
        assert node.lose()
        assert node.state() not in ("idle", "mix", "alloc")
        time.sleep(1)
        node.come_back()
        started.wait(timeout=600)
    done = snakemake(folder, *CLUSTER, "table6", runner=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert tables(folder)["table6.csv"] == tables(local)["table6.csv"]
