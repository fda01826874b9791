"""GCC-PHAT of all pairs of microphones for networks: torch, batched, on any device.

Lags run from -K to K; index K + t of a pair (i, j) says that microphone i hears t samples later.
Ordered pairs stand as (0, 1), (1, 0), (0, 2), (2, 0), ...: each pair i < j in lexicographic order,
then its reverse.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import torch

# Pairs treated at once: what fits the cache of a CPU, or a gigabyte of a GPU.
CHUNK = defaultdict(lambda: 65_536, cpu=64)
TINY = 1e-30  # the root has a gradient where a spectrum is 0
PHAT_EPS = 1e-3  # added to the magnitude, as the public NGCC-PHAT code does


def pair_index(count: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Pairs i < j in lexicographic order: (2, P)."""
    return torch.triu_indices(count, count, 1, device=device)


def ordered_pairs(count: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Pairs in both directions, in the order of this module: (2, 2 P)."""
    pair = pair_index(count, device)
    return torch.stack([pair, pair.flip(0)], dim=-1).flatten(1)


def both_directions(forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
    """Interleave what belongs to (i, j) and (j, i): two (B, P, ...) -> (B, 2 P, ...)."""
    return torch.stack([forward, backward], dim=2).flatten(1, 2)


def lags(spectrum: torch.Tensor, max_lag: int) -> torch.Tensor:
    """Inverse transform of cross-spectra (..., n / 2 + 1) at lags -K .. K: (..., 2 K + 1)."""
    size = 2 * (spectrum.shape[-1] - 1)
    gcc = torch.fft.irfft(spectrum, size)
    reach = min(max_lag, size // 2)
    return torch.cat([gcc[..., size - reach :], gcc[..., : reach + 1]], dim=-1)


def whitened(
    first: torch.Tensor, second: torch.Tensor, max_lag: int, eps: float = PHAT_EPS
) -> torch.Tensor:
    """PHAT correlation of two spectra (..., n / 2 + 1) at lags -K .. K: (..., 2 K + 1)."""
    floor = magnitude(first) * magnitude(second) + eps  # of the cross-spectrum
    cross = torch.view_as_real(first * second.conj()) / floor[..., None]
    return lags(torch.view_as_complex(cross), max_lag)


def magnitude(spectrum: torch.Tensor) -> torch.Tensor:
    """Absolute value, without torch's guard against overflow, which takes four times as long."""
    parts = torch.view_as_real(spectrum)
    real, imaginary = parts[..., 0], parts[..., 1]
    return (real * real).addcmul_(imaginary, imaginary).add_(TINY).sqrt_()


def pair_numbers(count: int) -> list[list[int]]:
    """Place of a pair (i, j), i < j, in lexicographic order; 0 elsewhere: count lists of count."""
    number = torch.zeros(count, count, dtype=torch.long)
    i, j = pair_index(count)
    number[i, j] = torch.arange(len(i))
    return number.tolist()


class Block(NamedTuple):
    """Some pairs with a common second channel in some frames: views, nothing is gathered."""

    frames: slice
    first: slice
    second: int
    place: torch.Tensor  # of the pairs in lexicographic order


def pair_blocks(
    batch: int, count: int, size: int, device: torch.device, together: int | None = None
) -> Iterator[Block]:
    """All pairs i < j of all frames in blocks of at most ``size``, of ``together`` pairs each."""
    most = min(size, together or size)
    number = torch.tensor(pair_numbers(count), device=device)
    for second in range(1, count):
        for start in range(0, second, most):
            first = slice(start, min(start + most, second))
            frames = max(1, size // (first.stop - first.start))
            for frame in range(0, batch, frames):
                yield Block(slice(frame, frame + frames), first, second, number[first, second])


def whitened_block(
    spectrum: torch.Tensor,
    block: Block,
    magnitude: torch.Tensor,
    max_lag: int,
    eps: float = PHAT_EPS,
) -> torch.Tensor:
    """As `whitened`, without gradient, for pairs out of spectra (B, K, ..., n / 2 + 1) and their
    magnitude: (frames, pairs, ..., lags).
    """
    first, second = (block.frames, block.first), (block.frames, block.second, None)
    floor = (magnitude[first] * magnitude[second]).add_(eps)
    cross = spectrum[first] * spectrum[second].conj()
    # Complex times real is vectorised, complex divided by real is not.
    return lags(cross * floor.reciprocal_(), max_lag)


@torch.no_grad()
def gcc_phat(
    audio: torch.Tensor, max_lag: int, eps: float = PHAT_EPS, zero_pad: bool = True
) -> torch.Tensor:
    """GCC-PHAT of all pairs i < j: audio (B, K, N) -> (B, P, 2 max_lag + 1).

    zero_pad: linear correlation (transform of 2 N), else circular. Chunks that fit the cache are
    ten times faster on a CPU than all pairs at once.
    """
    batch, count, samples = audio.shape
    spectrum = torch.fft.rfft(audio, samples * (2 if zero_pad else 1))
    level = magnitude(spectrum)
    size = CHUNK[audio.device.type]
    out = audio.new_empty(batch, count * (count - 1) // 2, 2 * max_lag + 1)
    for block in pair_blocks(batch, count, size, audio.device):
        out[block.frames, block.place] = whitened_block(spectrum, block, level, max_lag, eps)
    return out


def gcc_features(audio: torch.Tensor, max_lag: int) -> torch.Tensor:
    """GCC-PHAT of all ordered pairs: audio (B, K, N) -> (B, K (K - 1), 2 max_lag + 1)."""
    forward = gcc_phat(audio, max_lag)
    return both_directions(forward, forward.flip(-1))
