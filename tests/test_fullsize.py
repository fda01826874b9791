"""The fast ways of the full-size runs give what the plain ways give."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import anechoic_frames

from wavloc.errors import InputError
from wavloc.features import correlation
from wavloc.features.ngcc import NGCC
from wavloc.frames import Frames
from wavloc.methods import gnn, multilat_ngcc, wav2pos
from wavloc.training import parallel, precision
from wavloc.training.engine import Run

RELATION = {"width": 16, "row": 64, "epochs": 2, "batch": 8, "fewest_mics": 0, "copies": 1}
SMALL = {
    "width": 16,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "pair_hidden": 16,
    "head_hidden": [16, 16],
    "coordinate_hidden": 8,
    "features": "gcc",
    "epochs": 2,
    "batch": 8,
}


def frames_of(count: int) -> Frames:
    return anechoic_frames(count, margin=80)


def trained(folder: Path, module=gnn, options: dict = RELATION, **how) -> dict[str, torch.Tensor]:
    frames = frames_of(24)
    method = module.Method(options, "small")
    method.fit(frames, frames.select(np.arange(8)), Run(folder, **how))
    return method.network.state_dict()


def assert_close(found: dict, expected: dict, tolerance: float) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)


def test_a_batch_in_parts_trains_the_same_weights(tmp_path: Path) -> None:
    """For a network without batch statistics and dropout."""
    whole = trained(tmp_path / "a")
    assert_close(trained(tmp_path / "b", accumulate=4), whole, 1e-5)
    assert_close(trained(tmp_path / "c", accumulate=3), whole, 1e-5)  # parts of 3, 3 and 2
    with pytest.raises(InputError, match="accumulate 0, expected 1"):
        Run(tmp_path, accumulate=0)
