"""One recorded take: audio at 16 kHz and the positions of microphones and loudspeaker, in sync.

Two layouts. Raw: a folder named after the take with ``Track 1.wav`` ... ``Track 12.wav`` and
optionally ``Sync.wav``; the motion capture is ``<take>.tsv``, anywhere below the root. Converted: a
folder with the tracks, ``info.json`` and ``gt_positions.csv``.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wavloc import audio
from wavloc.datasets.takes import alignment, positions, tracks
from wavloc.errors import InputError


@dataclasses.dataclass
class Take:
    """A recorded take of M microphones; times are in seconds of the audio.

    audio: (M, n) float32 at 16 kHz. source_audio: (n,) of the microphone on the loudspeaker, or
    None. mics: (M, 3) metres. time_s: (T,) and track: (T, 3), the position of the loudspeaker in
    metres at these times; NaN = missing. warnings: problems that did not prevent reading.
    """

    name: str
    audio: np.ndarray
    source_audio: np.ndarray | None
    mics: np.ndarray
    time_s: np.ndarray
    track: np.ndarray
    meta: dict[str, Any]
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How takes are read.

    sync: ``pulse`` (start signal in Sync.wav), ``search`` (the offset at which audio and positions
    fit best) or ``none`` (both begin together). sync_offset_s: take -> audio time of the first
    captured moment, where the user sets it.
    """

    sync: Literal["pulse", "search", "none"] = "pulse"
    sync_offset_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    sync_reach_s: float = 2.0  # range of the search, and of the check in the other modes
    max_clipped_share: float = 0.01  # largest fraction of clipped samples in a track


def take_name(text: str) -> str:
    """Common name of a take: ``music0001``, ``music_0001`` and ``music1`` are all ``music1``."""
    match = re.fullmatch(r"([A-Za-z]+)[_ ]?0*(\d+)", text)
    return f"{match[1].lower()}{match[2]}" if match else text


def read_take(root: Path, name: str, options: ReadOptions) -> Take:
    """Read the take ``name`` from any folder below ``root``.

    Unusable data are an `InputError` that names file, value and expectation; problems that can be
    worked around are listed in ``warnings``.
    """
    folder = _folder(root, name)
    warnings: list[str] = []
    converted = (folder / "info.json").is_file()
    if converted:
        stated = positions.read_csv(folder / "gt_positions.csv")
    else:
        stated = positions.read_capture(_capture(root, folder, name), warnings)
    stated.check(warnings)
    n_mics = len(stated.mics)
    sound, rate, meta = tracks.read(folder, n_mics, options.max_clipped_share, warnings)
    if converted:
        tracks.check_info(folder, rate, n_mics, warnings)
    offset_s, method = _offset(folder, name, options, converted, warnings)
    fit = (sound[:n_mics], stated.mics, stated.time_s, stated.track)
    better_s = alignment.better_offset(*fit, offset_s, options.sync_reach_s)
    if better_s is not None and options.sync == "search" and method != "given":
        offset_s, method = better_s, "search"
    elif better_s is not None:
        warnings.append(
            f"{folder}: motion capture is taken to begin at {offset_s:.3f} s of the audio "
            f"({method}), but sound and positions fit better at {better_s:.3f} s; see option "
            "sync_offset_s"
        )
    meta |= {
        "layout": "converted" if converted else "raw",
        "sync_offset_s": round(offset_s, 6),
        "sync": method,
        "rate_hz": rate,
    }
    at_source = sound[n_mics] if len(sound) > n_mics else None
    captured = (stated.mics, stated.time_s + offset_s, stated.track)
    return Take(name, sound[:n_mics], at_source, *captured, meta, warnings)


def _folder(root: Path, name: str) -> Path:
    """The folder below ``root`` with the tracks of a take; none or two are an `InputError`."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder with recordings")
    folders = sorted(
        path
        for path in root.rglob("*")
        if path.is_dir() and take_name(path.name) == name and any(path.glob("Track *.wav"))
    )
    if not folders:
        raise InputError(
            f"{root}: no folder of take '{name}' with tracks in it, expected e.g. "
            f"{name[:-1]}{int(name[-1]):04d}/Track 1.wav"
        )
    if len(folders) > 1:
        raise InputError(f"{root}: take '{name}' is there twice: {folders[0]} and {folders[1]}")
    return folders[0]


def _capture(root: Path, folder: Path, name: str) -> Path:
    """The motion capture of a raw take: one .tsv below ``root``, preferably in a folder 3D."""
    paths = sorted(path for path in root.rglob("*.tsv") if take_name(path.stem) == name)
    paths = [path for path in paths if path.parent.name == "3D"] or paths
    if len(paths) != 1:
        reason = f"found {paths[0]} and {paths[1]}" if paths else "there is none"
        raise InputError(f"{root}: expected one ground truth {folder.name}.tsv below, {reason}")
    return paths[0]


def _offset(
    folder: Path, name: str, options: ReadOptions, converted: bool, warnings: list[str]
) -> tuple[float, str]:
    """Audio time of the first captured moment in seconds, and the method that gave it."""
    given = {take_name(key): value for key, value in options.sync_offset_s.items()}
    if name in given:
        return float(given[name]), "given"
    if converted:
        return 0.0, "converted"
    path = folder / "Sync.wav"
    if options.sync == "pulse" and path.is_file():
        samples, rate = audio.read_audio(path)
        pulse_s = alignment.pulse(samples[:, 0], rate)
        if pulse_s is not None:
            return pulse_s, "pulse"
        warnings.append(f"{path}: no start signal in it; both are taken to begin together")
    elif options.sync == "pulse":
        warnings.append(
            f"{path}: missing; sound and motion capture are taken to begin together "
            "(see options sync and sync_offset_s)"
        )
    return 0.0, "none"
