"""Tables of delays with known answers."""

from __future__ import annotations

import numpy as np

from wavloc.geometry import LUVIRA_MICS, tdoa

RATE, SPEED = 16000, 343.0


def tdoa_case(count: int = 20, sigma: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sources (n, 3) in the LuViRA array and their delays (n, P) with noise in samples."""
    rng = np.random.default_rng(seed)
    source = rng.uniform(LUVIRA_MICS.min(0), LUVIRA_MICS.max(0), (count, 3))
    delays = tdoa(source, LUVIRA_MICS, RATE, SPEED)
    return source, delays + rng.normal(0, sigma, delays.shape)
