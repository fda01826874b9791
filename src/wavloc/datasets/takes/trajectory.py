"""Positions out of motion capture: microphones, the loudspeaker, and where it was at a given time.

Metres and seconds; a missing position is NaN.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

RIGID_M = 0.02  # a marker farther than this from where the rigid body has it was mistaken


def microphone(right: np.ndarray | None, left: np.ndarray | None) -> np.ndarray:
    """Position (3,) of a microphone between its two markers (T, 3): the median over time.

    One marker stands in for both where the other is never seen; NaN if neither is.
    """
    markers = [m for m in (right, left) if m is not None and np.isfinite(m).all(axis=1).any()]
    if not markers:
        return np.full(3, np.nan)
    middle = np.mean(markers, axis=0)  # NaN where either is missing
    middle = middle[np.isfinite(middle).all(axis=1)]
    return np.median(middle, axis=0) if len(middle) else np.nanmedian(markers[0], axis=0)


def loudspeaker(markers: np.ndarray) -> np.ndarray:
    """Position of the loudspeaker (T, 3) from its four markers (T, 4, 3), which are a rigid body.

    As in the public code around the data set: of the markers, a is the one far from the others, b
    the one farthest from a, n the one nearest to a; the position is the fourth, projected onto the
    plane through the three. Where one marker is missing, the body is fitted to the other three
    (Kabsch 1976). Frames with fewer, or with one out of its place in the body, are missing.
    """
    seen = np.isfinite(markers).all(axis=2)  # (T, 4)
    position = np.full((len(markers), 3), np.nan)
    full = np.flatnonzero(seen.all(axis=1))
    if len(full) == 0:
        return position
    spans = _spans(markers)  # (T, 4, 4)
    usual = np.median(spans[full], axis=0)
    off = np.abs(spans - usual)
    rigid = np.nanmax(np.where(np.isfinite(off), off, 0), axis=(1, 2)) <= RIGID_M
    full = full[rigid[full]]
    if len(full) == 0:
        return position
    position[full] = _projected(markers[full], usual)
    typical = full[off[full].sum(axis=(1, 2)).argmin()]
    for lost in range(4):
        rows = np.flatnonzero((seen.sum(axis=1) == 3) & ~seen[:, lost] & rigid)
        others = [k for k in range(4) if k != lost]
        position[rows] = _fitted(
            markers[typical, others], position[typical], markers[rows][:, others]
        )
    return position


def _spans(markers: np.ndarray) -> np.ndarray:
    return np.linalg.norm(markers[:, :, None] - markers[:, None], axis=-1)


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
    """Where ``point`` of a rigid ``body`` (3, 3) is when its markers are at (T, 3, 3): (T, 3)."""
    centre = markers.mean(axis=1, keepdims=True)
    covariance = np.einsum("ki,tkj->tij", body - body.mean(axis=0), markers - centre)
    left, _, right = np.linalg.svd(covariance)
    mirror = np.ones((len(markers), 3))
    mirror[:, 2] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    turned = np.einsum("i,tij,tj,tjk->tk", point - body.mean(axis=0), left, mirror, right)
    return centre[:, 0] + turned


def at(times: np.ndarray, time_s: np.ndarray, track: np.ndarray, max_gap_s: float) -> np.ndarray:
    """Positions (F, 3) of a track (T, 3) with NaN gaps, sampled at ``time_s``, at other ``times``.

    Cubic between the samples: a straight line over 0.1 s cuts the corner of a step by millimetres.
    NaN before the first sample, after the last, and between two samples that lie farther apart
    than ``max_gap_s``.
    """
    known = np.isfinite(track).all(axis=1)
    found = np.full((len(times), 3), np.nan)
    time_s, track = time_s[known], track[known]
    # Rounding of time stamps must not open a gap of exactly the length that is allowed.
    breaks = np.flatnonzero(np.diff(time_s) > max_gap_s + 1e-6) + 1
    for piece in np.split(np.arange(len(time_s)), breaks):
        if len(piece) < 2:
            continue
        inside = (times >= time_s[piece[0]]) & (times <= time_s[piece[-1]])
        if inside.any():
            found[inside] = CubicSpline(time_s[piece], track[piece])(times[inside])
    return found
