"""The path of a loudspeaker carried through the LuViRA array, and its occlusion by the carrier.

Positions are in LuViRA coordinates in metres; times are in seconds.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from wavloc.geometry import LUVIRA_MICS

PATH_RATE = 100  # Hz, as the motion capture of the real data
RADIUS_M, HEIGHT_M, BEHIND_M = 0.2, 1.75, 0.4  # the carrier, and how far behind the loudspeaker
MIC_M = 0.4  # least distance of the path to a microphone


def walk(seconds: float, varying_height: bool, rng: np.random.Generator) -> np.ndarray:
    """Positions (T, 3) of the loudspeaker at `PATH_RATE`, a random walk with pauses and steps."""
    n_points = int(np.ceil(seconds / 2)) + 2
    points = np.empty((n_points, 2))
    points[0] = rng.uniform([-2.1, -2.6], [2.1, 1.8])
    for k in range(1, n_points):
        points[k] = np.clip(points[k - 1] + rng.normal(0, 1.1, 2), [-2.1, -2.6], [2.1, 1.8])
    time = np.arange(int(seconds * PATH_RATE) + 1) / PATH_RATE
    moving = _with_pauses(time, rng)
    xy = CubicSpline(2.0 * np.arange(n_points), points)(moving)
    xy = np.clip(xy, -np.array([2.3, 2.8]), np.array([2.3, 2.8]))
    z = 1.15 + 0.04 * np.sin(2 * np.pi * 1.8 * moving + rng.uniform(0, 2 * np.pi))
    if varying_height:
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(7, 11)
        z = z + 0.45 * np.sin(2 * np.pi * time / period + phase)
    return _keep_away(np.column_stack([xy, z]))


def _with_pauses(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Time spent walking (T,) up to each time (T,); about three pauses of 1-2 s a minute."""
    speed = np.ones_like(time)
    for _ in range(max(1, round(3 * time[-1] / 60))):
        start, length = rng.uniform(0, time[-1]), rng.uniform(1, 2)
        speed[(time >= start) & (time < start + length)] = 0
    smooth = gaussian_filter1d(speed, 0.2 * PATH_RATE, mode="nearest")
    return np.concatenate([[0.0], np.cumsum(smooth[:-1]) / PATH_RATE])


def _keep_away(path: np.ndarray) -> np.ndarray:
    """The path (T, 3), pushed out of a ball around every microphone."""
    for mic in LUVIRA_MICS:
        offset = path - mic
        distance = np.linalg.norm(offset, axis=1, keepdims=True)
        pushed = mic + offset / np.maximum(distance, 1e-6) * MIC_M
        path = np.where(distance < MIC_M, pushed, path)
    return path


def occlusion(path: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whether the carrier blocks the direct path to each microphone: (T, 3) -> (T, M) bool.

    The carrier is an upright cylinder that walks behind the loudspeaker; its heading follows the
    path with random deviations.
    """
    step = gaussian_filter1d(np.gradient(path[:, :2], axis=0), PATH_RATE, axis=0, mode="nearest")
    heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    wander = gaussian_filter1d(rng.standard_normal(len(path)), 2 * PATH_RATE, mode="wrap")
    heading += np.deg2rad(40) * wander / (np.abs(wander).max() + 1e-9)
    back = BEHIND_M * np.column_stack([np.cos(heading), np.sin(heading)])
    axis = path[:, :2] - back
    ray = LUVIRA_MICS[None, :, :2] - path[:, None, :2]  # (T, M, 2)
    to_axis = (axis - path[:, :2])[:, None]
    along = np.clip((ray * to_axis).sum(-1) / np.maximum((ray**2).sum(-1), 1e-9), 0, 1)
    gap = np.linalg.norm(along[..., None] * ray - to_axis, axis=-1)
    height = path[:, 2:] + along * (LUVIRA_MICS[:, 2] - path[:, 2:])
    return (gap < RADIUS_M) & (height < HEIGHT_M)
