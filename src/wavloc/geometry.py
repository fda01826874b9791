"""Rooms, microphones, distances (metres) and delays (samples).

Sign of all delays: ``tdoa_ij = (|s - r_i| - |s - r_j|) fs / c``, positive when the sound reaches
microphone i later than j.
"""

from __future__ import annotations

import numpy as np

from wavloc.errors import InputError

SPEED_OF_SOUND = 343.0  # m/s

# Coordinates of the 11 fixed microphones of LuViRA (Yaman et al. 2024, data set README), metres.
LUVIRA_MICS = np.array(
    [
        [2.446543, 1.739807, 1.153664],
        [2.878144, -0.648521, 1.047426],
        [1.327957, -3.133232, 1.565324],
        [-1.055896, -3.545721, 1.108223],
        [-3.076515, -0.059026, 1.371500],
        [-2.411899, 2.477193, 1.545042],
        [2.227648, -0.756274, 0.213500],
        [1.789771, -2.376113, 0.204725],
        [0.050173, -3.358890, 0.212661],
        [-1.920649, -2.820501, 0.144308],
        [-2.923657, 0.718362, 0.147049],
    ]
)


def pairs(n_mics: int) -> np.ndarray:
    """All pairs i < j in lexicographic order: (P, 2) with P = M (M - 1) / 2."""
    return np.stack(np.triu_indices(n_mics, 1), axis=1)


def distances(source: np.ndarray, mics: np.ndarray) -> np.ndarray:
    """Source-microphone distances in metres: source (F, 3), mics (M, 3) or (F, M, 3) -> (F, M)."""
    return np.linalg.norm(source[:, None] - mics, axis=-1)


def tdoa(source: np.ndarray, mics: np.ndarray, sample_rate: int, speed: float) -> np.ndarray:
    """True delays of all pairs i < j in samples: (F, P); NaN where a position is unknown."""
    first, second = pairs(mics.shape[-2]).T
    distance = distances(source, mics)
    return (distance[:, first] - distance[:, second]) * (sample_rate / speed)


def max_lag(mics: np.ndarray, sample_rate: int, speed: float) -> int:
    """Largest possible delay of an array in whole samples (314 for LuViRA at 16 kHz)."""
    first, second = pairs(mics.shape[-2]).T
    span = np.linalg.norm(mics[..., first, :] - mics[..., second, :], axis=-1)
    return int(np.nanmax(span) * sample_rate / speed)


def check_room(room: np.ndarray, points: np.ndarray, what: str) -> None:
    """Raise `InputError` if a point (..., 3) is outside the box [0, room]; walls are inside."""
    outside = ((points < -1e-9) | (points > np.asarray(room) + 1e-9)).any(axis=-1)
    if outside.any():
        worst = np.argwhere(outside)[0]
        raise InputError(
            f"room {tuple(float(v) for v in room)} m is smaller than the array: {what} "
            f"{int(worst[-1]) + 1} at {tuple(np.round(points[tuple(worst)], 3).tolist())} m "
            "lies outside (expected 0 <= x, y, z <= room)"
        )
