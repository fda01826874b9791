"""Faulty microphones are found by their pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.frames import anechoic_frames
from wavloc.features import coherence
from wavloc.features.gcc_torch import gcc_features
from wavloc.features.reliability import reliability
from wavloc.frames import Frames
from wavloc.recordings.positions import suspicious

FAULTS = {
    "mute": lambda f, rng: f.audio.__setitem__((slice(None), 4), 0.0),
    "noise": lambda f, rng: f.audio.__setitem__(
        (slice(None), 4), rng.normal(0, f.audio[:, 4].std(), f.audio[:, 4].shape)
    ),
    "late": lambda f, rng: f.audio.__setitem__(
        (slice(None), 4), np.roll(f.audio[:, 4], 60, axis=-1)
    ),
    "moved": lambda f, rng: f.mic_positions.__setitem__(4, f.mic_positions[4] + [1.0, 0.5, 0.0]),
}


def measured(frames: Frames, off: np.ndarray | float = 0.0) -> np.ndarray:
    """Reliability (F, M) with the source located ``off`` (F, 3) its true position, metres."""
    audio = torch.from_numpy(frames.window())
    delay = coherence.delays(gcc_features(audio, 340))
    mics = torch.from_numpy(np.array(frames.mics())).float()
    return reliability(
        delay,
        coherence.coherence(audio, delay),
        torch.from_numpy(frames.source_position + off).float(),
        mics,
        torch.isfinite(audio).all(-1),
        16000 / 343,
    ).numpy()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_microphone_is_told_from_the_others(fault: str) -> None:
    rng = np.random.default_rng(0)
    frames = anechoic_frames(30)
    frames.audio += rng.normal(0, 0.1, frames.audio.shape).astype(np.float32)
    good = measured(frames)
    assert np.median(good, axis=0).min() > 0.6
    assert suspicious(list("abcdefghijk"), good) == []
    FAULTS[fault](frames, rng)
    found = measured(frames)
    named = suspicious(list("abcdefghijk"), found)
    assert [name for name, _ in named] == ["e"]
    worse = found[:, [4]] < np.delete(found, 4, axis=1)  # area under the ROC curve
    assert worse.mean() > 0.95


def test_an_error_of_the_method_is_held_against_no_microphone() -> None:
    rng = np.random.default_rng(0)
    frames = anechoic_frames(30)
    off = rng.normal(0, 0.4, frames.source_position.shape)
    assert suspicious(list("abcdefghijk"), measured(frames, off)) == []
    FAULTS["moved"](frames, rng)
    found = measured(frames, off)
    assert [name for name, _ in suspicious(list("abcdefghijk"), found)] == ["e"]
    assert (found[:, [4]] < np.delete(found, 4, axis=1)).mean() > 0.9
