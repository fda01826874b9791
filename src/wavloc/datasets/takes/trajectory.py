"""Positions from motion capture: the microphones, and the loudspeaker at any time.

Metres and seconds; a missing position is NaN.
"""

from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from wavloc.errors import InputError

RIGID_M = 0.02  # markers whose distances differ from the usual ones by more are misidentified


def require_increasing(time_s: np.ndarray, path: Path, first_line: int) -> None:
    """Raise `InputError` unless the times (T,) increase; they begin at ``first_line`` of a file."""
    back = np.flatnonzero(~(np.diff(time_s) > 0))
    if len(back):
        row = int(back[0]) + 1
        raise InputError(
            f"{path}, line {first_line + row}: time {time_s[row]:g} s after {time_s[row - 1]:g} s, "
            "expected time stamps that increase"
        )


def microphone(right: np.ndarray | None, left: np.ndarray | None) -> np.ndarray:
    """Position (3,) of a microphone: the median over time of the middle of its markers (T, 3).

    If one marker is never seen, the other one is used; NaN if neither is seen.
    """
    markers = [m for m in (right, left) if m is not None and np.isfinite(m).all(axis=1).any()]
    if not markers:
        return np.full(3, np.nan)
    middle = np.mean(markers, axis=0)  # NaN if either is missing
    middle = middle[np.isfinite(middle).all(axis=1)]
    return np.median(middle, axis=0) if len(middle) else np.nanmedian(markers[0], axis=0)


def loudspeaker(markers: np.ndarray) -> np.ndarray:
    """Position (T, 3) of the loudspeaker from its four markers (T, 4, 3), which form a rigid body.

    As in the public code of the data set: a is the marker far from the others, b the one farthest
    from a, n the one nearest to a; the position is the fourth marker projected onto the plane
    through a, b and n. If one marker is missing, the body is fitted to the other three (Kabsch
    1976). Moments with fewer markers, or with a misidentified one, are NaN.
    """
    seen = np.isfinite(markers).all(axis=2)  # (T, 4)
    position = np.full((len(markers), 3), np.nan)
    full = np.flatnonzero(seen.all(axis=1))
    if len(full) == 0:
        return position
    spans = np.linalg.norm(markers[:, :, None] - markers[:, None], axis=-1)  # (T, 4, 4)
    usual = np.median(spans[full], axis=0)
    off = np.abs(spans - usual)
    rigid = np.nanmax(np.where(np.isfinite(off), off, 0), axis=(1, 2)) <= RIGID_M
    full = full[rigid[full]]
    if len(full) == 0:
        return position
    position[full] = _projected(markers[full], usual)
    typical = full[off[full].sum(axis=(1, 2)).argmin()]
    for lost in range(4):
        times = np.flatnonzero((seen.sum(axis=1) == 3) & ~seen[:, lost] & rigid)
        others = [k for k in range(4) if k != lost]
        position[times] = _fitted(
            markers[typical, others], position[typical], markers[times][:, others]
        )
    return position


def _projected(markers: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Projection (T, 3) of the fourth marker onto the plane of a, b and n; spans (4, 4)."""
    a = int(spans.sum(axis=1).argmax())
    others = [k for k in range(4) if k != a]
    b = max(others, key=lambda k: spans[a, k])
    n = min(others, key=lambda k: spans[a, k])
    (p,) = set(others) - {b, n}
    normal = np.cross(markers[:, b] - markers[:, a], markers[:, n] - markers[:, a])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    height = ((markers[:, p] - markers[:, a]) * normal).sum(axis=1, keepdims=True)
    return markers[:, p] - height * normal


def _fitted(body: np.ndarray, point: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """Position (T, 3) of a ``point`` of the rigid ``body`` (3, 3) given its markers (T, 3, 3)."""
    centre = markers.mean(axis=1, keepdims=True)
    covariance = np.einsum("ki,tkj->tij", body - body.mean(axis=0), markers - centre)
    left, _, right = np.linalg.svd(covariance)
    mirror = np.ones((len(markers), 3))
    mirror[:, 2] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotated = np.einsum("i,tij,tj,tjk->tk", point - body.mean(axis=0), left, mirror, right)
    return centre[:, 0] + rotated


def at(times: np.ndarray, time_s: np.ndarray, track: np.ndarray, max_gap_s: float) -> np.ndarray:
    """Positions (F, 3) at ``times`` of a track (T, 3) with NaN gaps, sampled at ``time_s``.

    Cubic interpolation: a straight line over 0.1 s would be off by millimetres in a step. NaN
    before the first sample, after the last, and between samples more than ``max_gap_s`` apart.
    """
    known = np.isfinite(track).all(axis=1)
    position = np.full((len(times), 3), np.nan)
    time_s, track = time_s[known], track[known]
    # The tolerance lets rounded time stamps pass a gap of exactly ``max_gap_s``.
    breaks = np.flatnonzero(np.diff(time_s) > max_gap_s + 1e-6) + 1
    for piece in np.split(np.arange(len(time_s)), breaks):
        if len(piece) < 2:
            continue
        inside = (times >= time_s[piece[0]]) & (times <= time_s[piece[-1]])
        if inside.any():
            position[inside] = CubicSpline(time_s[piece], track[piece])(times[inside])
    return position
