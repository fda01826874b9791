"""One recorded take: audio at 16 kHz and the positions of microphones and loudspeaker, in sync.

Two layouts. Raw: a folder named after the take with ``Track 1.wav`` ... ``Track 12.wav`` and
perhaps ``Sync.wav``; the motion capture is ``<take>.tsv``, anywhere below the root. Converted: a
folder with the tracks, ``info.json`` and ``gt_positions.csv``.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wavloc import audio
from wavloc.datasets.takes import alignment, names, positions, temperature, tracks
from wavloc.errors import InputError
from wavloc.geometry import SPEED_OF_SOUND, speed_in_air


@dataclasses.dataclass
class Take:
    """A recorded take of M microphones; times are in seconds of the audio.

    audio: (M, n) float32 at 16 kHz; NaN for a microphone without sound. source_audio: (n,) of the
    microphone on the loudspeaker, or None. mics: (M, 3) metres. time_s: (T,) and track: (T, 3), the
    position of the loudspeaker in metres at these times; NaN = missing. speed_of_sound: m/s.
    warnings: problems that did not prevent reading.
    """

    name: str
    audio: np.ndarray
    source_audio: np.ndarray | None
    mics: np.ndarray
    time_s: np.ndarray
    track: np.ndarray
    speed_of_sound: float
    meta: dict[str, Any]
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How takes are read.

    sync: ``pulse`` (a start signal that the sound confirms, else as ``search``), ``search`` (the
    offset at which sound and positions fit best) or ``none`` (both begin together). sync_offset_s:
    take -> audio time of the first captured moment, where the user sets it. temperature_c: take, or
    ``all`` -> degrees Celsius, where no log has it; temperature_log: a file.
    """

    sync: Literal["pulse", "search", "none"] = "pulse"
    sync_offset_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    sync_reach_s: float = 30.0  # range of the search, and of the check of what is given
    max_clipped_share: float = 0.01  # largest fraction of clipped samples in a track
    temperature_c: Mapping[str, float] = dataclasses.field(default_factory=dict)
    temperature_log: str = ""


def read_take(root: Path, name: str, options: ReadOptions) -> Take:
    """Read the take ``name`` from any folder below ``root``.

    Unusable data are an `InputError` that names file, value and expectation; problems that can be
    worked around are listed in ``warnings``.
    """
    folder = _folder(root, name)
    warnings: list[str] = []
    converted = any((folder / file).is_file() for file in ("info.json", "gt_positions.csv"))
    if converted:
        stated = positions.read_csv(folder / "gt_positions.csv")
    else:
        stated = positions.read_capture(_capture(root, folder, name), warnings)
    stated.check(warnings)
    n_mics = len(stated.mics)
    sound, rate, meta = tracks.read(folder, n_mics, options.max_clipped_share, warnings)
    if converted and (folder / "info.json").is_file():
        tracks.check_info(folder, rate, n_mics, warnings)
    if sound.shape[1] < alignment.WINDOW:
        raise InputError(
            f"{folder}: {sound.shape[1] / audio.SAMPLE_RATE:.3f} s of sound, expected "
            f"{alignment.WINDOW / audio.SAMPLE_RATE:.3f} s or more"
        )
    celsius = _temperature(root, folder, name, options, warnings)
    speed = SPEED_OF_SOUND if celsius is None else speed_in_air(celsius)
    heard = alignment.Sound(sound[:n_mics], stated.mics, stated.time_s, stated.track, speed)
    sync = tracks.sync_file(folder, n_mics)
    offset_s, method = _offset(folder, name, options, converted, sync, heard, warnings)
    meta |= {
        "layout": "converted" if converted else "raw",
        "sync_offset_s": round(offset_s, 6),
        "sync": method,
        "rate_hz": rate,
        "temperature_c": celsius,
    }
    at_source = None if np.isnan(sound[n_mics, 0]) else sound[n_mics]
    captured = (stated.mics, stated.time_s + offset_s, stated.track)
    return Take(name, sound[:n_mics], at_source, *captured, speed, meta, warnings)


