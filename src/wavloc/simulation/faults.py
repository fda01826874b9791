"""Faulty microphones: one kind of fault, applied to the stated positions or the audio of Frames.

Methods are not told which microphones are faulty. The faulty microphones are drawn per frame and
are the same for every kind and level, so that curves over the level are paired. Level 0 changes
nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.frames import NO_SOUND, Frames

MARK = "@"  # between a track and its fault: speech3@moved-0.1


class Draw(NamedTuple):
    """What a fault needs besides its level: random draws, and sizes of the frames."""

    faulty: np.ndarray  # (F, K) indices of the faulty microphones
    direction: np.ndarray  # (F, M, 3) unit vectors
    noise: np.random.Generator
    rate: int  # Hz
    margin: int  # samples stored on both sides of a frame


class Kind(NamedTuple):
    """A kind of fault.

    unit: of its level. faulty(level, mics, n_mics): the number of faulty microphones per frame.
    change(values, level, draw): new positions (F, M, 3), or new signals (F, K, L) of the faulty
    microphones if ``signals``.
    """

    unit: str
    signals: bool
    faulty: Callable[[float, int, int], int]
    change: Callable[[np.ndarray, float, Draw], np.ndarray]


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
    unit, signals, faulty_count, change = KINDS[kind]
    if unit in ("microphones", "pairs") and level != int(level):
        raise InputError(f"fault '{kind}', level {level:g}: expected a whole number of {unit}")
    number = faulty_count(level, mics, frames.n_mics) if level else 0
    if not 0 <= number <= frames.n_mics:
        raise InputError(
            f"fault '{kind}', level {level:g} with {mics} microphones: concerns {number}, "
            f"expected at most the {frames.n_mics} there are"
        )
    if signals and not frames.has_sound:
        raise InputError(f"fault '{kind}' {NO_SOUND}")
    shape = (len(frames), frames.n_mics)
    rng = seeds.rng(seed, "fault", name)
    order = np.argsort(rng.random(shape), axis=1)
    direction = rng.normal(size=(*shape, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    noise = seeds.rng(seed, "fault noise", name)
    margin = (frames.audio.shape[-1] - frames.frame_samples) // 2
    draw = Draw(order[:, :number], direction, noise, frames.sample_rate, margin)
    positions, audio = np.array(frames.mics()), np.array(frames.audio)
    if level and signals:
        rows = np.arange(len(frames))[:, None]
        audio[rows, draw.faulty] = change(audio[rows, draw.faulty], level, draw)
    elif level:
        positions = change(positions, level, draw)
    faulty = [" ".join(map(str, sorted(mics_of))) for mics_of in draw.faulty.tolist()]
    unchanged = np.array_equal(positions, frames.mics(), equal_nan=True)
    return replace(
        frames,
        audio=audio,
        mic_positions=np.array(frames.mic_positions) if unchanged else positions,
        table=frames.table.assign(faulty=faulty),
        meta=frames.place | {"fault": {"kind": kind, "level": level, "unit": unit, "mics": mics}},
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


def _shift(positions: np.ndarray, metres: float, draw: Draw) -> np.ndarray:
    """Shift the whole array in one direction."""
    return positions + metres * draw.direction[:, :1]


def _rotation(positions: np.ndarray, degrees: float, draw: Draw) -> np.ndarray:
    """Turn the whole array about the vertical axis through its centre."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    centre = np.nanmean(positions, axis=1, keepdims=True)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return (positions - centre) @ turn.T + centre


def _swapped(positions: np.ndarray, pairs: float, draw: Draw) -> np.ndarray:
    """Exchange the positions of the two microphones of each faulty pair."""
    order = np.tile(np.arange(positions.shape[1]), (len(positions), 1))
    first, second = draw.faulty[:, ::2], draw.faulty[:, 1::2]
    np.put_along_axis(order, first, second, axis=1)
    np.put_along_axis(order, second, first, axis=1)
    return np.take_along_axis(positions, order[..., None], axis=1)


def _moved(positions: np.ndarray, metres: float, draw: Draw) -> np.ndarray:
    """Move each faulty microphone in a direction of its own."""
    rows, moved = np.arange(len(positions))[:, None], positions.copy()
    moved[rows, draw.faulty] += metres * draw.direction[rows, draw.faulty]
    return moved


def _dead(sound: np.ndarray, level: float, draw: Draw) -> np.ndarray:
    """Set the signal to zero."""
    return np.zeros_like(sound)


def _noisy(sound: np.ndarray, ratio: float, draw: Draw) -> np.ndarray:
    """Add white noise of ``ratio`` times the standard deviation of the signal."""
    noise = draw.noise.standard_normal(sound.shape, dtype=np.float32)
    return sound + ratio * sound.std(axis=-1, keepdims=True) * noise


def _clipped(sound: np.ndarray, decibel: float, draw: Draw) -> np.ndarray:
    """Clip the signal at ``decibel`` below the peak of its frame."""
    limit = np.abs(sound).max(axis=-1, keepdims=True) * 10 ** (-decibel / 20)
    return np.clip(sound, -limit, limit)


def _delayed(sound: np.ndarray, milliseconds: float, draw: Draw) -> np.ndarray:
    """Delay the signal by whole samples, within the margin of the frames."""
    delay = round(milliseconds * draw.rate / 1000)
    if delay > draw.margin:
        raise InputError(
            f"fault 'delayed', level {milliseconds:g} ms: {delay} samples, expected at most the "
            f"{draw.margin} that the frames hold beside their window"
        )
    delayed = np.roll(sound, delay, axis=-1)
    delayed[..., :delay] = 0
    return delayed


KINDS = {
    "shift": Kind("m", False, lambda level, mics, n_mics: n_mics, _shift),
    "rotation": Kind("degrees", False, lambda level, mics, n_mics: n_mics, _rotation),
    "swapped": Kind("pairs", False, lambda level, mics, n_mics: 2 * int(level), _swapped),
    "moved": Kind("m", False, lambda level, mics, n_mics: mics, _moved),
    "dead": Kind("microphones", True, lambda level, mics, n_mics: int(level), _dead),
    "noisy": Kind("x signal", True, lambda level, mics, n_mics: mics, _noisy),
    "clipped": Kind("dB", True, lambda level, mics, n_mics: mics, _clipped),
    "delayed": Kind("ms", True, lambda level, mics, n_mics: mics, _delayed),
}
