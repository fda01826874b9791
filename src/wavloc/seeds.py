"""Random streams derived from the one seed of the config, one stream per named purpose."""

from __future__ import annotations

import zlib

import numpy as np


def sequence(seed: int, *axis: str | int) -> np.random.SeedSequence:
    """Seed sequence of one axis, e.g. ``sequence(0, "simulate", "six_faces", "test", 17)``.

    Every item has a stream of its own, so that order, number of workers and a longer run change
    nothing. Words enter by their CRC-32, which is the same in every process (``hash`` is not).
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in axis]
    return np.random.SeedSequence([int(seed), *words])


def rng(seed: int, *axis: str | int) -> np.random.Generator:
    """Generator of one axis; see `sequence`."""
    return np.random.default_rng(sequence(seed, *axis))
