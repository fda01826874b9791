"""Mel spectrograms as the pre-trained encoders were trained on; 16 kHz, batched.

One bank of triangles serves all of them; they differ in the mel scale, in whether the sides of the
triangles are straight in hertz or in mel, and in how a triangle is scaled.
"""

import functools
import math

import torch
from torch import Tensor

RATE = 16_000


def triangles(edges: Tensor, grid: Tensor) -> Tensor:
    """Overlapping triangles of height 1 between edges (bands + 2), at points of grid (bins)."""
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (grid[:, None] - left) / (centre - left)
    fall = (right - grid[:, None]) / (right - centre)
    return torch.minimum(rise, fall).clamp(min=0)


def _grid(size: int, upto: float = RATE / 2) -> Tensor:
    """Frequencies in Hz of the bins of a transform, continued up to ``upto``."""
    return torch.arange(int(upto * size / RATE) + 1, dtype=torch.float64) * RATE / size


def _mel(hz: Tensor | float) -> Tensor:
    """The mel scale of HTK and Kaldi."""
    return 1127 * torch.log1p(torch.as_tensor(hz, dtype=torch.float64) / 700)


def _power(signal: Tensor, window: Tensor, size: int, hop: int) -> Tensor:
    """Power spectrogram (B, T, bins), frames centred, the signal reflected at its ends."""
    spectrum = torch.stft(signal, size, hop, len(window), window, return_complex=True)
    return spectrum.abs().square().transpose(1, 2)


@functools.cache
def _kaldi_bank(bands: int) -> Tensor:
    edges = torch.linspace(float(_mel(20.0)), float(_mel(RATE / 2)), bands + 2, dtype=torch.float64)
    return triangles(edges, _mel(_grid(512)[:-1])).float()  # Kaldi leaves the last bin out


def kaldi_log_mel(signal: Tensor, bands: int) -> Tensor:
    """Log mel spectrum as Kaldi computes it (25 ms every 10 ms): (B, N) -> (B, T, bands).

    Frames lie wholly inside the signal; each loses its mean, is pre-emphasised (0.97) and gets
    Povey's window.
    """
    frames = signal.unfold(-1, 400, 160)
    frames = frames - frames.mean(-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    window = torch.hann_window(400, periodic=False, device=signal.device) ** 0.85
    power = torch.fft.rfft((frames - 0.97 * before) * window, 512).abs().square()
    bank = _kaldi_bank(bands).to(signal.device)
    return (power[..., :-1] @ bank).clamp(min=torch.finfo(torch.float32).eps).log()


@functools.cache
def _sound_effects_bank() -> Tensor:
    edges = torch.linspace(0, float(_mel(22_050.0)), 98, dtype=torch.float64)
    bank = triangles(edges, _mel(_grid(1024, 22_050.0)))
    bank = bank / bank.sum(0).clamp(min=1e-12)  # each band sums to 1 over all its bins
    return bank[: 1024 // 2 + 1].float()  # bands above 8 kHz stay empty


def sound_effects_mel(signal: Tensor, hop: int = 186) -> Tensor:
    """Input of the sound-effects network, without resampling to its 44.1 kHz: (B, T, 96).

    The window is as long in seconds, and the power is scaled as by the longer transform there.
    """
    peak = signal.abs().amax(-1, keepdim=True).clamp(min=1e-8)
    window = torch.hann_window(743, device=signal.device)
    power = _power(signal / peak, window, 1024, hop) * (2048 / 743) ** 2
    return torch.log10(1 + 1e4 * power @ _sound_effects_bank().to(signal.device)) / 9.457799


@functools.cache
def _slaney_bank() -> Tensor:
    """40 bands to 8 kHz, linear below 1 kHz and logarithmic above; each of area 1 in Hz."""
    step, knee = 200 / 3, 15.0  # Hz per mel below 1 kHz, mel at 1 kHz
    growth = math.log(6.4) / 27
    mel = torch.linspace(0, knee + math.log(8) / growth, 42, dtype=torch.float64)
    hz = torch.where(mel < knee, mel * step, 1000 * torch.exp(growth * (mel - knee)))
    return (triangles(hz, _grid(400)) * 2 / (hz[2:] - hz[:-2])).float()


def slaney_mel(signal: Tensor) -> Tensor:
    """Mel power spectrogram, 25 ms every 10 ms: (B, N) -> (B, T, 40)."""
    window = torch.hann_window(400, device=signal.device)
    return _power(signal, window, 400, 160) @ _slaney_bank().to(signal.device)
