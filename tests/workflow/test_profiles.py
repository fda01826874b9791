"""The profiles say what jobs ask for; dry runs only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from helpers.workflow import SMOKE, fresh, snakemake

# What the profile for Kubernetes is told about the site.
SITE = ["--container-image", "example/wavloc", "--default-storage-prefix", "volume"]
SITE += ["--kubernetes-persistent-volumes", "claim:/wavloc"]


def resources(printed: str, rule: str) -> dict[str, str]:
    """Resources and threads of the first job of a rule in a dry run."""
    # Jobs of a group stand further in.
    job = re.search(rf"^( *)rule {rule}:\n((?:\1    .*\n)+)", printed, re.MULTILINE)[2]
    asked = re.search(r"    resources: (.*)", job)[1].split(", ")
    return dict(pair.split("=", 1) for pair in asked)


@pytest.mark.parametrize(
    ("profile", "more"), [("workstation", []), ("slurm", []), ("kubernetes", SITE)]
)
def test_every_profile_asks_for_a_gpu_where_models_are_trained(
    root: Path, tmp_path: Path, profile: str, more: list[str]
) -> None:
    folder = fresh(root, tmp_path / "wavloc")
    done = snakemake(
        folder, "-n", "--workflow-profile", f"profiles/{profile}", *more, *SMOKE, "table4"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    training, predicting = (resources(done.stdout, r) for r in ("train", "predict_cell"))
    assert training["gpu"] == "1"
    assert "gpu" not in predicting
    for asked in (training, predicting):
        assert int(asked["mem_mb"]) >= 2000
        assert int(asked["runtime"]) >= 30
    if profile == "slurm":
        assert (training["slurm_partition"], predicting["slurm_partition"]) == ("gpu", "cpu")


def test_profiles_name_rules_that_there_are(root: Path, tmp_path: Path) -> None:
    """Snakemake ignores a group or a resource of a rule that it does not know."""
    folder = fresh(root, tmp_path / "wavloc")
    rules = set(snakemake(folder, "--list-rules").stdout.split())
    for path in sorted((root / "profiles").glob("*/config.yaml")):
        profile = yaml.safe_load(path.read_text())
        named = {re.split("[:=]", entry)[0] for entry in profile.get("set-resources", [])}
        named |= {entry.partition("=")[0] for entry in profile.get("groups", [])}
        assert named <= rules, path
