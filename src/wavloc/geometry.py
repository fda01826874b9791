"""Rooms, microphones, distances (metres) and delays (samples).

Sign of all delays: ``tdoa_ij = (|s - r_i| - |s - r_j|) fs / c``, positive when the sound reaches
microphone i later than j.
"""

import math

import numpy as np

from wavloc.checks import number
from wavloc.errors import InputError

SPEED_OF_SOUND = 343.0  # m/s
SPEEDS_IN_AIR = (300.0, 370.0)  # m/s, from -50 to 65 degrees Celsius
SPEEDS = (10.0, 20_000.0)  # m/s, in other media

EXTENT_M = 500.0  # largest distance along an axis between any two positions
SAME_PLACE_M = 1e-3  # microphones nearer than this are at one place
LINE = 0.01  # an array whose width is less than this share of its length is a line

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


def check_speed(speed: float, name: str, other_medium: bool = False) -> float:
    """``speed`` of sound in m/s if it is possible in air, or in ``other_medium``."""
    if other_medium:
        return number(speed, name, *SPEEDS, "m/s")
    return number(speed, name, *SPEEDS_IN_AIR, "m/s in air")


def speed_in_air(celsius: float) -> float:
    """Speed of sound in m/s in dry air at a temperature (ideal gas; 331.3 m/s at 0 degrees)."""
    return 331.3 * math.sqrt(1 + celsius / 273.15)


def check_extent(points: np.ndarray, name: str) -> None:
    """Raise `InputError` if points (N, 3) are so far apart that they cannot be in metres."""
    extent = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    if extent > EXTENT_M:
        raise InputError(
            f"{name}: positions are {extent:,.6g} apart, expected metres and at most "
            f"{EXTENT_M:g} m (are they millimetres?)"
        )


def unusable(mics: np.ndarray, in_plane: bool = False) -> np.ndarray:
    """Why no source can be located with each array, empty where one can: mics (F, M, 3) -> (F,).

    NaN = unknown position. Microphones on a line leave a circle of possible sources, of which two
    are in_plane, and two at one place are a mistake in the list. Arrays of one or two known
    microphones are not judged.
    """
    reasons = np.full(len(mics), "", dtype=object)
    known = np.isfinite(mics).all(axis=-1)
    count = known.sum(axis=1)
    center = np.where(known[..., None], mics, 0).sum(axis=1) / np.maximum(count, 1)[:, None]
    around = np.where(known[..., None], mics - center[:, None], 0)
    spans = np.linalg.eigvalsh(np.einsum("fmi,fmj->fij", around, around))  # ascending, m^2
    on_line = (spans[:, 1] < LINE**2 * spans[:, 2]) & (count > 2) & (not in_plane)
    reasons[on_line] = "the microphones are on a line, around which all positions are alike"
    first, second = pairs(mics.shape[1]).T
    apart = np.linalg.norm(mics[:, first] - mics[:, second], axis=-1)
    for frame, pair in np.argwhere(apart < SAME_PLACE_M):  # False for NaN
        one, other = first[pair] + 1, second[pair] + 1
        reasons[frame] = f"microphones {one} and {other} are at the same place"
    return reasons


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
