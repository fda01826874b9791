"""Recordings of somebody who speaks in a simulated room, and six microphones in it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.base import Scenes
from wavloc.datasets.sound import synthetic
from wavloc.simulation import render

SIX = np.array(
    [
        [0.3, 0.4, 1.1],
        [5.5, 0.2, 2.1],
        [5.8, 4.6, 0.9],
        [0.5, 4.7, 2.3],
        [2.7, 0.1, 1.6],
        [3.4, 4.8, 0.5],
    ]
)
ROOM = (6.0, 5.0, 2.7)


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Speech-like sound (n,) of a voice at 16 kHz: utterances and short pauses."""
    rng = np.random.default_rng(seed)
    formants = rng.uniform([300, 900, 2000, 3200], [800, 1800, 3000, 4500])
    pitch, parts, length = rng.uniform(90, 250), [], 0
    while length < seconds * SAMPLE_RATE:
        parts += [synthetic.utterance(rng.uniform(2.2, 3.5), pitch, formants, rng)]
        parts += [np.zeros(SAMPLE_RATE // 4, np.float32)]
        length += len(parts[-2]) + len(parts[-1])
    return np.concatenate(parts)[: round(seconds * SAMPLE_RATE)]


def recording(
    dry: np.ndarray,
    mics: np.ndarray = SIX,
    room: tuple[float, ...] = ROOM,
    t60_s: float = 0.2,
    snr_db: float = 30.0,
    step_s: float = 0.5,
    places: int = 0,
    seed: int = 0,
    path: np.ndarray | None = None,
) -> np.ndarray:
    """Channels (M, n) of a voice that moves every ``step_s`` seconds; float32, peak 0.5.

    dry: (n,) at 16 kHz; places: the voice keeps to so many places (0 = a new one each time), its
    head 1 to 1.8 m above the floor; path: or it is at these, (n, 3), one after the other. The noise
    is white, of equal power in all channels, stated against the mean of the speech.
    """
    rng = np.random.default_rng(seed)
    step = round(step_s * SAMPLE_RATE)
    count = -(-len(dry) // step)
    low, high = np.array([0.5, 0.5, 1.0]), np.array([room[0] - 0.5, room[1] - 0.5, 1.8])
    source = rng.uniform(low, np.minimum(high, room), (places or count, 3))
    source = source[np.arange(count) * (places or count) // count]
    if path is not None:
        source = path[np.arange(count) * len(path) // count]
    scenes = Scenes(
        room=np.array(room),
        mics=mics,
        source=source,
        dry=np.concatenate([dry, np.zeros(count * step - len(dry), np.float32)]),
        start=np.arange(count) * step,
        dry_begin=np.zeros(count, int),
        dry_end=np.full(count, len(dry)),
        t60_s=np.full(count, t60_s),
        snr_db=np.full(count, np.inf),
        table=pd.DataFrame({"track": ["spoken"] * count}),
        samples=step,
        sample_rate=SAMPLE_RATE,
    )
    wet = render.render_frames(scenes, np.arange(count)).transpose(1, 0, 2)
    wet = wet.reshape(len(mics), -1)[:, : len(dry)]
    sigma = np.sqrt(np.square(wet).mean() * 10 ** (-snr_db / 10))
    wet = wet + sigma * rng.standard_normal(wet.shape)
    return (0.5 * wet / np.abs(wet).max()).astype(np.float32)
