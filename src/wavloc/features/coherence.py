"""Coherence: how much two microphones record the same sound, per pair and frame; pair weights.

The adaptive signal coherence metric of Yang et al. 2025 is published as an idea only; `adaptive` is
our definition. It first aligns the two signals by the measured delay: delays are longer than the
segments of the spectra, and unaligned segments have little in common. Positions are not used, so
wrong or hidden ones change nothing.
"""

from collections import defaultdict

import torch
from torch import Tensor

from wavloc.features.gcc_torch import pair_index

KINDS = ("adaptive", "magnitude_squared", "phase", "none")
SEGMENT, HOP = 256, 128  # samples
BAND_HZ = (100.0, 7000.0)
SILENCE = 1e-8  # power below which a signal is silent
FLOOR = 1e-3  # keeps a little weight for incoherent pairs
CHUNK = defaultdict(lambda: 16_384, cpu=256)  # pairs treated at once


def delays(gcc: Tensor) -> Tensor:
    """Delays (B, P) of pairs i < j in samples from ``gcc`` (B, 2 P, 2 K + 1) of both directions.

    The lag at which the sum of the two directions is highest. Those of NGCC-PHAT do not mirror
    each other, and one alone would depend on the order of the microphones.
    """
    both = gcc[:, ::2] + gcc[:, 1::2].flip(-1)
    return both.argmax(-1) - gcc.shape[-1] // 2


@torch.no_grad()
def coherence(audio: Tensor, delay: Tensor, kind: str = "adaptive", rate: int = 16_000) -> Tensor:
    """Coherence (B, P), from 0 to 1, of all pairs i < j of audio (B, K, N), by Welch's method.

    delay (B, P): whole samples that i hears later than j; it shortens the common part.
    ``adaptive``: mean magnitude-squared coherence of the aligned signals, corrected for that of
    independent noise in as many segments; ``phase``: the same of unit phasors;
    ``magnitude_squared``: without alignment and correction; ``none``: 1. Silence has coherence 0.
    """
    batch, count, samples = audio.shape
    power = audio.square().mean(-1)
    i, j = pair_index(count, audio.device)
    if kind == "none":
        return torch.ones(batch, len(i), device=audio.device)
    aligned = kind != "magnitude_squared"
    shift = (delay if aligned else torch.zeros_like(delay)).clamp(-samples, samples).flatten()
    sound = (audio / power.clamp(min=SILENCE).sqrt()[..., None]).flatten(0, 1)
    frame = torch.arange(batch, device=audio.device)[:, None] * count
    first, second = (frame + i).flatten(), (frame + j).flatten()
    size = CHUNK[audio.device.type]
    value = torch.cat(
        [
            _welch(sound[a], sound[b], lag, kind == "phase", aligned, rate)
            for a, b, lag in zip(
                first.split(size), second.split(size), shift.split(size), strict=True
            )
        ]
    ).view(batch, len(i))
    sounding = power > SILENCE
    return value * (sounding[:, i] & sounding[:, j])


def _welch(
    first: Tensor, second: Tensor, lag: Tensor, phase: bool, corrected: bool, rate: int
) -> Tensor:
    """Coherence (n,) of signals (n, N), the first ``lag`` (n,) samples late."""
    samples = first.shape[-1]
    window = torch.hann_window(SEGMENT, device=first.device)
    place = torch.arange(samples, device=first.device)

    def spectra(signal: Tensor, start: Tensor) -> Tensor:
        index = (start.clamp(min=0)[:, None] + place).clamp(max=samples - 1)
        return torch.fft.rfft(signal.gather(1, index).unfold(-1, SEGMENT, HOP) * window)

    x, y = spectra(first, lag), spectra(second, -lag)
    common = (samples - lag.abs() - SEGMENT).div(HOP, rounding_mode="floor") + 1
    inside = torch.arange(x.shape[1], device=first.device) < common[:, None]
    low, high = (round(hz * SEGMENT / rate) for hz in BAND_HZ)
    x, y = (part[..., low : high + 1] * inside[..., None] for part in (x, y))
    cross = x * y.conj()
    number = common.clamp(min=1)
    if phase:
        unit = cross / cross.abs().clamp(min=1e-12)
        value = (unit.sum(1).abs() / number[:, None]).square()
    else:
        level = x.abs().square().sum(1) * y.abs().square().sum(1)
        value = cross.sum(1).abs().square() / level.clamp(min=1e-20)
    value = value.mean(-1)
    if corrected:
        chance = 1 / number  # of independent noise
        value = (value - chance) / (1 - chance).clamp(min=1e-6)
    return torch.where(common > 1, value, 0).clamp(0, 1)


def weights(coherence: Tensor, counted: Tensor, alpha: float | Tensor = 1.0) -> Tensor:
    """Weights of pairs (B, P): coherence to the power ``alpha``, with mean 1 over counted pairs."""
    raised = (coherence + FLOOR) ** alpha
    number = counted.sum(1, keepdim=True).clamp(min=1)
    return raised * number / (raised * counted).sum(1, keepdim=True).clamp(min=FLOOR)
