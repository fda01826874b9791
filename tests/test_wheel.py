"""What pip installs: built from the sdist, tried in an environment that knows no checkout."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wavloc

pytestmark = pytest.mark.slow

LEFT = shutil.ignore_patterns(".*", "data", "results", "build", "*.egg-info", "__pycache__")
NO_INDEX = ("--no-deps", "--no-index", "-q", "--disable-pip-version-check")


def run(*command: object, folder: Path, **more: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=kept | {"OMP_NUM_THREADS": "1"} | more,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    tree = shutil.copytree(root, folder / "tree", ignore=LEFT)
    backend = "from setuptools import build_meta; build_meta.build_sdist('..')"
    run(sys.executable, "-c", backend, folder=tree)
    (made,) = folder.glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "wheel", *NO_INDEX, "--no-build-isolation")
    run(*pip, "-w", sdist.parent, sdist, folder=sdist.parent)
    (made,) = sdist.parent.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of a new environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", *NO_INDEX, wheel, folder=folder)
    (packages,) = folder.glob("lib/*/site-packages")
    # After wavloc; a path in a .pth file does not make Python read the .pth files there, so an
    # editable wavloc of this environment stays unknown.
    paths = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (packages / "dependencies.pth").write_text("\n".join(paths))
    return folder / "bin"


def test_sdist_is_the_whole_project_and_wheel_is_small(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Snakefile", "Makefile", "dvc.yaml", "requirements.txt", "CITATION.cff"} <= names
    assert {"mkdocs.yml", "codemeta.json", "LICENSE", "profiles/default/config.yaml"} <= names
    assert {"workflow/run.py", "tests/test_wheel.py", "docs/locate.md"} <= names
    assert wheel.stat().st_size < 5 * 2**20


def test_from_an_empty_folder_to_a_map_in_two_commands(installed: Path, tmp_path: Path) -> None:
    shown = "import wavloc; print(wavloc.__file__)"
    where = run(installed / "python", "-c", shown, folder=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    said = run(installed / "wavloc", "--version", folder=tmp_path)
    assert said.strip() == f"wavloc {wavloc.__version__}"
    said = run(installed / "wavloc", "example", folder=tmp_path)
    program, *words = shlex.split(said)
    run(installed / program, *words, folder=tmp_path)
    assert (tmp_path / "map.png").stat().st_size > 10_000
    found = pd.read_csv(tmp_path / "positions.csv")
    truth = pd.read_csv(tmp_path / "room" / "truth.csv")
    at = np.stack([np.interp(found["time_s"], truth["time_s"], truth[axis]) for axis in "xyz"], 1)
    error = np.linalg.norm(found[[*"xyz"]].to_numpy() - at, axis=1)[found["status"] == "ok"]
    assert len(error) > 0.5 * len(found)
    assert np.median(error) < 0.05


def test_configuration_is_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    listed = run(installed / "wavloc", "methods", folder=tmp_path)
    assert "Multilat*" in listed
    assert "Steered" in listed
    wavs = "--mics room/mics.csv --room 6 5 2.7 --out mine.yaml"
    run(installed / "wavloc", "example", "room", folder=tmp_path)
    run(installed / "wavloc", "own-room", *wavs.split(), folder=tmp_path)
    assert "own_room" in (tmp_path / "mine.yaml").read_text()


def test_workflow_runs_in_the_unpacked_sdist(sdist: Path, installed: Path, tmp_path: Path) -> None:
    """As the page on installing says; elsewhere Snakemake says what it lacks."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (project,) = tmp_path.iterdir()
    snakemake = (installed / "python", "-m", "snakemake", "--cores", "2", "--dry-run")
    smoke = ("--quiet", "host", "--configfile", "config/smoke.yaml", "--", "data")
    assert "rule simulate" in run(*snakemake, *smoke, folder=project)
    done = subprocess.run([*map(str, snakemake)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "No Snakefile found" in done.stdout + done.stderr
