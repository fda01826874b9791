"""Random noise, gains, shifts and mirror images for training, batched on the training device."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

COLOUR = 2.0  # coloured noise: exponent of the amplitude spectrum, uniform in +- this


def shifted(
    sound: Tensor,
    samples: int,
    most: int,
    generator: torch.Generator | None,
    rows: Sequence[int] | None = None,
) -> Tensor:
    """Cut ``samples`` out of some stored frames (F, C, L): (B, C, samples) float32.

    Each frame is shifted by its own draw, uniform in +- ``most`` samples as far as the stored
    margin allows and the same for all its channels. Without a generator nothing is shifted. rows:
    which frames, all if None.
    """
    centre = (sound.shape[-1] - samples) // 2
    reach = min(most, centre)
    rows = range(len(sound)) if rows is None else rows
    starts = [centre] * len(rows)
    if generator is not None and reach:
        size, ends = (len(rows),), (centre - reach, centre + reach + 1)
        draw = torch.randint(*ends, size, generator=generator, device=sound.device)
        starts = draw.tolist()
    out = sound.new_empty(len(rows), sound.shape[1], samples, dtype=torch.float32)
    for place, (row, start) in enumerate(zip(rows, starts, strict=True)):
        out[place] = sound[row, :, start : start + samples]  # views: no index for every sample
    return out


def uncalibrated(sound: Tensor, jitter_db: float, generator: torch.Generator) -> Tensor:
    """Sound (B, C, N) with a gain of its own for each channel, uniform in +- ``jitter_db``."""
    draw = torch.rand((*sound.shape[:-1], 1), generator=generator, device=sound.device)
    return sound * 10 ** (jitter_db * (2 * draw - 1) / 20)


def noise(
    shape: tuple[int, ...], colour: str, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Noise (B, C, N) of unit power: ``white``, or ``coloured`` with a random slope per channel."""
    white = torch.randn(shape, generator=generator, device=device)
    if colour == "white":
        return white
    spectrum = torch.fft.rfft(white)
    slope = torch.rand((*shape[:-1], 1), generator=generator, device=device) * 2 * COLOUR - COLOUR
    ramp = torch.linspace(1, (shape[-1] / 2) ** 0.5, spectrum.shape[-1], device=device)
    coloured = torch.fft.irfft(spectrum * ramp**-slope, shape[-1])
    return coloured / coloured.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-12)


def noisy(
    clean: Tensor,
    snr_db: tuple[float, float],
    generator: torch.Generator,
    colour: str = "white",
) -> Tensor:
    """Add noise to (B, C, N); the SNR of each channel is uniform in ``snr_db`` (low, high).

    The SNR refers to the power of the channel in its frame. Missing (NaN) channels stay NaN.
    """
    low, high = snr_db
    draw = torch.rand((*clean.shape[:-1], 1), generator=generator, device=clean.device)
    level = clean.square().mean(-1, keepdim=True).sqrt() * 10 ** (-(low + (high - low) * draw) / 20)
    return torch.addcmul(clean, level, noise(tuple(clean.shape), colour, generator, clean.device))


def mirrored(
    places: Mapping[str, Tensor], centre: Sequence[float], generator: torch.Generator
) -> dict[str, Tensor]:
    """Mirror images of named positions (B, ..., 3) in rooms of square plan.

    In each frame x, y and the diagonal of both are mirrored or not, each by its own draw, about
    the vertical line through ``centre``: the eight images of a square. No distance changes.
    """
    first = next(iter(places.values()))
    draw = torch.rand((len(first), 3), generator=generator, device=first.device) < 0.5
    matrix = first.new_zeros(len(first), 3, 3)
    signs, kept = 1 - 2 * draw[:, :2].to(first.dtype), (~draw[:, 2]).to(first.dtype)
    matrix[:, [0, 1], [0, 1]] = signs * kept[:, None]
    matrix[:, [0, 1], [1, 0]] = signs * (1 - kept)[:, None]
    matrix[:, 2, 2] = 1
    middle = first.new_tensor(centre)
    return {
        name: (place.reshape(len(place), -1, 3) - middle).matmul(matrix).add(middle).view_as(place)
        for name, place in places.items()
    }
