"""GCC-PHAT of all microphone pairs as the networks see it: torch, batched, on any device.

Lags run from -K to K; index K + t of a pair (i, j) says that microphone i hears t samples later.
Ordered pairs stand as (0, 1), (1, 0), (0, 2), (2, 0), ...: each pair i < j in lexicographic order,
then its reverse.
"""

from __future__ import annotations

import torch

PHAT_EPS = 1e-3  # added to the magnitude, as the public NGCC-PHAT code does


def pair_index(count: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Pairs i < j in lexicographic order: (2, P)."""
    return torch.triu_indices(count, count, 1, device=device)


def ordered_pairs(count: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Pairs in both directions, in the order of this module: (2, 2 P)."""
    pair = pair_index(count, device)
    return torch.stack([pair, pair.flip(0)], dim=-1).flatten(1)


def both_directions(forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
    """Interleave rows of (i, j) and (j, i): two (B, P, ...) -> (B, 2 P, ...)."""
    return torch.stack([forward, backward], dim=2).flatten(1, 2)


def lags(spectrum: torch.Tensor, max_lag: int) -> torch.Tensor:
    """Inverse transform of cross-spectra (..., n / 2 + 1) at lags -K .. K: (..., 2 K + 1)."""
    size = 2 * (spectrum.shape[-1] - 1)
    row = torch.fft.irfft(spectrum, size)
    reach = min(max_lag, size // 2)
    return torch.cat([row[..., size - reach :], row[..., : reach + 1]], dim=-1)


def whitened(
    first: torch.Tensor, second: torch.Tensor, max_lag: int, eps: float = PHAT_EPS
) -> torch.Tensor:
    """PHAT correlation of two spectra (..., n / 2 + 1) at lags -K .. K: (..., 2 K + 1)."""
    cross = first * second.conj()
    return lags(cross / (cross.abs() + eps), max_lag)


def gcc_phat(
    audio: torch.Tensor, max_lag: int, eps: float = PHAT_EPS, zero_pad: bool = True
) -> torch.Tensor:
    """GCC-PHAT of all pairs i < j: audio (B, K, N) -> (B, P, 2 max_lag + 1).

    zero_pad: linear correlation (transform of 2 N), else circular.
    """
    spectrum = torch.fft.rfft(audio, audio.shape[-1] * (2 if zero_pad else 1))
    first, second = pair_index(audio.shape[1], audio.device)
    return whitened(spectrum[:, first], spectrum[:, second], max_lag, eps)


def gcc_features(audio: torch.Tensor, max_lag: int) -> torch.Tensor:
    """GCC-PHAT of all ordered pairs: audio (B, K, N) -> (B, K (K - 1), 2 max_lag + 1)."""
    forward = gcc_phat(audio, max_lag)
    return both_directions(forward, forward.flip(-1))
