"""Microphones in one plane: a source and its mirror image behind the plane sound alike.

Only one side is searched, in coordinates in which the plane is at right angles to an axis, so that
a side is a box; the image follows from the position.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from wavloc.methods.predictions import Predictions
from wavloc.recordings.volume import Box

FLAT = 0.02  # thickness of an array in terms of its length below which it is a plane
SAME_M = 0.1  # a position and its image nearer than this are one


@dataclasses.dataclass(frozen=True)
class Mirror:
    """A plane with all microphones: its unit normal (3,), a point (3,) of it, and the axes ``turn``
    (3, 3) of coordinates in which the normal is along ``axis``. The searched side is that to which
    the normal points.
    """

    normal: np.ndarray
    point: np.ndarray
    turn: np.ndarray
    axis: int

    def height(self, points: np.ndarray) -> np.ndarray:
        """Distance (...,) of points (..., 3) from the plane, positive on the searched side."""
        return (points - self.point) @ self.normal

    def doubts(self, box: Box) -> list[str]:
        """What to say where a box is on both sides."""
        if -self.height(_corners(box)).min() < SAME_M:
            return []
        return [
            "all microphones are in one plane, behind which every source has a mirror image that "
            "fits as well: mirror_x, mirror_y, mirror_z, status `ambiguous` (--room, --box or "
            "--plane may say on which side the sources are)"
        ]

    def image(self, points: np.ndarray) -> np.ndarray:
        """The mirror images (..., 3) of points (..., 3)."""
        return points - 2 * self.height(points)[..., None] * self.normal

    def turned_back(self, found: Predictions) -> Predictions:
        """Predictions in the coordinates of the microphones, made in turned ones."""
        turn = self.turn
        found.position = found.position @ turn
        if found.candidates is not None:
            found.candidates = found.candidates @ turn
        if found.covariance is not None:
            found.covariance = turn.T @ found.covariance @ turn
        return found

    def search(self, box: Box) -> Box:
        """The searched side of a box, in turned coordinates."""
        corners = _corners(box) @ self.turn.T
        low, high = corners.min(axis=0), corners.max(axis=0)
        level = float(self.turn[self.axis] @ self.point)
        if self.turn[self.axis] @ self.normal > 0:
            low[self.axis] = max(low[self.axis], level)
        else:
            high[self.axis] = min(high[self.axis], level)
        return low, high


def of(mics: np.ndarray, box: Box) -> Mirror | None:
    """The plane of microphones (M, 3), None where they are in none.

    In a box without extent along an axis it is a plane at right angles to that of the box. The
    searched side is the one to which the box reaches farther, the lower one of equal ones.
    """
    free = np.flatnonzero(box[0] < box[1])
    point = mics.mean(axis=0)
    _, sizes, axes = np.linalg.svd((mics - point)[:, free], full_matrices=True)
    thickness = sizes[len(free) - 1] if len(sizes) == len(free) else 0.0
    if thickness >= FLAT * sizes[0]:
        return None
    normal = np.zeros(3)
    normal[free] = axes[-1]
    axis = int(np.abs(normal).argmax())
    along = np.eye(3)[axis]
    if np.ptp(mics[:, axis]) < FLAT * np.ptp(mics, axis=0).max():
        normal = along  # walls and ceilings are where they seem to be
    normal = normal * np.sign(normal[axis])
    height = (_corners(box) - point) @ normal
    side = 1.0 if height.max() > -height.min() + SAME_M else -1.0
    return Mirror(side * normal, point, _turning(normal, along), axis)


def _corners(box: Box) -> np.ndarray:
    """The corners (8, 3) of a box."""
    return np.array(list(itertools.product(*np.stack(box, axis=1))))


def _turning(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes one unit vector to another (Rodrigues' formula)."""
    x, y, z = np.cross(start, end)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + start @ end)
