"""Walls for a nominal T60, and image-source responses with pyroomacoustics, the reference engine.

Facts that are easy to get wrong, all handled here and tested: the constant delay of half the
fractional-delay filter, Sabine's bound, the 10 Hz high-pass, thread count and speed of sound,
which live in process-wide settings.
"""

from __future__ import annotations

import functools
import math
from types import ModuleType

import numpy as np

TAPS = 81  # of the pulse that stands for an image between samples
DELAY = TAPS // 2  # constant delay of every response of either engine, samples


@functools.cache
def _library(speed: float) -> ModuleType:
    """pyroomacoustics with its process-wide settings made ours."""
    import pyroomacoustics

    pyroomacoustics.constants.set("c", speed)
    pyroomacoustics.constants.set("frac_delay_length", TAPS)
    pyroomacoustics.constants.set("num_threads", 1)  # parallel over tracks, not inside one room
    # The filter acts on each finite response and leaves edges up to 100 Hz; the dry sound is
    # high-passed instead, once, the same for all microphones.
    pyroomacoustics.constants.set("rir_hpf_enable", False)
    return pyroomacoustics


def sabine(
    room: np.ndarray, t60_s: np.ndarray | float, speed: float
) -> tuple[np.ndarray, np.ndarray]:
    """Wall absorption and image order for each nominal T60 (F,) by Sabine's formula.

    Below the bound where absorption would exceed 1 (0.105 s in 7 x 8 x 2 m) the room is anechoic:
    (1.0, 0), to which the formula tends there. The order lets images arrive until T60.
    """
    room = np.asarray(room, float)
    volume = room.prod()
    surface = 2 * (room[0] * room[1] + room[0] * room[2] + room[1] * room[2])
    bound = 24 * math.log(10) * volume / (speed * surface)
    pairs = [(room[0], room[1]), (room[0], room[2]), (room[1], room[2])]
    shortest = min(a * b / math.hypot(a, b) for a, b in pairs)
    live = np.asarray(t60_s) > bound
    order = np.ceil(speed * np.asarray(t60_s) / shortest - 1).astype(int)
    return np.where(live, bound / np.where(live, t60_s, 1), 1.0), np.where(live, order, 0)


def impulse_responses(
    room: np.ndarray,
    mics: np.ndarray,
    source: np.ndarray,
    absorption: np.ndarray,
    max_order: int,
    sample_rate: int,
    speed: float,
) -> np.ndarray:
    """Responses (B, M, T) of B sources in one room, zero-padded to the longest, delay still in.

    mics (B, M, 3), source (B, 3) in metres, absorption (B,). Amplitudes are 1 / distance times the
    reflections. One room at a time: this is the engine to compare with.
    """
    library = _library(speed)
    ragged = []
    for heard_at, sounds_at, walls in zip(mics, source, absorption, strict=True):
        shoebox = library.ShoeBox(
            room, fs=sample_rate, materials=library.Material(float(walls)), max_order=max_order
        )
        shoebox.add_source(sounds_at)
        shoebox.add_microphone(heard_at.T)
        shoebox.compute_rir()
        ragged += [response[0] for response in shoebox.rir]
    responses = np.zeros((len(ragged), max(map(len, ragged))), np.float32)
    for row, response in zip(responses, ragged, strict=True):
        row[: len(response)] = response
    return responses.reshape(*mics.shape[:2], -1)
