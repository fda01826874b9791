"""Sound from a pipe, as it comes: WAV, or raw samples of a known kind."""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from wavloc import audio
from wavloc.audio import RATES_HZ, SAMPLE_RATE
from wavloc.checks import number
from wavloc.errors import InputError
from wavloc.recordings.sound import Clocks, Recording

STALL_S = 2.0  # without sound, after which it is said
_PIECE = 2**16  # bytes
_FORMATS = {"s16": (2, "<i2"), "s24": (3, ""), "s32": (4, "<i4"), "f32": (4, "<f4")}
_WAV = {(1, 16): "s16", (1, 24): "s24", (1, 32): "s32", (3, 32): "f32"}  # tag and bits
_EXTENSIBLE = 0xFFFE


class Kind(NamedTuple):
    """Rate in Hz and format of interleaved samples, little-endian: s16, s24, s32 or f32."""

    rate: int
    form: str


def kind(text: str) -> Kind:
    """``48000:s16``."""
    rate, _, form = text.partition(":")
    if not rate.isdecimal() or form not in _FORMATS:
        expected = f"RATE:FORMAT such as 48000:s16, formats {', '.join(_FORMATS)}"
        raise InputError(f"--pcm: '{text}', expected {expected}")
    return Kind(number(int(rate), "--pcm: rate", *RATES_HZ, "Hz", whole=True), form)


class _Pipe:
    """Bytes from a file descriptor, as soon as there are some."""

    def __init__(self, descriptor: int, stalled: Callable[[], None]):
        self.descriptor, self.stalled, self.said = descriptor, stalled, False

    def some(self) -> bytes:
        """What is there; waits for it. Empty at the end."""
        while not select.select([self.descriptor], [], [], STALL_S)[0]:
            if not self.said:
                self.stalled()
            self.said = True
        self.said = False
        return os.read(self.descriptor, _PIECE)

    def exactly(self, count: int) -> bytes:
        """So many bytes."""
        content = b""
        while len(content) < count:
            piece = os.read(self.descriptor, count - len(content))
            if not piece:
                raise InputError("standard input: ends in its header, expected WAV (or --pcm)")
            content += piece
        return content


def open_stream(
    descriptor: int, n_mics: int, raw: Kind | None, stalled: Callable[[], None]
) -> Recording:
    """A recording that is read once, from a pipe with a channel for each microphone.

    raw: None where the pipe brings a WAV file; stalled: called when no sound comes for a while.
    """
    pipe = _Pipe(descriptor, stalled)
    found, channels = (raw, n_mics) if raw else _header(pipe)
    if channels != n_mics:
        raise InputError(
            f"standard input: {channels} channels, expected {n_mics} as in the list by --mics"
        )
    blocks = audio.resample_blocks(_blocks(pipe, found.form, n_mics), found.rate, SAMPLE_RATE)
    clocks = Clocks(np.zeros(n_mics), np.zeros(n_mics))
    return Recording(lambda: [blocks], [n_mics], clocks, None)


def _header(pipe: _Pipe) -> tuple[Kind, int]:
    """Kind and channels of a WAV file; the pipe is then at its first sample."""
    head = pipe.exactly(12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise InputError("standard input: no WAV file, expected one, or --pcm RATE:FORMAT")
    found = None
    while True:
        name, size = struct.unpack("<4sI", pipe.exactly(8))
        if name == b"data" and found:
            return found
        content = pipe.exactly(size + size % 2)
        if name == b"fmt " and size >= 16:
            tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
            if tag == _EXTENSIBLE and size >= 26:
                tag = struct.unpack("<H", content[24:26])[0]
            if (tag, bits) not in _WAV:
                raise InputError(
                    f"standard input: WAV of {bits} bits, tag {tag}, expected 16, 24 or 32 bits"
                )
            number(rate, "standard input: sample rate", *RATES_HZ, "Hz")
            found = Kind(rate, _WAV[tag, bits]), channels


def _blocks(pipe: _Pipe, form: str, channels: int) -> Iterator[np.ndarray]:
    """Samples (channels, n) float32; what remains of a last sample is dropped."""
    size, rest = _FORMATS[form][0] * channels, b""
    while piece := pipe.some():
        content = rest + piece
        whole = len(content) - len(content) % size
        rest = content[whole:]
        if whole:
            sound = _decoded(content[:whole], form).reshape(-1, channels).T
            if not np.isfinite(sound).all():
                raise InputError("standard input: contains NaN or infinite samples")
            yield np.ascontiguousarray(sound)


def _decoded(content: bytes, form: str) -> np.ndarray:
    """Samples (n,) float32 from -1 to 1."""
    size, dtype = _FORMATS[form]
    if form == "f32":
        return np.frombuffer(content, dtype)
    if form == "s24":
        three = np.frombuffer(content, np.uint8).reshape(-1, 3)
        values = np.pad(three, ((0, 0), (1, 0))).view("<i4")[:, 0]
        return (values / 2.0**31).astype(np.float32)
    return (np.frombuffer(content, dtype) / 2.0 ** (8 * size - 1)).astype(np.float32)