def _folder(root: Path, name: str) -> Path:
    """The folder below ``root`` with the tracks of a take; none or two are an `InputError`.

    It, or one that it lies in, is named after the take.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder with recordings")
    folders = sorted(
        path
        for path in root.rglob("*")
        if path.is_dir()
        and names.key(name) in map(names.key, path.relative_to(root).parts)
        and tracks.has_tracks(path)
    )
    if not folders:
        raise InputError(
            f"{root}: no folder of take '{name}' with tracks in it, expected e.g. "
            f"{name}/Track 1.wav"
        )
    if len(folders) > 1:
        raise InputError(f"{root}: take '{name}' is there twice: {folders[0]} and {folders[1]}")
    return folders[0]


def _capture(root: Path, folder: Path, name: str) -> Path:
    """The motion capture of a raw take: one .tsv below ``root``, preferably in a folder 3D."""
    paths = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() == ".tsv" and names.key(path.stem) == names.key(name)
    )
    paths = [path for path in paths if path.parent.name.upper() == "3D"] or paths
    if len(paths) != 1:
        reason = f"found {paths[0]} and {paths[1]}" if paths else "there is none"
        raise InputError(f"{root}: expected one ground truth {folder.name}.tsv below, {reason}")
    return paths[0]


def _temperature(
    root: Path, folder: Path, name: str, options: ReadOptions, warnings: list[str]
) -> float | None:
    """Degrees Celsius of a take: the option, else a log; None where nothing says it."""
    given = {names.key(key): value for key, value in options.temperature_c.items()}
    for key in (names.key(name), "all"):
        if key in given:
            return float(given[key])
    logs = temperature.find(root, folder, options.temperature_log)
    return temperature.read(logs, folder, name, warnings)


def _offset(
    folder: Path,
    name: str,
    options: ReadOptions,
    converted: bool,
    sync: Path | None,
    heard: alignment.Sound,
    warnings: list[str],
) -> tuple[float, str]:
    """Audio time of the first captured moment in seconds, and the method that gave it.

    What the user sets stands, with a warning where sound and positions fit clearly better at
    another offset. All else must be confirmed by the sound.
    """
    given = {names.key(key): value for key, value in options.sync_offset_s.items()}
    if names.key(name) in given or options.sync == "none":
        offset_s = float(given.get(names.key(name), 0.0))
        method = "given" if names.key(name) in given else "none"
        best = heard.best(offset_s, options.sync_reach_s)
        if best and best[1] and heard.contradicts(offset_s, best[0]):
            warnings.append(
                f"{folder}: motion capture is taken to begin at {offset_s:.3f} s of the audio "
                f"({method}), but sound and positions fit better at {best[0]:.3f} s"
            )
        return offset_s, method
    best = heard.best(0.0, options.sync_reach_s)
    doubts = []
    for offset_s, method, source in _signals(folder, options, converted, sync):
        if best is None or not heard.contradicts(offset_s, best[0]):
            if heard.confirms(offset_s):
                return offset_s, method
            if converted:
                warnings.append(f"{folder}: the sound does not confirm the times of {source}")
                return offset_s, method
        doubts.append(f"{source} says {offset_s:.3f} s, which the sound does not confirm")
    if options.sync == "pulse":
        doubts = doubts or ["there is no start signal"]
    if best is None or not best[1]:
        raise InputError(
            f"{folder}: when motion capture begins is unknown; "
            f"{'; '.join([*doubts, ''])}no offset within {options.sync_reach_s:g} s fits the sound "
            f"clearly best (option sync_offset_s.{name} says it)"
        )
    if doubts:
        warnings.append(
            f"{folder}: {'; '.join(doubts)}; by the sound, motion capture begins at "
            f"{best[0]:.3f} s of the audio"
        )
    return best[0], "search"


def _signals(
    folder: Path, options: ReadOptions, converted: bool, sync: Path | None
) -> list[tuple[float, str, str]]:
    """Offsets that the files of a take state: seconds, method, and what states them."""
    if options.sync == "search":
        return []
    stated = [(0.0, "converted", "gt_positions.csv")] if converted else []
    if sync is not None:
        samples, rate = audio.read_audio(sync)
        pulse_s = alignment.pulse(samples[:, 0], rate)
        if pulse_s is not None:
            stated.append((pulse_s, "pulse", sync.name))
    return stated
