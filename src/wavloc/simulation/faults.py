"""Faulty microphones: one named, seeded change of what Frames state of positions or hold of sound.

A method is not told. Which microphones of a frame are faulty is drawn per frame and is the same for
every kind and level, so that curves over the level are paired; level 0 changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.frames import Frames

MARK = "@"  # between a track and its fault, as in speech3@moved-0.1


class Draw(NamedTuple):
    """What is random of a fault: ``faulty`` (F, K) indices, ``direction`` (F, M, 3) unit vectors,
    ``noise`` generator."""

    faulty: np.ndarray
    direction: np.ndarray
    noise: np.random.Generator


class Kind(NamedTuple):
    """A fault: its unit, how many of M microphones a level touches, given ``mics``, and the change.

    ``change(positions (F, M, 3), audio (F, M, L), level, draw, rate, margin)`` works in place.
    """

    unit: str
    count: Callable[[float, int, int], int]
    change: Callable[..., None]


def named(track: str, fault: str, level: float) -> str:
    """Track under a fault: ``named("speech3", "moved", 0.1) == "speech3@moved-0.1"``."""
    return f"{track}{MARK}{fault}-{level:g}" if level else track


def parted(track: str) -> tuple[str, str, float]:
    """Track, fault and level of a name from `named`; no fault and level 0 where there is none."""
    base, _, rest = track.partition(MARK)
    fault, _, level = rest.rpartition("-")
    return base, fault, float(level or 0)


def apply(
    frames: Frames, kind: str, level: float, mics: int = 1, seed: int = 0, name: str = ""
) -> Frames:
    """Frames under a fault of `KINDS`.

    level: in the unit of the kind; mics: how many microphones of each frame are faulty, where the
    level does not say. name: of the frames, enters the seed. The column ``faulty`` of the table
    has the indices of the faulty microphones, ``meta`` the fault.
    """
    if kind not in KINDS:
        raise InputError(f"fault '{kind}' is unknown, expected one of {', '.join(KINDS)}")
    if not 0 <= level < np.inf:
        raise InputError(f"fault '{kind}', level {level}: expected a number of at least 0")
    unit, count, change = KINDS[kind]
    if unit in ("microphones", "pairs") and level != int(level):
        raise InputError(f"fault '{kind}', level {level:g}: expected a whole number of {unit}")
    number = count(level, mics, frames.n_mics) if level else 0
    if not 0 <= number <= frames.n_mics:
        raise InputError(
            f"fault '{kind}', level {level:g} with {mics} microphones: concerns {number}, "
            f"expected at most the {frames.n_mics} there are"
        )
    shape = (len(frames), frames.n_mics)
    rng = seeds.rng(seed, "fault", name)
    order = np.argsort(rng.random(shape), axis=1)
    direction = rng.normal(size=(*shape, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    draw = Draw(order[:, :number], direction, seeds.rng(seed, "fault noise", name))
    positions, audio = np.array(frames.mics()), np.array(frames.audio)
    margin = (audio.shape[-1] - frames.frame_samples) // 2
    if level:
        change(positions, audio, level, draw, frames.sample_rate, margin)
    faulty = [" ".join(map(str, sorted(row))) for row in draw.faulty.tolist()]
    place = {key: frames.meta[key] for key in ("room", "origin") if key in frames.meta}
    same = np.array_equal(positions, frames.mics(), equal_nan=True)
    return replace(
        frames,
        audio=audio,
        mic_positions=np.array(frames.mic_positions) if same else positions,
        table=frames.table.assign(faulty=faulty),
        meta=place | {"fault": {"kind": kind, "level": level, "unit": unit, "mics": mics}},
    )


def faulty_mics(frames: Frames) -> np.ndarray:
    """Which microphones are faulty: (F, M) bool, from the table that `apply` wrote."""
    if "faulty" not in frames.table:
        raise InputError("the frames have no column 'faulty': no fault was applied to them")
    found = np.zeros((len(frames), frames.n_mics), bool)
    indices = [np.array(text.split(), int) for text in frames.table["faulty"]]
    rows = np.repeat(np.arange(len(frames)), [len(index) for index in indices])
    found[rows, np.concatenate(indices)] = True
    return found


# --------------------------------------------------------------------- positions that are stated


def _shift(positions: np.ndarray, _: np.ndarray, metres: float, draw: Draw, *__: float) -> None:
    """The whole array, in one direction."""
    positions += metres * draw.direction[:, :1]


def _rotation(positions: np.ndarray, _: np.ndarray, degrees: float, draw: Draw, *__: float) -> None:
    """The whole array, about the vertical axis through its middle."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    middle = np.nanmean(positions, axis=1, keepdims=True)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    positions[:] = (positions - middle) @ turn.T + middle


