"""Networks so small that a test can train them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from wavloc.frames import Frames
from wavloc.methods.base import Method
from wavloc.methods.learned import dinn, fault_tolerant, gnn, multilat_ngcc, ngcc_phat, wav2pos
from wavloc.methods.learned.base import LearnedMethod
from wavloc.methods.learned.ngcc_phat import NGCC
from wavloc.training.engine import Run

NETWORKS = {
    "dinn": (
        dinn,
        {
            "channels": [4, 8, 16, 16],
            "recurrent": 256,  # costs little, and halves the passes
            "epochs": 200,
            "batch": 64,
            "warmup": 0.3,
            "learning_rate": 0.015,
        },
    ),
    "gnn": (gnn, {"hidden_dim": 64, "lags": 640, "epochs": 300, "batch": 16, "copies": 1}),
    "wav2pos": (
        wav2pos,
        {
            "embed_dim": 32,
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


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sound_and_positions(mics: int, samples: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Random audio (2, mics, samples) and positions (2, mics, 3)."""
    generator = torch.Generator().manual_seed(3)
    audio = torch.randn(2, mics, samples, generator=generator)
    return audio, torch.randn(2, mics, 3, generator=generator)


def shake(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random weights and statistics large enough that every part moves the output; eval mode."""
    torch.manual_seed(seed)
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.2) if value.ndim > 1 else value.data.normal_(0.5, 0.3)
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(0, 0.2)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return network.eval()


def shaken(module, options: dict, frames: Frames) -> Method:
    """A method with a model of random weights."""
    method = module.Method(options)
    if module is wav2pos and method.options.features == "ngcc":
        method.correlations.ngcc = NGCC(channels=4, taps=63).eval()
    with_model(method, frames)
    shake(getattr(method, "model", method).network)
    return method


FAST = {"schedule": "cosine", "warmup": 0.1, "learning_rate": 0.003}


def trained(module, options: dict, train: Frames, valid: Frames, folder: Path):
    method = module.Method(options)
    run = Run(folder, save_every_s=1e9)
    method.fit(train, valid, run)
    return method, run


SMALL = {
    "embed_dim": 32,
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
        method.correlations.ngcc = NGCC(channels=4, taps=63).eval()
    method.prepare(frames)
    torch.manual_seed(0)
    for value in method.network.parameters():  # large enough that everything moves the output
        if value.requires_grad:
            torch.nn.init.normal_(value, std=0.2)
    method.network.eval()
    return method


def batch_of(method: LearnedMethod, frames: Frames) -> dict[str, torch.Tensor]:
    """All frames as training shows them to a method, but for noise, shifts and features."""
    audio = np.concatenate([frames.source_window()[:, None], frames.window()], axis=1)
    sound = method.normalise(torch.from_numpy(audio.astype(np.float32)))
    return method.targets(frames) | {"audio": sound, "clean": sound}


def with_model(method: Method, frames: Frames) -> Method:
    """The method with an untrained model, where it needs one."""
    model = method
    if isinstance(method, multilat_ngcc.Method):
        model = method.model = ngcc_phat.Method(SMALL_OPTIONS["ngcc_phat"])
    if isinstance(model, LearnedMethod):
        model.prepare(frames)
        for part in model.parts().values():
            part.eval()
    return method


# Options of learned methods by name, for tests of all methods alike.
SMALL_OPTIONS = {
    "ngcc_phat": {"channels": 4, "taps": 63},
    "wav2pos": {"embed_dim": 16, "features": "gcc"},
    "fault_tolerant": {"embed_dim": 16, "features": "gcc", "encoder": "logmel"},
    "multi_source": {"embed_dim": 16, "features": "gcc", "encoder": "logmel"},
}
