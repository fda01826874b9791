"""Random streams derived from the one seed of the config, one stream per named purpose."""

import zlib

import numpy as np


def sequence(seed: int, *purpose: str | int) -> np.random.SeedSequence:
    """Seed sequence of one purpose, e.g. ``sequence(0, "simulate", "six_faces", "test", 17)``.

    Every item has its own stream, so that order, number of workers and longer runs change nothing.
    Words enter by their CRC-32, which is the same in every process (``hash`` is not).
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in purpose]
    return np.random.SeedSequence([int(seed), *words])


def rng(seed: int, *purpose: str | int) -> np.random.Generator:
    """Generator of one purpose; see `sequence`."""
    return np.random.default_rng(sequence(seed, *purpose))