def _swapped(positions: np.ndarray, _: np.ndarray, pairs: float, draw: Draw, *__: float) -> None:
    """The positions of two microphones, or of several pairs, are taken for each other."""
    rows, one, other = np.arange(len(positions))[:, None], draw.faulty[:, ::2], draw.faulty[:, 1::2]
    positions[rows, one], positions[rows, other] = positions[rows, other], positions[rows, one]


def _moved(positions: np.ndarray, _: np.ndarray, metres: float, draw: Draw, *__: float) -> None:
    """Each faulty microphone, in a direction of its own."""
    rows = np.arange(len(positions))[:, None]
    positions[rows, draw.faulty] += metres * draw.direction[rows, draw.faulty]


# --------------------------------------------------------------------- signals


def _dead(_: np.ndarray, audio: np.ndarray, level: float, draw: Draw, *__: float) -> None:
    audio[np.arange(len(audio))[:, None], draw.faulty] = 0


def _noisy(_: np.ndarray, audio: np.ndarray, ratio: float, draw: Draw, *__: float) -> None:
    """White noise of ``ratio`` times the signal's deviation is added."""
    rows = np.arange(len(audio))[:, None]
    sound = audio[rows, draw.faulty]
    noise = draw.noise.standard_normal(sound.shape, dtype=np.float32)
    audio[rows, draw.faulty] += ratio * sound.std(axis=-1, keepdims=True) * noise


def _clipped(_: np.ndarray, audio: np.ndarray, decibel: float, draw: Draw, *__: float) -> None:
    """Cut off that far below the largest sample of the frame."""
    rows = np.arange(len(audio))[:, None]
    sound = audio[rows, draw.faulty]
    most = np.abs(sound).max(axis=-1, keepdims=True) * 10 ** (-decibel / 20)
    audio[rows, draw.faulty] = np.clip(sound, -most, most)


def _delayed(
    _: np.ndarray, audio: np.ndarray, milliseconds: float, draw: Draw, rate: int, margin: int
) -> None:
    """A clock that is late, by whole samples; the margin of the frames supplies what comes in."""
    late = round(milliseconds * rate / 1000)
    if late > margin:
        raise InputError(
            f"fault 'delayed', level {milliseconds:g} ms: {late} samples, expected at most the "
            f"{margin} that the frames hold beside their window"
        )
    rows = np.arange(len(audio))[:, None]
    sound = np.roll(audio[rows, draw.faulty], late, axis=-1)
    sound[..., :late] = 0
    audio[rows, draw.faulty] = sound


def _all(level: float, mics: int, there: int) -> int:
    return there


def _chosen(level: float, mics: int, there: int) -> int:
    return mics


KINDS = {
    "shift": Kind("m", _all, _shift),
    "rotation": Kind("degrees", _all, _rotation),
    "swapped": Kind("pairs", lambda level, mics, there: 2 * int(level), _swapped),
    "moved": Kind("m", _chosen, _moved),
    "dead": Kind("microphones", lambda level, mics, there: int(level), _dead),
    "noisy": Kind("x signal", _chosen, _noisy),
    "clipped": Kind("dB", _chosen, _clipped),
    "delayed": Kind("ms", _chosen, _delayed),
}
