"""Shared fixtures: a small corpus, small frames, and the folder of optional test material."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from wavloc.frames import FRAME_SAMPLES, Frames
from wavloc.geometry import LUVIRA_MICS, distances

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


def anechoic_frames(
    count: int = 8, seed: int = 0, mics: np.ndarray = LUVIRA_MICS, margin: int = 0
) -> Frames:
    """White noise delayed exactly (in the frequency domain) to every microphone; no reflections."""
    rng = np.random.default_rng(seed)
    low, high = mics.min(axis=0), mics.max(axis=0)
    source = rng.uniform(low + 0.1 * (high - low), high - 0.1 * (high - low), (count, 3))
    samples = FRAME_SAMPLES + 2 * margin
    size = 2 * samples
    dry = rng.standard_normal((count, size))
    distance = distances(source, mics)
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * (distance * 16000 / 343)[..., None])
    wet = np.fft.irfft(np.fft.rfft(dry)[:, None] * phase, size) / distance[..., None]
    start = size // 4
    return Frames(
        audio=wet[..., start : start + samples].astype(np.float32),
        source_audio=dry[:, start : start + samples].astype(np.float32),
        mic_positions=mics.copy(),
        source_position=source,
        table=pd.DataFrame({"frame": np.arange(count), "time_s": 0.064 * np.arange(count)}),
        sample_rate=16000,
    )


@pytest.fixture
def frames() -> Frames:
    """Eight anechoic frames on the LuViRA array."""
    return anechoic_frames()
