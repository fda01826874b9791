"""Faulty microphones: one kind of fault, applied to the stated positions or the audio of Frames.

Methods are not told which microphones are faulty. The faulty microphones are drawn per frame and
are the same for every kind and level, so that curves over the level are paired. Level 0 changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.frames import Frames

MARK = "@"  # between a track and its fault: speech3@moved-0.1


class Draw(NamedTuple):
    """The random part of a fault."""

    faulty: np.ndarray  # (F, K) indices of the faulty microphones
    direction: np.ndarray  # (F, M, 3) unit vectors
    noise: np.random.Generator


class Kind(NamedTuple):
    """A kind of fault.

    unit: of its level. count(level, mics, n_mics): the number of faulty microphones per frame.
    change(positions (F, M, 3), audio (F, M, L), level, draw, rate, margin): applies it in place.
    """

    unit: str
    count: Callable[[float, int, int], int]
    change: Callable[..., None]


def named(track: str, fault: str, level: float) -> str:
    """Name of a track with a fault: ``named("speech3", "moved", 0.1) == "speech3@moved-0.1"``."""
    return f"{track}{MARK}{fault}-{level:g}" if level else track


def parted(track: str) -> tuple[str, str, float]:
    """Track, fault and level of a name made by `named`; without a fault ``("speech3", "", 0)``."""
    base, _, rest = track.partition(MARK)
    fault, _, level = rest.rpartition("-")
    return base, fault, float(level or 0)


def apply(
    frames: Frames, kind: str, level: float, mics: int = 1, seed: int = 0, name: str = ""
) -> Frames:
    """Frames with a fault of `KINDS`; `InputError` for an unknown kind or an impossible level.

    level: in the unit of the kind. mics: number of faulty microphones per frame, for kinds whose
    level does not state it. name: of the frames, enters the seed. The column ``faulty`` of the
    table holds the indices of the faulty microphones, ``meta`` the fault.
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
    faulty = [" ".join(map(str, sorted(mics_of))) for mics_of in draw.faulty.tolist()]
    room = {key: frames.meta[key] for key in ("room", "origin") if key in frames.meta}
    unchanged = np.array_equal(positions, frames.mics(), equal_nan=True)
    return replace(
        frames,
        audio=audio,
        mic_positions=np.array(frames.mic_positions) if unchanged else positions,
        table=frames.table.assign(faulty=faulty),
        meta=room | {"fault": {"kind": kind, "level": level, "unit": unit, "mics": mics}},
    )


def faulty_mics(frames: Frames) -> np.ndarray:
    """Which microphones are faulty, from the table written by `apply`: (F, M) bool."""
    if "faulty" not in frames.table:
        raise InputError("the frames have no column 'faulty': no fault was applied to them")
    faulty = np.zeros((len(frames), frames.n_mics), bool)
    indices = [np.array(text.split(), int) for text in frames.table["faulty"]]
    rows = np.repeat(np.arange(len(frames)), [len(index) for index in indices])
    faulty[rows, np.concatenate(indices)] = True
    return faulty


# --------------------------------------------------------------------- stated positions


def _shift(positions: np.ndarray, _: np.ndarray, metres: float, draw: Draw, *__: float) -> None:
    """Shift the whole array in one direction."""
    positions += metres * draw.direction[:, :1]


def _rotation(positions: np.ndarray, _: np.ndarray, degrees: float, draw: Draw, *__: float) -> None:
    """Turn the whole array about the vertical axis through its centre."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    centre = np.nanmean(positions, axis=1, keepdims=True)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    positions[:] = (positions - centre) @ turn.T + centre


def _swapped(positions: np.ndarray, _: np.ndarray, pairs: float, draw: Draw, *__: float) -> None:
    """Exchange the positions of the two microphones of each faulty pair."""
    first, second = draw.faulty[:, ::2], draw.faulty[:, 1::2]
    rows = np.arange(len(positions))[:, None]
    positions[rows, first], positions[rows, second] = (
        positions[rows, second],
        positions[rows, first],
    )


def _moved(positions: np.ndarray, _: np.ndarray, metres: float, draw: Draw, *__: float) -> None:
    """Move each faulty microphone in a direction of its own."""
    rows = np.arange(len(positions))[:, None]
    positions[rows, draw.faulty] += metres * draw.direction[rows, draw.faulty]


# --------------------------------------------------------------------- signals


def _dead(_: np.ndarray, audio: np.ndarray, level: float, draw: Draw, *__: float) -> None:
    """Set the signal to zero."""
    audio[np.arange(len(audio))[:, None], draw.faulty] = 0


def _noisy(_: np.ndarray, audio: np.ndarray, ratio: float, draw: Draw, *__: float) -> None:
    """Add white noise of ``ratio`` times the standard deviation of the signal."""
    rows = np.arange(len(audio))[:, None]
    sound = audio[rows, draw.faulty]
    noise = draw.noise.standard_normal(sound.shape, dtype=np.float32)
    audio[rows, draw.faulty] += ratio * sound.std(axis=-1, keepdims=True) * noise


def _clipped(_: np.ndarray, audio: np.ndarray, decibel: float, draw: Draw, *__: float) -> None:
    """Clip the signal at ``decibel`` below the peak of its frame."""
    rows = np.arange(len(audio))[:, None]
    sound = audio[rows, draw.faulty]
    limit = np.abs(sound).max(axis=-1, keepdims=True) * 10 ** (-decibel / 20)
    audio[rows, draw.faulty] = np.clip(sound, -limit, limit)


def _delayed(
    _: np.ndarray, audio: np.ndarray, milliseconds: float, draw: Draw, rate: int, margin: int
) -> None:
    """Delay the signal by whole samples, within the margin of the frames."""
    delay = round(milliseconds * rate / 1000)
    if delay > margin:
        raise InputError(
            f"fault 'delayed', level {milliseconds:g} ms: {delay} samples, expected at most the "
            f"{margin} that the frames hold beside their window"
        )
    rows = np.arange(len(audio))[:, None]
    sound = np.roll(audio[rows, draw.faulty], delay, axis=-1)
    sound[..., :delay] = 0
    audio[rows, draw.faulty] = sound


KINDS = {
    "shift": Kind("m", lambda level, mics, n_mics: n_mics, _shift),
    "rotation": Kind("degrees", lambda level, mics, n_mics: n_mics, _rotation),
    "swapped": Kind("pairs", lambda level, mics, n_mics: 2 * int(level), _swapped),
    "moved": Kind("m", lambda level, mics, n_mics: mics, _moved),
    "dead": Kind("microphones", lambda level, mics, n_mics: int(level), _dead),
    "noisy": Kind("x signal", lambda level, mics, n_mics: mics, _noisy),
    "clipped": Kind("dB", lambda level, mics, n_mics: mics, _clipped),
    "delayed": Kind("ms", lambda level, mics, n_mics: mics, _delayed),
}
