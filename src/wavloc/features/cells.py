"""Cells of the map that is looked at first: alike within a box, growing outside of it."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

MOST = 26_000  # in the inner box
FINEST_M = 0.16
GROWTH = 1.2  # outside of the inner box, from one to the next

Corner = tuple[float, ...]  # x, y, z in metres


def along(low: float, high: float, inner: tuple[float, float], size: float) -> Tensor:
    """Middles and sizes (2, n) of the cells of an axis: alike within ``inner``, growing outside,
    where delays change ever less.
    """
    below, above = max(low, min(inner[0], high)), min(high, max(inner[1], low))
    count = max(1, round((above - below) / size))
    edges = [below + k * (above - below) / count for k in range(count + 1)]
    for end, sign in ((low, -1), (high, 1)):
        side, step = [edges[0] if sign < 0 else edges[-1]], size
        while sign * (end - side[-1]) > 1e-6:
            step *= GROWTH
            nearly = sign * (end - side[-1]) < 1.5 * step
            side.append(end if nearly else side[-1] + sign * step)
        edges = side[:0:-1] + edges if sign < 0 else edges + side[1:]
    edge = torch.tensor(edges)
    return torch.stack([(edge[1:] + edge[:-1]) / 2, edge.diff()])


def cell_size(low: Tensor, high: Tensor) -> float:
    """Side of the cells of the coarse grid, metres."""
    volume = float((high - low).clamp(min=FINEST_M).prod())
    return max(FINEST_M, (volume / MOST) ** (1 / 3))


class Cells(NamedTuple):
    """Cells that fill a box: middles (G, 3) and longest sides (G,) in metres, how many along each
    axis, and the side of the inner ones.
    """

    middles: Tensor
    sides: Tensor
    shape: list[int]
    side: float


@functools.lru_cache(maxsize=4)
def fill(corners: tuple[Corner, ...], device: torch.device) -> Cells:
    """Cells of the box between the first two corners, which grow outside of that of the others."""
    inner = torch.tensor(corners[2:])
    side = cell_size(*inner)
    ends = zip(*corners, strict=True)
    axes = [along(low, high, (a, b), side).to(device) for low, high, a, b in ends]
    middles = torch.cartesian_prod(*(axis[0] for axis in axes))
    sides = torch.cartesian_prod(*(axis[1] for axis in axes)).amax(-1)
    return Cells(middles, sides, [axis.shape[1] for axis in axes], side)
