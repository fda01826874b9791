"""Shared fixtures: a small corpus, small frames, and the folder of optional test material."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from wavloc.frames import Frames

torch.set_num_threads(1)  # tests run side by side
ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slurm", action="store_true", help="run the tests on a real Slurm node")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slurm"):
        for item in items:
            if item.get_closest_marker("slurm"):
                item.add_marker(pytest.mark.skip(reason="make test-slurm runs it"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Optional test material beside the project; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("optional test material (../shared) is not here")
    return SHARED


@pytest.fixture
def frames() -> Frames:
    """Eight anechoic frames on the LuViRA array."""
    return anechoic_frames()


@pytest.fixture
def swept() -> Frames:
    """Sixteen frames: two values of T60 by two of SNR, four each."""
    frames = anechoic_frames(16)
    frames.table["t60_nominal_s"] = np.arange(16) // 8 * 0.2
    frames.table["snr_db"] = np.arange(16) // 4 % 2 * 10.0
    frames.table["speaker"] = np.arange(16) % 3
    frames.table["recording"] = np.arange(16) % 5
    return frames


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder of 24 frames of one track, with a margin."""
    frames = anechoic_frames(24, margin=80)
    frames.table["track"] = "a"
    frames.table["time_s"] = np.arange(24) * 0.5
    frames.save(tmp_path / "frames")
    return tmp_path / "frames"
