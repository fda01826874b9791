"""NGCC-PHAT (Berg et al. 2022): a learned filter bank before GCC-PHAT and a network after it.

Each signal passes a circular convolutional backbone (parametrised band-pass filters, then three
convolutions); every pair of channels is correlated with PHAT weighting; a small convolutional head
along the lag axis gives one score (logit) per integer lag. One set of weights serves any largest
lag. Signs and the order of pairs: `wavloc.features.gcc_torch`.

It is trained to classify the delays of random pairs and locates nothing itself: other methods use
its model, for the delays (`multilat_ngcc`) or for features of pairs (`PairCorrelations`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc import devices
from wavloc.errors import InputError
from wavloc.features import delays, gcc
from wavloc.features import gcc_torch as correlation
from wavloc.frames import Frames, blocks
from wavloc.geometry import pairs, tdoa
from wavloc.methods.learned import masking
from wavloc.methods.learned.base import (
    Batch,
    Component,
    DataStats,
    LearnedMethod,
    known_signals,
)
from wavloc.methods.learned.layers import standardise
from wavloc.setups import Setup
from wavloc.training.recipe import Recipe
from wavloc.training.store import Feature, of_network

SLOPE = 0.2  # of all leaky rectifiers
LOWEST_HZ, NARROWEST_HZ = 50.0, 50.0
CPU_CORRELATIONS = 512  # pairs times channels treated at once on a CPU: what fits its cache
CORRELATION_BYTES = 32  # per sample of a correlation while it is computed
SPECTRUM_BYTES = 24  # per sample and channel of a spectrum
MOST_ELEMENTS = 2**31 - 1  # of a tensor with 32-bit indices


@dataclasses.dataclass(frozen=True)
class Options(Recipe):
    """Published sizes and recipe (public code of wav2pos)."""

    epochs: int = 30
    batch: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.17
    channels: int = 128
    taps: int = 1023
    dropout: float = 0.5
    max_lag: int = 0  # samples; 0 = what the training array allows
    group: int = 2  # microphones drawn per example; all of their pairs are trained on
    same_microphone: bool = False  # the public code may draw a microphone twice
    truncate_label: bool = False  # the public code cuts the delay instead of rounding it
    source_pairs: bool = True  # draw the source's signal too, as wav2pos may meet it


class SincBank(nn.Module):
    """Band-pass filters with two learnable numbers each: lower edge and width, in Hz.

    The left half of each filter is windowed and mirrored; its centre is 1 (SincNet's form).
    """

    angle: Tensor
    window: Tensor

    def __init__(self, channels: int, taps: int, sample_rate: int):
        super().__init__()
        self.sample_rate = sample_rate
        mel = torch.linspace(_mel(30.0), _mel(sample_rate / 2 - 100.0), channels + 1)
        edge = 700 * (10 ** (mel / 2595) - 1)
        self.low_hz = nn.Parameter(edge[:-1, None].clone())
        self.band_hz = nn.Parameter(edge.diff()[:, None].clone())
        half = taps // 2
        angle = 2 * math.pi * torch.arange(-half, 0) / sample_rate
        # The window's argument ends half a step before the centre: published so.
        place = torch.linspace(0, taps / 2 - 1, half)
        window = 0.54 - 0.46 * torch.cos(2 * math.pi * place / taps)
        self.register_buffer("angle", angle, persistent=False)
        self.register_buffer("window", window, persistent=False)

    def filters(self) -> Tensor:
        """Impulse responses (channels, taps)."""
        low = LOWEST_HZ + self.low_hz.abs()
        high = (low + NARROWEST_HZ + self.band_hz.abs()).clamp(LOWEST_HZ, self.sample_rate / 2)
        width = high - low
        left = (torch.sin(high * self.angle) - torch.sin(low * self.angle)) / (self.angle / 2)
        left = left * self.window / (2 * width)
        return torch.cat([left, torch.ones_like(width), left.flip(-1)], dim=-1)

    def forward(self, signal: Tensor, gain: Tensor | None = None) -> Tensor:
        """Circular correlation with every filter times its gain (channels,), through the FFT:
        (B, N) -> (B, channels, N).
        """
        samples = signal.shape[-1]
        taps = self.filters().float()
        if gain is not None:
            taps = taps * gain[:, None]
        # Tap k belongs at offset k - half, wrapped around; equal to circular padding.
        placed = functional.pad(taps, (0, samples - taps.shape[-1]))
        placed = placed.roll(-(taps.shape[-1] // 2), -1)
        spectrum = torch.fft.rfft(signal.float())[:, None] * torch.fft.rfft(placed).conj()
        return torch.fft.irfft(spectrum, samples)


def _mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def _folded(conv: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution followed by a batch norm in eval mode."""
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = (conv.bias - norm.running_mean) * gain + norm.bias
    return conv.weight * gain[:, None, None], bias


def _scored(hidden: Tensor, head: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Logits (B, 2 K + 1) of correlations (B, channels, 2 K + 1), in eval mode."""
    for weight, bias in head[:-1]:
        hidden = functional.conv1d(hidden, weight, bias, padding=weight.shape[-1] // 2)
        hidden = functional.leaky_relu_(hidden, SLOPE)
    weight, bias = head[-1]
    return functional.conv1d(hidden, weight, bias, padding=weight.shape[-1] // 2)[:, 0]


class NGCC(nn.Module):
    """The network. Published sizes are the defaults: 888,193 parameters."""

    backbone: Any  # lists lose the types of their modules
    backbone_norms: Any
    head: Any
    final: Any

    def __init__(
        self,
        channels: int = 128,
        taps: int = 1023,
        kernels: tuple[int, ...] = (11, 9, 7),
        final_kernel: int = 5,
        dropout: float = 0.5,
        sample_rate: int = 16_000,
    ):
        super().__init__()
        self.sizes = {
            "channels": channels, "taps": taps, "kernels": kernels,
            "final_kernel": final_kernel, "dropout": dropout, "sample_rate": sample_rate,
        }  # fmt: skip
        self.bank = SincBank(channels, taps, sample_rate)
        self.backbone = nn.ModuleList(nn.Conv1d(channels, channels, k) for k in kernels)
        self.backbone_norms = nn.ModuleList(
            nn.BatchNorm1d(channels, momentum=0.05) for _ in range(1 + len(kernels))
        )
        self.head = nn.ModuleList(nn.Conv1d(channels, channels, k, padding=k // 2) for k in kernels)
        self.head_norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in kernels)
        self.dropout = nn.Dropout(dropout)
        self.final = nn.Conv1d(channels, 1, final_kernel, padding=final_kernel // 2)

    def embed(self, signal: Tensor) -> Tensor:
        """Backbone: (B, N) -> (B, channels, N); it commutes with circular shifts."""
        last = len(self.backbone) - 1
        if self.training:
            hidden = functional.leaky_relu(self.backbone_norms[0](self.bank(signal)), SLOPE)
        else:
            norm = self.backbone_norms[0]
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            shift = norm.bias - norm.running_mean * gain
            hidden = functional.leaky_relu(self.bank(signal, gain) + shift[:, None], SLOPE)
        for index, conv in enumerate(self.backbone):
            pad = conv.kernel_size[0] // 2
            padded = functional.pad(hidden, (pad, pad), mode="circular")
            norm = self.backbone_norms[1 + index]
            if self.training:
                hidden = norm(conv(padded))
            else:
                hidden = functional.conv1d(padded, *_folded(conv, norm))
            hidden = hidden if index == last else functional.leaky_relu(hidden, SLOPE)
        return hidden

    def score(self, hidden: Tensor) -> Tensor:
        """Head: correlations (B, channels, 2 K + 1) -> logits (B, 2 K + 1)."""
        if not self.training:
            return _scored(hidden, self._head())
        for conv, norm in zip(self.head, self.head_norms, strict=True):
            hidden = self.dropout(functional.leaky_relu(norm(conv(hidden)), SLOPE))
        return self.final(hidden)[:, 0]

    def _head(self, reverse: bool = False) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases of the head in eval mode; reverse: for inputs reversed in lag.

        Its kernels are not symmetric, so the head of a reversed input is not its reversed output.
        It is the reversed output of reversed kernels, which saves a reversed copy of all channels.
        """
        layers = [_folded(*layer) for layer in zip(self.head, self.head_norms, strict=True)]
        layers.append((self.final.weight, self.final.bias))
        return [(weight.flip(-1), bias) for weight, bias in layers] if reverse else layers

    def spectra(self, signal: Tensor) -> Tensor:
        """Zero-padded spectra of the embedded signal: (B, N) -> (B, channels, N + 1) complex."""
        return torch.fft.rfft(self.embed(signal).float(), 2 * signal.shape[-1])

    def forward(self, first: Tensor, second: Tensor, max_lag: int) -> Tensor:
        """Logits (B, 2 max_lag + 1) of pairs of signals (B, N)."""
        spectra = self.spectra(torch.cat([first, second])).chunk(2)
        return self.score(correlation.whitened(spectra[0], spectra[1], max_lag))

    @torch.no_grad()
    def all_pairs(
        self,
        audio: Tensor,
        max_lag: int,
        directions: int = 2,
        chunk: int | None = None,
        limits: Sequence[int] | None = None,
    ) -> Tensor:
        """Logits of all pairs: audio (B, K, N) -> (B, directions P, 2 max_lag + 1), eval mode.

        The backbone runs once per signal. Signals pass it, and pairs pass correlation and head,
        ``chunk`` at a time, so that memory does not grow with K squared and a chunk fits the cache
        of a CPU or the free memory of a GPU; where that is little, so do frames. directions 1
        leaves out the reversed pairs. limits (P,): lags of each pair that are wanted; those beyond
        are zero and cost nothing.
        """
        if self.training:
            raise RuntimeError("features are computed in eval mode; call eval() first")
        batch, count, samples = audio.shape
        channels, device = self.bank.low_hz.shape[0], audio.device
        each = SPECTRUM_BYTES * count * channels * samples
        frames = devices.fitting(device, each, batch, batch)
        if frames < batch:
            parts = [
                self.all_pairs(part, max_lag, directions, chunk, limits)
                for part in audio.split(frames)
            ]
            return torch.cat(parts)
        most = MOST_ELEMENTS // (2 * samples * channels)
        each, on_cpu = CORRELATION_BYTES * samples * channels, CPU_CORRELATIONS // channels
        chunk = chunk or devices.fitting(device, each, most, on_cpu)
        signals = audio.reshape(batch * count, samples).split(chunk)
        spectrum = torch.cat([self.spectra(part) for part in signals])
        spectrum = spectrum.reshape(batch, count, *spectrum.shape[1:])
        magnitude = correlation.magnitude(spectrum)
        heads = [self._head(), self._head(reverse=True)][:directions]
        out = audio.new_zeros(batch, count * (count - 1) // 2, directions, 2 * max_lag + 1)
        number = correlation.pair_numbers(count)
        together = None if limits is None else 1  # every pair has its own limit
        for block in correlation.pair_blocks(batch, count, chunk, device, together):
            kept = max_lag
            if limits is not None:
                kept = min(max_lag, int(limits[number[block.first.start][block.second]]))
            width = min(max_lag, kept + self.reach)
            hidden = correlation.whitened_block(spectrum, block, magnitude, width)
            inner = slice(max_lag - kept, max_lag + kept + 1)
            for direction, head in enumerate(heads):
                logits = _scored(hidden.flatten(0, 1), head).unflatten(0, hidden.shape[:2])
                logits = logits.flip(-1) if direction else logits
                logits = logits[..., width - kept : width + kept + 1].to(out.dtype)
                out[block.frames, block.place, direction, inner] = logits
        return out.reshape(batch, -1, 2 * max_lag + 1)

    @property
    def reach(self) -> int:
        """Lags to each side that a score of the head depends on."""
        return sum(conv.kernel_size[0] // 2 for conv in [*self.head, self.final])


class Method(LearnedMethod[NGCC]):
    """The training of NGCC-PHAT: cross-entropy of the delays of random pairs over all lags."""

    half_pays = False  # convolutions of few channels
    Options = Options

    def build(self, stats: DataStats) -> NGCC:
        return NGCC(sample_rate=stats.sample_rate, **self.options_of(NGCC))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """No weight decay for the band-pass filters either."""
        bank = list(self.network.bank.parameters())
        decayed, free = super().parameter_groups()
        kept = [p for p in decayed["params"] if all(p is not part for part in bank)]
        return [decayed | {"params": kept}, free | {"params": [*free["params"], *bank]}]

    def inputs(self, batch: Batch) -> Batch:
        """audio (B, 1 + M, N) and known (B, 1 + M); arrival (B, 1 + M) of the sound in samples."""
        audio, source = batch["audio"], batch["source"]
        known = known_signals(batch)
        distance = (source[:, None] - batch["mics"]).norm(dim=-1)
        distance = torch.cat([torch.zeros_like(distance[:, :1]), distance], dim=1)
        arrival = distance * (self.stats.sample_rate / self.stats.speed_of_sound)
        audio = audio.masked_fill(~known[..., None], 0)
        return batch | {"audio": audio, "known": known, "arrival": arrival}

    def loss(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Batch]:
        logits, delay = self._pairs(inputs, generator)
        return functional.cross_entropy(logits, self._labels(delay), ignore_index=-1), {}

    def _pairs(self, inputs: Batch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Logits (n, lags) and true delays (n,) of the pairs among a few channels per example."""
        options, known = self.options, inputs["known"]
        batch, count = known.shape
        if generator is None:  # validation: the same channels for the same place in the batch
            generator = torch.Generator(known.device).manual_seed(batch)
        draw = torch.rand(known.shape, generator=generator, device=known.device)
        draw = draw.masked_fill(~known, 2)
        if not options.source_pairs:
            draw[:, 0] = 3
        group = min(options.group, count - 1)
        chosen = draw.argsort(1)[:, :group]
        if options.same_microphone:
            chosen = torch.randint(1, count, chosen.shape, generator=generator, device=known.device)
        audio = inputs["audio"][torch.arange(batch, device=known.device)[:, None], chosen]
        spectrum = self.network.spectra(audio.flatten(0, 1)).unflatten(0, chosen.shape)
        i, j = correlation.pair_index(group, known.device)
        ends = spectrum[:, i].flatten(0, 1), spectrum[:, j].flatten(0, 1)
        logits = self.network.score(correlation.whitened(*ends, self.stats.max_lag))
        arrival = inputs["arrival"].gather(1, chosen)
        usable = known.gather(1, chosen)
        delay = (arrival[:, i] - arrival[:, j]).masked_fill(~(usable[:, i] & usable[:, j]), 1e9)
        return logits, delay.flatten()

    def _labels(self, delay: Tensor) -> Tensor:
        """Class of each delay; -1 (not counted) where it lies beyond the largest lag."""
        max_lag = self.stats.max_lag
        shifted = delay + max_lag
        label = shifted.trunc() if self.options.truncate_label else shifted.round()
        return label.masked_fill((label < 0) | (label > 2 * max_lag), -1).long()

    def validate(self, inputs: Batch) -> Batch:
        logits, delay = self._pairs(inputs, None)
        labels, max_lag = self._labels(delay), self.stats.max_lag
        counted = labels >= 0
        error = (logits.argmax(-1) - max_lag - delay).abs()[counted]
        within = {f"within_{k}": (error <= k + 0.5).float().mean() for k in (1, 3)}
        return {
            "criterion": 1 - within["within_1"],
            "loss": functional.cross_entropy(logits, labels, ignore_index=-1),
            "mae_samples": error.clamp(max=max_lag).mean(),
            **within,
        }

    def fit(self, train: Frames, valid: Frames, run: Any) -> None:
        """As the base; the note on the training then compares the delays with GCC-PHAT's."""
        super().fit(train, valid, run)
        self.training_note["delays"] = self.compare(valid)

    def compare(self, frames: Frames, most: int = 200) -> dict[str, Any]:
        """Errors of the delays of NGCC-PHAT and GCC-PHAT over all pairs of evenly spaced frames."""
        index = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int))
        frames = frames.select(index)
        rate, speed = frames.sample_rate, frames.speed_of_sound
        truth = tdoa(frames.source_position, frames.mics(), rate, speed)
        errors: dict[str, list[np.ndarray]] = {"ngcc": [], "gcc": []}
        lag = int(delays.limits(frames, slice(None)).max()) + 2
        for block in blocks(len(frames), self.options.predict_batch, "delays"):
            limit = delays.limits(frames, block)
            plain = gcc.gcc_phat(frames.window(block), pairs(frames.n_mics), lag, sample_rate=rate)
            learned = pair_scores(self.network, frames, block)
            for name, scores in (("ngcc", learned), ("gcc", plain)):
                delay = gcc.find_peaks(scores, limit, 1)[0][..., 0]
                errors[name].append(np.abs(delay - truth[block]))
        metrics: dict[str, Any] = {"pairs": int(truth.size)}
        for name, parts in errors.items():
            error = np.minimum(np.nan_to_num(np.concatenate(parts), nan=1e9), 629)
            metrics[name] = {f"within_{k}": float((error <= k).mean()) for k in (1, 3)}
            metrics[name]["mae_samples"] = float(error.mean())
        return metrics

    def refusal(self, frames: Frames, setup: Setup) -> str | None:
        return f"{self.name} measures delays and no positions; multilat_ngcc does with its model"


def pair_scores(network: NGCC, frames: Frames, block: slice, limited: bool = False) -> np.ndarray:
    """Scores (B, P, 2 K + 1) of all lags of all pairs i < j; NaN where a signal is missing.

    K is the largest lag of these microphones. limited: only the lags that the distance of each
    pair allows, and zero beyond.
    """
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        audio = torch.from_numpy(frames.window(block).astype(np.float32)).to(device)
        known = torch.isfinite(audio).all(-1)
        audio = standardise(audio).masked_fill(~known[..., None], 0)
        lag = int(delays.limits(frames, slice(None)).max()) + 2
        limits = None
        if limited:  # and one beyond, for the parabola through a peak
            limits = (delays.limits(frames, block).max(axis=0) + 1).astype(int).tolist()
        logits = network.all_pairs(audio, lag, directions=1, limits=limits)
        i, j = correlation.pair_index(audio.shape[1], device)
        logits[~(known[:, i] & known[:, j])] = float("nan")
    return logits.float().cpu().numpy()


class PairCorrelations(Component):
    """Features of pairs for other networks, by kind: ``ngcc`` (frozen network of a model of this
    module), ``gcc`` (GCC-PHAT) or ``none``.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self.pretrained, self.fixes_lags = kind == "ngcc", kind != "none"
        self.ngcc: NGCC | None = None

    def begin_with(self, folder: str | Path) -> None:
        self.ngcc = Method.load(folder).network.requires_grad_(False)

    def start_from(self, started: PairCorrelations) -> None:
        """The model brings the NGCC-PHAT that its weights were trained with."""
        self.ngcc = started.ngcc

    def prepare(self, method: LearnedMethod[Any]) -> None:
        if self.pretrained and self.ngcc is None:
            raise InputError(
                f"method '{method.name}' needs a trained NGCC-PHAT; give --pretrained FOLDER"
            )

    def parts(self) -> dict[str, nn.Module]:
        return {} if self.ngcc is None else {"ngcc": self.ngcc}

    def sizes(self) -> dict[str, Any]:
        return {} if self.ngcc is None else {"ngcc": self.ngcc.sizes}

    def restore(self, sizes: Mapping[str, Any], where: str) -> None:
        if "ngcc" in sizes:
            self.ngcc = NGCC(**sizes["ngcc"]).requires_grad_(False)

    def feature(self, max_lag: int) -> Feature:
        """Correlations of the signals that are there, as `masking.present_signals` says."""

        def compute(audio: Tensor, _: Batch) -> Tensor:
            return self(masking.present_signals(audio)[0], max_lag)

        return Feature("gcc", lambda: [self.kind, max_lag, of_network(self.ngcc)], compute)

    def __call__(self, sound: Tensor, max_lag: int) -> Tensor:
        """sound (B, K, N), standardised -> (B, K (K - 1), 2 max_lag + 1)."""
        if self.ngcc is None:
            return correlation.gcc_features(sound, max_lag)
        return self.ngcc.eval().all_pairs(sound, max_lag)
