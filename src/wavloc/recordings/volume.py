"""Where sources are searched for, and what the geometry of the microphones allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavloc.audio import SAMPLE_RATE
from wavloc.errors import InputError
from wavloc.frames import FRAME_SAMPLES
from wavloc.geometry import LINE, pairs, unusable

Box = tuple[np.ndarray, np.ndarray]  # two corners, (3,) metres

# The default box reaches this far beyond the microphones: metres, and shares of their extent.
ACROSS_M, ACROSS = 10.0, 1.5
UP_M, UP = 3.0, 0.5
CLOSE_M = 0.01  # microphones nearer than this are said
WIDE_M = 100.0  # so is an array wider than this
INSIDE_M = 0.05  # microphones may be in the walls
BORDER_M, BORDER = 0.02, 0.01  # thickness of the border, and as a share of the distance
SPANS = 4  # the default window is so many times as long as sound takes across the microphones


def search_box(
    mics: np.ndarray,
    room: Sequence[float] | None = None,
    corner: Sequence[float] | None = None,
    box: Sequence[float] | None = None,
    plane: tuple[int, float] | None = None,
) -> Box:
    """The box of a room with its lower corner, or from lowest to highest x, y, z, or one that holds
    sources some way outside of the microphones (M, 3); plane: an axis along which it has no extent.
    """
    if room is not None:
        low = np.asarray(corner or (0.0, 0.0, 0.0), float)
        high = low + np.asarray(room, float)
        outside = ((mics < low - INSIDE_M) | (mics > high + INSIDE_M)).any(axis=1)
        if outside.any():
            place = mics[outside.argmax()].round(3).tolist()
            raise InputError(
                f"--room: from {low.tolist()} to {high.tolist()} m, but a microphone is at "
                f"{place}, expected all of them inside (--corner: where the room begins)"
            )
    elif box is not None:
        low, high = np.asarray(box, float).reshape(2, 3)
        if not (low < high).all():
            raise InputError(f"--box: from {low.tolist()} to {high.tolist()}, expected low < high")
    else:
        extent = np.ptp(mics, axis=0).max()
        reach = np.maximum([ACROSS_M, ACROSS_M, UP_M], np.array([ACROSS, ACROSS, UP]) * extent)
        low, high = mics.min(axis=0) - reach, mics.max(axis=0) + reach
    if plane is not None:
        axis, value = plane
        low[axis] = high[axis] = value
    return low, high


def window_s(mics: np.ndarray, speed: float, fixed: bool) -> float:
    """Length of a frame in seconds for microphones (M, 3); fixed: that of networks."""
    usual = FRAME_SAMPLES / SAMPLE_RATE
    return usual if fixed else max(usual, SPANS * _spans(mics).max(initial=0) / speed)


def _spans(mics: np.ndarray) -> np.ndarray:
    first, second = pairs(len(mics)).T
    return np.linalg.norm(mics[first] - mics[second], axis=1)


def meta(box: Box) -> dict[str, object]:
    """What frames say of the box (`Frames.meta`)."""
    low, high = box
    return {"room": (high - low).tolist(), "origin": (-low).tolist(), "graded": True}


def look(names: list[str], mics: np.ndarray, box: Box, window_s: float, speed: float) -> list[str]:
    """Warnings about microphones (M, 3) metres; `InputError` where no position can be right."""
    first, second = pairs(len(mics)).T
    apart = _spans(mics)
    said = []
    for pair in np.flatnonzero(apart < CLOSE_M):
        one, other = names[first[pair]], names[second[pair]]
        said.append(f"microphones '{one}' and '{other}' are {1000 * apart[pair]:.2g} mm apart")
    span = apart.max(initial=0)
    if span > WIDE_M:
        said.append(f"the microphones are up to {span:.0f} m apart: metres? (--units)")
    if span / speed > window_s / 2:
        raise InputError(
            f"sound takes {span / speed:.3f} s from one microphone to another, {span:.1f} m away: "
            f"too long for a window of {window_s:g} s, expected at most half of it (--window)"
        )
    flat = box[0] == box[1]
    if flat.any() and np.ptp(mics[:, ~flat], axis=0).max() < LINE * np.ptp(mics, axis=0).max():
        raise InputError(
            "the microphones are on a line across the plane, around which all positions are alike"
        )
    reason = unusable(mics[None], in_plane=bool(flat.any()))[0]
    if reason:
        hint = " (--plane: the height of the sources)" if "line" in reason else ""
        raise InputError(reason + hint)
    return said


def on_border(points: np.ndarray, box: Box, mics: np.ndarray) -> np.ndarray:
    """Which points (n, 3) are on the border of a box or beyond it: something louder may be there.

    Far from the microphones, where cells are larger, the border is thicker.
    """
    free = box[0] < box[1]
    far = np.linalg.norm(points - mics.mean(axis=0), axis=1)
    thick = np.maximum(BORDER_M, BORDER * far)[:, None]
    beyond = (points < box[0] + thick) | (points > box[1] - thick)
    return beyond[:, free].any(axis=1)
