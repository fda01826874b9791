"""NGCC-PHAT (Berg et al. 2022): a learned filter bank before GCC-PHAT and a network after it.

Each signal passes a circular convolutional backbone (parametrised band-pass filters, then three
convolutions); every channel pair is correlated with PHAT weighting; a small convolutional head
along the lag axis gives one score (logit) per integer lag. Nothing depends on the largest lag K, so
one set of weights serves any K. Signs and the order of pairs: `wavloc.features.gcc_torch`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavloc.features import gcc_torch as correlation
from wavloc.features import memory

SLOPE = 0.2  # of all leaky rectifiers
LOWEST_HZ, NARROWEST_HZ = 50.0, 50.0
# Correlation rows (pairs times channels) treated at once on a CPU: its cache.
CPU_ROWS = 512
# Bytes per sample: of a row while it is made, and of a channel's spectrum.
ROW_BYTES, SPECTRUM_BYTES = 32, 24
MOST_ELEMENTS = 2**31 - 1  # of a tensor whose places are counted in 32 bits


class SincBank(nn.Module):
    """Band-pass filters with two learnable numbers each: lower edge and width, in Hz.

    The left half of each filter is windowed and mirrored; its centre is 1 (SincNet's form).
    """

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
        """Circular correlation with every filter: (B, N) -> (B, channels, N), through the FFT.

        gain (channels,) multiplies the filters.
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


def _activate(signal: Tensor) -> Tensor:
    return functional.leaky_relu(signal, SLOPE)


def _folded(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution followed by a batch norm in eval mode."""
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = (conv.bias - norm.running_mean) * gain + norm.bias
    return conv.weight * gain[:, None, None], bias


def _scored(rows: Tensor, head: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Logits (B, 2 K + 1) of rows (B, channels, 2 K + 1), in eval mode."""
    for weight, bias in head[:-1]:
        rows = functional.conv1d(rows, weight, bias, padding=weight.shape[-1] // 2)
        rows = functional.leaky_relu_(rows, SLOPE)
    weight, bias = head[-1]
    return functional.conv1d(rows, weight, bias, padding=weight.shape[-1] // 2)[:, 0]


class NGCC(nn.Module):
    """The network; published sizes are the defaults (888,193 parameters)."""

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
            "channels": channels,
            "taps": taps,
            "kernels": kernels,
            "final_kernel": final_kernel,
            "dropout": dropout,
            "sample_rate": sample_rate,
        }
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
        """Backbone: (B, N) -> (B, channels, N). Circular shifts in, circular shifts out."""
        last = len(self.backbone) - 1
        if self.training:
            hidden = _activate(self.backbone_norms[0](self.bank(signal)))
        else:
            norm = self.backbone_norms[0]
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            shift = norm.bias - norm.running_mean * gain
            hidden = _activate(self.bank(signal, gain) + shift[:, None])
        for index, conv in enumerate(self.backbone):
            pad = conv.kernel_size[0] // 2
            padded = functional.pad(hidden, (pad, pad), mode="circular")
            norm = self.backbone_norms[1 + index]
            if self.training:
                hidden = norm(conv(padded))
            else:
                hidden = functional.conv1d(padded, *_folded(conv, norm))
            hidden = hidden if index == last else _activate(hidden)
        return hidden

    def score(self, rows: Tensor) -> Tensor:
        """Head: correlation rows (B, channels, 2 K + 1) -> logits (B, 2 K + 1)."""
        if not self.training:
            return _scored(rows, self._head())
        hidden = rows
        for conv, norm in zip(self.head, self.head_norms, strict=True):
            hidden = self.dropout(_activate(norm(conv(hidden))))
        return self.final(hidden)[:, 0]

    def _head(self, reverse: bool = False) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases of the head in eval mode; reverse: for rows reversed in lag.

        The head's kernels are not symmetric, so reversing its output would be another function;
        running it with reversed kernels and reversing the one output row is the same function and
        saves a copy of all channels.
        """
        found = [_folded(*layer) for layer in zip(self.head, self.head_norms, strict=True)]
        found.append((self.final.weight, self.final.bias))
        return [(weight.flip(-1), bias) for weight, bias in found] if reverse else found

    def spectra(self, signal: Tensor) -> Tensor:
        """Zero-padded spectra of the embedded signal: (B, N) -> (B, channels, N + 1) complex."""
        return torch.fft.rfft(self.embed(signal).float(), 2 * signal.shape[-1])

    def forward(self, first: Tensor, second: Tensor, max_lag: int) -> Tensor:
        """Logits (B, 2 max_lag + 1) of pairs of signals (B, N)."""
        spectrum = self.spectra(torch.cat([first, second]))
        return self.score(correlation.whitened(*spectrum.chunk(2), max_lag))

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

        The backbone runs once per microphone; signals go through it, and pairs through correlation
        and head, ``chunk`` at a time, so that memory does not grow with K squared and a chunk fits
        the cache of a CPU or the free memory of a GPU, where many frames are taken in parts too.
        directions 1 leaves out the reversed pairs. limits (P,): lags of each pair that are wanted;
        those beyond are zero, and cost nothing.
        """
        if self.training:
            raise RuntimeError("features are computed in eval mode; call eval() first")
        batch, count, samples = audio.shape
        channels, device = self.bank.low_hz.shape[0], audio.device
        each = SPECTRUM_BYTES * count * channels * samples
        frames = memory.fitting(device, each, batch, batch)
        if frames < batch:
            parts = [
                self.all_pairs(part, max_lag, directions, chunk, limits)
                for part in audio.split(frames)
            ]
            return torch.cat(parts)
        most = MOST_ELEMENTS // (2 * samples * channels)
        fitting = memory.fitting(device, ROW_BYTES * samples * channels, most, CPU_ROWS // channels)
        chunk = chunk or fitting
        parts = audio.reshape(batch * count, samples).split(chunk)
        spectrum = torch.cat([self.spectra(part) for part in parts])
        spectrum = spectrum.reshape(batch, count, *spectrum.shape[1:])
        magnitude = correlation.magnitude(spectrum)
        heads = [self._head(), self._head(reverse=True)][:directions]
        out = audio.new_zeros(batch, count * (count - 1) // 2, directions, 2 * max_lag + 1)
        number = correlation.pair_numbers(count)
        together = None if limits is None else 1  # every pair has its own width
        for block in correlation.pair_blocks(batch, count, chunk, device, together):
            kept = max_lag
            if limits is not None:
                kept = min(max_lag, int(limits[number[block.first.start][block.second]]))
            width = min(max_lag, kept + self.reach)
            rows = correlation.whitened_block(spectrum, block, magnitude, width)
            inner = slice(max_lag - kept, max_lag + kept + 1)
            for direction, head in enumerate(heads):
                logits = _scored(rows.flatten(0, 1), head).unflatten(0, rows.shape[:2])
                logits = logits.flip(-1) if direction else logits
                logits = logits[..., width - kept : width + kept + 1].to(out.dtype)
                out[block.frames, block.place, direction, inner] = logits
        return out.reshape(batch, -1, 2 * max_lag + 1)

    @property
    def reach(self) -> int:
        """Lags to each side that a score of the head depends on."""
        return sum(conv.kernel_size[0] // 2 for conv in [*self.head, self.final])
