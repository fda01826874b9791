"""Microphones and sound as a caller has them: files, tables or arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from wavloc.errors import InputError
from wavloc.recordings import microphones, sound
from wavloc.recordings.microphones import Microphones
from wavloc.recordings.sound import Recording

Audio = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | np.ndarray
Mics = str | os.PathLike[str] | pd.DataFrame | np.ndarray | Sequence[Sequence[float]]


def array_of(mics: Mics, audio: Audio, units: str = "m") -> Microphones:
    """Microphones of a list in a file, a table or an array (M, 3).

    Those of an array have the names of the audio files where there is one for each, else m1 ...
    """
    if isinstance(mics, str | os.PathLike):
        return microphones.read(Path(mics), units)
    if isinstance(mics, pd.DataFrame):
        return microphones.of_table(mics, units)
    positions = np.asarray(mics)
    paths = [] if isinstance(audio, np.ndarray) else _paths(audio)
    names = [microphones.stem(path) for path in paths] if len(paths) == len(positions) > 1 else []
    return microphones.of_array(positions, names, units)


def recording_of(audio: Audio, sample_rate: int | None, array: Microphones) -> Recording:
    """The recording of a file, of one file per microphone, or of an array (M, n) in memory.

    sample_rate: of an array, in Hz; files state theirs.
    """
    if isinstance(audio, np.ndarray):
        return sound.open_array(audio, sample_rate, array.names, array.start_s)
    recording = sound.open_files(_paths(audio), array.names, array.start_s)
    if sample_rate not in (None, recording.rate):
        raise InputError(
            f"sample_rate: {sample_rate}, but the recording has {recording.rate} Hz; "
            "expected None with files"
        )
    return recording


def _paths(audio: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Paths of one file or of several."""
    if isinstance(audio, str | os.PathLike):
        return [Path(audio)]
    given = list(audio)
    if not given or not all(isinstance(path, str | os.PathLike) for path in given):
        raise InputError(
            f"audio: {type(audio).__name__}, expected a path, paths, or a NumPy array (channels, "
            "samples) with its sample_rate"
        )
    return [Path(path) for path in given]
