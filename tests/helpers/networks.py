"""Networks so small that a test can train them."""

from __future__ import annotations

from pathlib import Path

import torch

from wavloc.frames import Frames
from wavloc.methods.learned import dinn, fault_tolerant, gnn, wav2pos
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.training.engine import Run

NETWORKS = {
    "dinn": (
        dinn,
        {
            "channels": [4, 8, 16, 16],
            "recurrent": 64,
            "epochs": 380,
            "batch": 64,
            "learning_rate": 0.01,
        },
    ),
    "gnn": (gnn, {"width": 64, "row": 640, "epochs": 300, "batch": 16, "copies": 1}),
    "wav2pos": (
        wav2pos,
        {
            "width": 32,
            "encoder_depth": 1,
            "decoder_depth": 1,
            "pair_hidden": 64,
            "head_hidden": [64, 32],
            "coordinate_hidden": 16,
            "features": "gcc",
            "weight_decay": 0.0,
            "epochs": 150,
            "batch": 16,
            "copies": 1,
        },
    ),
}


FAST = {"schedule": "cosine", "warmup": 0.1, "learning_rate": 0.003}


def trained(module, options: dict, train: Frames, valid: Frames, folder: Path):
    method = module.Method(options)
    run = Run(folder, save_every_s=1e9)
    method.fit(train, valid, run)
    return method, run


SMALL = {
    "width": 32,
    "encoder_depth": 1,
    "decoder_depth": 1,
    "pair_hidden": 64,
    "head_hidden": [64, 32],
    "features": "gcc",
    "encoder": "logmel",
}


def untrained(frames: Frames, kind=fault_tolerant.Method, **options) -> fault_tolerant.Method:
    method = kind(SMALL | options)
    if method.options.features == "ngcc":
        method.ngcc = NGCC(channels=4, taps=63).eval()
    method.prepare(frames)
    torch.manual_seed(0)
    for value in method.network.parameters():  # large enough that everything moves the output
        if value.requires_grad:
            torch.nn.init.normal_(value, std=0.2)
    method.network.eval()
    return method


# Options of learned methods by name, for tests of all methods alike.
SMALL_OPTIONS = {
    "multilat_ngcc": {"channels": 4, "taps": 63},
    "multilat_plus_ngcc": {"channels": 4, "taps": 63},
    "wav2pos": {"width": 16, "features": "gcc"},
    "fault_tolerant": {"width": 16, "features": "gcc", "encoder": "logmel"},
    "multi_source": {"width": 16, "features": "gcc", "encoder": "logmel"},
}
