"""The phase grid: image-source RIRs in batches, equal to those of pyroomacoustics.

The reference engine adds an 81-tap fractional-delay filter for every image; it interpolates
linearly between filters tabulated at delays 1/20 of a sample apart. Because this is linear, each
image can be added to a grid of times 1/20 of a sample apart, split between two neighbouring cells,
and the filters can be applied once afterwards, to the sum of all images. An image then costs one
square root, one division and two additions.

Images are indexed by (p1, p2, p3): |p| is the number of reflections along an axis, the sign of p
tells at which wall the first one is. The squared distance of an image is a sum of three terms, one
per axis, which are computed once for all images (Allen and Berkley 1979).
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from wavloc.simulation.rooms import DELAY, TAPS

STEPS = 20  # tabulated filter delays per sample, as in the reference engine
# Cells per sample: the last delay of a sample and the first of the next differ in their window.
CELLS = STEPS + 1
SHAPES = 7  # basis filters: they span the filters of all cells to 6e-7
BLOCK = 40  # samples of the grid that are filtered together
# Elements in flight: few enough for the cache of a CPU, enough to keep a GPU busy.
IN_FLIGHT = {"cpu": 2**16, "cuda": 2**25}
GRID = {"cpu": 2**22, "cuda": 2**30}  # cells in flight
# A GPU adds in any order; integer cells make the sum independent of it.
CELL_TYPE = {"cpu": torch.float32, "cuda": torch.int64}
FIXED_POINT = 2.0**40  # scale of the integer cells


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
    """RIRs (B, M, T) of B sources in one room, each with its own absorption, delayed by `DELAY`.

    room (3,), mics (B, M, 3), source (B, 3) in metres; absorption of energy per reflection, (B,) or
    by wall (B, 3, 2), the wall at the lower coordinate first; order (B,): largest number of
    reflections; all on one device. The amplitude of an image is 1 / distance times its reflection
    coefficients. T depends only on the room and the highest order, unless ``length`` is given: then
    T = length, and most later images are not computed.
    """
    scale = STEPS * sample_rate / speed
    highest = int(order.max())
    if length is not None:
        # An image with p reflections along an axis is at least p - 1 room sides away.
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

    def responses_at(part: Tensor) -> Tensor:
        squares = [
            _squared_offsets(axis, room, part, source, highest).mul_(scale**2) for axis in range(3)
        ]
        size = (*part.shape[:2], blocks * BLOCK * CELLS)
        grid = torch.zeros(size, dtype=CELL_TYPE[part.device.type], device=part.device)
        _add_images(grid, squares, strength, walls)
        if not grid.is_floating_point():
            grid = grid.double().div_(FIXED_POINT).float()
        return _apply_filters(grid)[..., :length]

    cells = mics.shape[0] * mics.shape[1] * blocks * BLOCK * CELLS
    parts = mics.chunk(math.ceil(cells / GRID[mics.device.type]), dim=1)
    return torch.cat([responses_at(part) for part in parts], dim=1)


def largest_batch(
    room: np.ndarray,
    mics: int,
    order: int,
    sample_rate: int,
    speed: float,
    length: int | None = None,
    device: str = "cpu",
) -> int:
    """Number of sources per call of `impulse_responses` that suits the memory of the device."""
    cells = _blocks(room, order, sample_rate / speed, length) * BLOCK * CELLS
    return max(1, GRID[device] // (mics * cells))


def convolve(response: Tensor, dry: Tensor) -> Tensor:
    """Audio (B, M, S) at the microphones: RIRs (B, M, T) applied to dry sound (B, T - 1 + S).

    Sample n of the result lines up with dry sample T - 1 + n; `DELAY` is not removed.
    """
    size = fast_length(dry.shape[-1])
    spectrum = torch.fft.rfft(response, size) * torch.fft.rfft(dry, size)[:, None]
    # Only the discarded samples suffer from circular wrap-around.
    return torch.fft.irfft(spectrum, size)[..., response.shape[-1] - 1 : dry.shape[-1]]


@functools.cache
def fast_length(least: int) -> int:
    """Smallest FFT length of at least ``least`` that is fast for real signals."""
    import scipy.fft  # slow to load

    return scipy.fft.next_fast_len(least, real=True)


def _blocks(room: np.ndarray, order: int, samples_per_m: float, length: int | None) -> int:
    """Blocks of the grid up to the last image, or up to ``length`` and one for later images."""
    if length is not None:
        return math.ceil(length / BLOCK) + 1
    farthest = order * float(room.max()) + math.hypot(*room)
    return math.ceil((farthest * samples_per_m + 2) / BLOCK)


def _squared_offsets(
    axis: int, room: np.ndarray, mics: Tensor, source: Tensor, order: int
) -> Tensor:
    """Squared offsets image - microphone along one axis: (B, M, 2 order + 1), p = -order..order."""
    index = torch.arange(-order, order + 1, device=mics.device)
    side, position = float(room[axis]), source[:, axis, None].double()
    image = index * side + torch.where(index % 2 == 0, position, side - position)
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
    """Add every image to the grid (B, M, cells); the unit of time is 1/20 of a sample.

    squares: per axis (B, M, 2 N + 1) squared offsets. strength: (B, N + 1) by number of
    reflections; 0 = no image. walls: further factors per axis (B, 2 N + 1). The images of one pair
    (p1, p2) form a row; rows of equal length are added together.
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
        reflected = strength.index_select(1, hits)[:, None, None]
        for part1, part2 in zip(p1.split(most), p2.split(most), strict=True):
            pair = x.index_select(2, part1) + y.index_select(2, part2)
            time = (pair.float()[..., None] + row).sqrt_()
            time.clamp_(max=last)  # later images go to the last block, which is cut off
            amplitude = reflected / time
            if walls:
                along = walls[2][:, None, highest - inner : highest + inner + 1]
                across = walls[0].index_select(1, part1) * walls[1].index_select(1, part2)
                amplitude = amplitude * (across[..., None] * along)[:, None]
            step = time.floor()
            late = time.sub_(step).mul_(amplitude)  # the part in the later cell
            # A sample has one cell more than steps, so cell = step + number of the sample.
            cell = (step * (1 / STEPS)).floor_().add_(step).long().view(batch * count, -1)
            early = amplitude.sub_(late)
            if not grid.is_floating_point():
                early, late = (part.mul_(FIXED_POINT).long() for part in (early, late))
            first.scatter_add_(1, cell, early.view(batch * count, -1))
            second.scatter_add_(1, cell, late.view(batch * count, -1))


