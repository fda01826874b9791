"""A small room and its scenes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import torch

from wavloc.datasets.base import Scenes
from wavloc.simulation import image_source, rooms

RATE, SPEED = 16000, 343.0
ROOM = np.array([7.0, 8.0, 2.0])


def make_scenes(count: int = 6, seed: int = 0, **changes: object) -> Scenes:
    rng = np.random.default_rng(seed)
    source = rng.uniform([1, 1, 0.5], [6, 7, 1.5], (count, 3))
    mics = np.array(
        [[0.5, 0.5, 0.3], [6.5, 0.5, 1.0], [3.0, 7.5, 1.7], [0.4, 5.0, 1.2], [6.0, 6.0, 0.2]]
    )
    dry = rng.standard_normal(30000).astype(np.float32)
    scenes = Scenes(
        room=ROOM,
        mics=mics,
        source=source,
        dry=dry,
        start=np.full(count, 12000),
        dry_begin=np.zeros(count, int),
        dry_end=np.full(count, len(dry)),
        t60_s=np.zeros(count),
        snr_db=np.full(count, np.inf),
        table=pd.DataFrame({"frame": range(count), "track": "t", "time_s": 0.1 * np.arange(count)}),
        samples=2048,
        sample_rate=RATE,
    )
    return dataclasses.replace(scenes, **changes)


def responses(
    engine: str, mics: np.ndarray, source: np.ndarray, absorption: float, order: int
) -> np.ndarray:
    """Responses (M, T) of one source in `ROOM`."""
    geometry = mics[None], source[None], np.array([absorption])
    if engine == "pyroomacoustics":
        return rooms.impulse_responses(ROOM, *geometry, order, RATE, SPEED)[0]
    tensors = *map(torch.from_numpy, geometry), torch.tensor([order])
    return image_source.impulse_responses(ROOM, *tensors, RATE, SPEED)[0].numpy()
