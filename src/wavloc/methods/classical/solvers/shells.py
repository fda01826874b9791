"""Cells of a large search volume: small around the microphones, larger the farther away.

At a distance d from an array of size D a step moves the range differences by about D / (D + d) of
what it does inside, so cells that grow with d lose nothing, and a volume many times as large as
the array has about as many cells as the array alone.
"""

from __future__ import annotations

import dataclasses

import numpy as np

MOST_CELLS = 60_000  # of the core; a wider array has larger cells
GROWTH = 4.0  # a shell ends where 1 + GROWTH d / D doubles


@dataclasses.dataclass(frozen=True)
class Shells:
    """A core (two corners, (3,) metres) with the smallest cells, in shells of doubled cells."""

    low: np.ndarray
    high: np.ndarray

    @property
    def key(self) -> bytes:
        """Equal for equal cores."""
        return np.ascontiguousarray([self.low, self.high], float).tobytes()

    @property
    def diagonal(self) -> float:
        """D, metres."""
        return float(np.linalg.norm(self.high - self.low))

    def spacing(self, least: float) -> float:
        """Side of the cells of the core, ``least`` metres or more."""
        sides = np.maximum(self.high - self.low, least)
        return max(least, float(sides.prod() / MOST_CELLS) ** (1 / 3))

    def scale(self, points: np.ndarray) -> np.ndarray:
        """Size of the cells at points (..., 3) in terms of those of the core: (...,)."""
        outside = np.maximum(self.low - points, points - self.high).max(axis=-1)
        shell = 1 + np.floor(np.log2(1 + GROWTH * np.maximum(outside, 0) / self.diagonal))
        return np.where(outside > 0, 2.0**shell, 1.0)

    def points(self, low: np.ndarray, high: np.ndarray, spacing: float) -> np.ndarray:
        """Centres (G, 3) of the cells that fill the box [low, high], which holds the core."""
        inner = self.low, self.high
        parts, shell = [grid(*inner, spacing)], 1
        while (inner[0] > low).any() or (inner[1] < high).any():
            reach = self.diagonal * (2.0**shell - 1) / GROWTH
            outer = np.maximum(self.low - reach, low), np.minimum(self.high + reach, high)
            cells = grid(*outer, spacing * 2.0**shell)
            parts.append(cells[((cells < inner[0]) | (cells > inner[1])).any(axis=1)])
            inner, shell = outer, shell + 1
        return np.concatenate(parts)


def grid(low: np.ndarray, high: np.ndarray, spacing: float) -> np.ndarray:
    """Centres (G, 3) of a grid of about ``spacing`` metres that fills the box [low, high]."""
    cells = np.maximum(1, np.ceil((high - low) / spacing)).astype(int)
    axes = [
        start + (np.arange(n) + 0.5) * (end - start) / n
        for start, end, n in zip(low, high, cells, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
