"""Image-source impulse responses by the phase grid: equal to pyroomacoustics, but batched; torch.

The reference engine adds an 81-tap pulse for every image, from a table of pulses 1/20 of a sample
apart between which it interpolates. As that is linear, it is enough to add each image to a grid of
times 1/20 of a sample apart (two cells share its amplitude) and to put the pulses in afterwards,
once for all images. What remains per image is a square root, a division and two sums.

Images are counted by (p1, p2, p3): p is the number of reflections on an axis, its sign says at
which wall they begin. Squared distances are sums of three numbers, one per axis, so an image costs
nothing more of the geometry (Allen and Berkley 1979).
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from wavloc.simulation.rooms import DELAY, TAPS

STEPS = 20  # times per sample at which the reference engine tabulates its pulse
CELLS = STEPS + 1  # of one sample: a pulse at its end and one at the next start differ in window
SHAPES = 7  # that span the pulses of a sample, to 6e-7
BLOCK = 40  # samples of the grid that become sound together
# Elements in flight: few enough for the cache of a CPU, enough to keep a GPU busy.
IN_FLIGHT = {"cpu": 2**16, "cuda": 2**25}
GRID = {"cpu": 2**22, "cuda": 2**30}  # cells in flight
# A GPU adds in any order: there cells are integers, whose sum does not depend on it.
CELL_TYPE = {"cpu": torch.float32, "cuda": torch.int64}
FIXED_POINT = 2.0**40  # of integer cells


def impulse_responses(
    room: np.ndarray,
    mics: Tensor,
    source: Tensor,
    absorption: Tensor,
    order: Tensor,
    sample_rate: int,
    speed: float,
    length: int | None = None,
) -> Tensor:
    """Responses (B, M, T) of B sources in one room, each with its own walls; delay still in.

    room (3,), mics (B, M, 3), source (B, 3) in metres; absorption of energy at each reflection,
    (B,) or by wall (B, 3, 2), lower coordinate first; order (B,) most reflections of an image; all on one device. Amplitudes are
    1 / distance times the reflections. T depends on the room and the highest order only, or it is
    the length, and most of what would be heard later costs nothing.
    """
    scale = STEPS * sample_rate / speed
    highest = int(order.max())
    if length is not None:
        # Along an axis an image of p reflections is p - 1 sides away or more.
        farthest = length * speed / sample_rate
        highest = min(highest, int(farthest * math.hypot(*(1 / room))) + 3)
    blocks = _blocks(room, highest, sample_rate / speed, length)
    hits = torch.arange(highest + 1, device=mics.device)
    reflection = (1 - absorption.double()).clamp(min=0).sqrt()
    walls = None
    if absorption.ndim == 3:
        walls = _wall_factors(reflection, highest)
        reflection = torch.ones_like(reflection[:, 0, 0])
    strength = (scale * reflection[:, None] ** hits).where(hits <= order[:, None], 0).float()

    def heard_at(some: Tensor) -> Tensor:
        squares = [
            _squared_offsets(axis, room, some, source, highest).mul_(scale**2) for axis in range(3)
        ]
        size = (*some.shape[:2], blocks * BLOCK * CELLS)
        grid = torch.zeros(size, dtype=CELL_TYPE[some.device.type], device=some.device)
        _add_images(grid, squares, strength, walls)
        if not grid.is_floating_point():
            grid = grid.double().div_(FIXED_POINT).float()
        return _pulses_at(grid)[..., :length]

    cells = mics.shape[0] * mics.shape[1] * blocks * BLOCK * CELLS
    parts = mics.chunk(math.ceil(cells / GRID[mics.device.type]), dim=1)
    return torch.cat([heard_at(part) for part in parts], dim=1)


def largest_batch(
    room: np.ndarray,
    mics: int,
    order: int,
    sample_rate: int,
    speed: float,
    length: int | None = None,
    device: str = "cpu",
) -> int:
    """How many sources `impulse_responses` should be given at once: memory, and a CPU's cache."""
    cells = _blocks(room, order, sample_rate / speed, length) * BLOCK * CELLS
    return max(1, GRID[device] // (mics * cells))


def convolve(response: Tensor, dry: Tensor) -> Tensor:
    """Sound (B, M, S) at the microphones: responses (B, M, T) to dry sound (B, T - 1 + S).

    Sample n of the result is heard when dry sample T - 1 + n sounds, the delay still in.
    """
    size = fast_length(dry.shape[-1])
    spectrum = torch.fft.rfft(response, size) * torch.fft.rfft(dry, size)[:, None]
    # Wrap-around of the short transform falls on the samples that are discarded here.
    return torch.fft.irfft(spectrum, size)[..., response.shape[-1] - 1 : dry.shape[-1]]


@functools.cache
def fast_length(least: int) -> int:
    """Smallest length from ``least`` on that transforms of real signals do fast."""
    import scipy.fft

    return scipy.fft.next_fast_len(least, real=True)


def _blocks(room: np.ndarray, order: int, samples_per_m: float, length: int | None) -> int:
    """Blocks of the grid: up to the last image, or the length and a block for what is later."""
    if length is not None:
        return math.ceil(length / BLOCK) + 1
    farthest = order * float(room.max()) + math.hypot(*room)
    return math.ceil((farthest * samples_per_m + 2) / BLOCK)


def _squared_offsets(
    axis: int, room: np.ndarray, mics: Tensor, source: Tensor, order: int
) -> Tensor:
    """(B, M, 2 order + 1) squares of image minus microphone along one axis, p = -order..order."""
    index = torch.arange(-order, order + 1, device=mics.device)
    side, at = float(room[axis]), source[:, axis, None].double()
    image = index * side + torch.where(index % 2 == 0, at, side - at)
    return (image[:, None] - mics[..., axis, None].double()).square()


def _wall_factors(reflection: Tensor, highest: int) -> list[Tensor]:
    """Factor of each image by axis, p = -highest..highest: three (B, 2 highest + 1).

    reflection (B, 3, 2): amplitude at the lower and the upper wall. Reflections alternate between
    the two walls of an axis; those of p > 0 begin at the upper one.
    """
    index = torch.arange(-highest, highest + 1, device=reflection.device)
    begun, other = (index.abs() + 1) // 2, index.abs() // 2
    lower, upper = torch.where(index > 0, other, begun), torch.where(index > 0, begun, other)
    factors = reflection[..., :1] ** lower * reflection[..., 1:] ** upper  # (B, 3, images)
    return list(factors.float().unbind(1))


def _add_images(
    grid: Tensor, squares: list[Tensor], strength: Tensor, walls: list[Tensor] | None = None
) -> None:
    """Add every image to the grid (B, M, cells), whose unit of time is 1/20 of a sample.

    squares: per axis (B, M, 2 N + 1); strength (B, N + 1) by number of reflections, 0 = no image;
    walls: further factors per axis (B, 2 N + 1).
    The images of one pair (p1, p2) are a row; rows of equal length are taken together.
    """
    batch, count, _ = grid.shape
    flat = grid.view(batch * count, -1)
    first, second = flat[:, :-1], flat[:, 1:]
    last = flat.shape[1] // CELLS * STEPS - 1
    x, y, z = squares
    highest = strength.shape[1] - 1
    z = z.float()
    for p1, p2, hits in _rows(highest, grid.device):
        most = max(1, IN_FLIGHT[grid.device.type] // (batch * count * len(hits)))
        inner = len(hits) // 2
        row = z[:, :, None, highest - inner : highest + inner + 1]
        loud = strength.index_select(1, hits)[:, None, None]
        for some1, some2 in zip(p1.split(most), p2.split(most), strict=True):
            pair = x.index_select(2, some1) + y.index_select(2, some2)
            time = (pair.float()[..., None] + row).sqrt_()
            time.clamp_(max=last)  # whatever is later goes where nobody listens
            amplitude = loud / time
            if walls:
                along = walls[2][:, None, highest - inner : highest + inner + 1]
                across = walls[0].index_select(1, some1) * walls[1].index_select(1, some2)
                amplitude = amplitude * (across[..., None] * along)[:, None]
            step = time.floor()
            late = time.sub_(step).mul_(amplitude)  # share of the later cell
            # As the sample's last time has a cell of its own, each sample moves cells by one.
            cell = (step * (1 / STEPS)).floor_().add_(step).long().view(batch * count, -1)
            early = amplitude.sub_(late)
            if not grid.is_floating_point():
                early, late = (part.mul_(FIXED_POINT).long() for part in (early, late))
            first.scatter_add_(1, cell, early.view(batch * count, -1))
            second.scatter_add_(1, cell, late.view(batch * count, -1))


@functools.lru_cache(maxsize=64)
def _rows(highest: int, device: torch.device) -> list[tuple[Tensor, Tensor, Tensor]]:
    """All images up to an order as rows of equal length, all p3 of a pair (p1, p2).

    Places of p1 and of p2 in tables that begin at -highest, and number of reflections along a row.
    """
    rows = []
    for level in range(highest + 1):  # |p1| + |p2|
        p1 = torch.arange(-level, level + 1, device=device)
        p2 = level - p1.abs()
        twice = p2 > 0
        p1, p2 = torch.cat([p1, p1[twice]]), torch.cat([p2, -p2[twice]])
        p3 = torch.arange(level - highest, highest - level + 1, device=device)
        rows.append((p1 + highest, p2 + highest, level + p3.abs()))
    return rows


def _pulses_at(grid: Tensor) -> Tensor:
    """Sound (B, M, T) of a grid (B, M, cells): every cell becomes its pulse, a sinc under a Hann
    window.

    The pulses of a sample are so alike that `SHAPES` functions span them to single precision, so
    cells are first turned into weights of these, then blocks of weights into sound.
    """
    batch, count = grid.shape[:2]
    mixture, table = _shapes(grid.device)
    weights = mixture @ grid.reshape(-1, CELLS).T  # (SHAPES, samples)
    blocks = weights.view(SHAPES, -1, BLOCK)
    sound = torch.addbmm(blocks.new_zeros(()), blocks, table, beta=0)
    sound = sound.view(batch, count, -1, BLOCK + TAPS - 1)
    response = sound.new_zeros(batch, count, sound.shape[2] + (TAPS - 1) // BLOCK, BLOCK)
    for shift, piece in enumerate(sound.split(BLOCK, dim=-1)):  # pulses reach into later blocks
        response[:, :, shift : shift + sound.shape[2]] += piece
    return response.flatten(2)


@functools.cache
def _shapes(device: torch.device) -> tuple[Tensor, Tensor]:
    """Pulses of the cells as mixtures (SHAPES, CELLS) of what spans them, which stand in a table
    (SHAPES, BLOCK, BLOCK + TAPS - 1) at each place of a block.
    """
    taps = torch.arange(TAPS, dtype=torch.float64)
    late = torch.arange(CELLS, dtype=torch.float64)[:, None] / STEPS
    window = torch.hann_window(TAPS, periodic=False, dtype=torch.float64)
    pulses = torch.special.sinc(taps - DELAY - late) * window  # (CELLS, TAPS)
    left, size, right = torch.linalg.svd(pulses, full_matrices=False)
    table = torch.zeros(SHAPES, BLOCK, BLOCK + TAPS - 1, dtype=torch.float64)
    for sample in range(BLOCK):
        table[:, sample, sample : sample + TAPS] = right[:SHAPES]
    mixture = (left * size).T[:SHAPES].contiguous()
    return mixture.float().to(device), table.float().to(device)