@functools.lru_cache(maxsize=64)
def _rows(highest: int, device: torch.device) -> list[tuple[Tensor, Tensor, Tensor]]:
    """All images up to an order in groups of rows of equal length: (p1, p2, reflections).

    p1, p2: per row, the indices into tables that begin at -highest. reflections: number of
    reflections along a row, over p3.
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


def _apply_filters(grid: Tensor) -> Tensor:
    """RIRs (B, M, T) of a grid (B, M, cells): each cell adds its filter, a sinc with a Hann window.

    `SHAPES` basis filters span the filters of all cells to single precision. Cells are first
    turned into weights of the basis filters, then blocks of weights into samples.
    """
    batch, count = grid.shape[:2]
    mixture, table = _shapes(grid.device)
    weights = mixture @ grid.reshape(-1, CELLS).T  # (SHAPES, samples)
    blocks = weights.view(SHAPES, -1, BLOCK)
    sound = torch.addbmm(blocks.new_zeros(()), blocks, table, beta=0)
    sound = sound.view(batch, count, -1, BLOCK + TAPS - 1)
    response = sound.new_zeros(batch, count, sound.shape[2] + (TAPS - 1) // BLOCK, BLOCK)
    for shift, piece in enumerate(sound.split(BLOCK, dim=-1)):  # filters reach into later blocks
        response[:, :, shift : shift + sound.shape[2]] += piece
    return response.flatten(2)


@functools.cache
def _shapes(device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights of the basis filters in the filter of each cell, (SHAPES, CELLS), and the table of
    the basis filters shifted to each sample of a block, (SHAPES, BLOCK, BLOCK + TAPS - 1).
    """
    taps = torch.arange(TAPS, dtype=torch.float64)
    late = torch.arange(CELLS, dtype=torch.float64)[:, None] / STEPS
    window = torch.hann_window(TAPS, periodic=False, dtype=torch.float64)
    filters = torch.special.sinc(taps - DELAY - late) * window  # (CELLS, TAPS)
    left, size, right = torch.linalg.svd(filters, full_matrices=False)
    table = torch.zeros(SHAPES, BLOCK, BLOCK + TAPS - 1, dtype=torch.float64)
    for sample in range(BLOCK):
        table[:, sample, sample : sample + TAPS] = right[:SHAPES]
    mixture = (left * size).T[:SHAPES].contiguous()
    return mixture.float().to(device), table.float().to(device)
