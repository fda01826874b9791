"""One recorded take: audio at 16 kHz, positions of microphones and loudspeaker, one clock.

Two layouts. Raw: a folder of the take's name with ``Track 1.wav`` ... ``Track 12.wav`` and perhaps
``Sync.wav``, and somewhere else ``<take>.tsv`` of the motion capture. Converted: a folder with the
tracks, ``info.json`` and ``gt_positions.csv``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wavloc import audio as sound
from wavloc import files
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.takes import alignment, qualisys, trajectory
from wavloc.errors import InputError
from wavloc.geometry import LUVIRA_MICS, SPEED_OF_SOUND

LENGTHS_S = 0.01  # tracks of one take may differ by this much
FAR_M = 6.0  # no position of the hall is farther from its middle
CLOSE_M = 0.5  # no array of this kind is smaller
MOVED_M = 0.3  # microphones were put up once; from take to take they moved by millimetres


@dataclasses.dataclass
class Take:
    """audio (M, n) float32 at 16 kHz; source_audio (n,) of the microphone that rides along, or
    None; mics (M, 3), track (T, 3) metres, NaN = missing; time_s (T,) in seconds of the audio.
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
class Sync:
    """How audio and motion capture are put on one clock.

    mode: ``pulse`` (of Sync.wav), ``search`` (where sound and positions fit best) or ``none`` (both
    begin together); offset_s: given by hand, take -> audio time of the first moment of the capture.
    """

    mode: str = "pulse"
    offset_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    reach_s: float = 2.0


def take_name(text: str) -> str:
    """``music0001``, ``music_0001`` and ``music1`` are the same take: ``music1``."""
    found = re.fullmatch(r"([A-Za-z]+)[_ ]?0*(\d+)", text)
    return f"{found[1].lower()}{found[2]}" if found else text


def read_take(root: Path, name: str, sync: Sync, max_clipped_share: float) -> Take:
    """Read a take from somewhere below ``root``. What is wrong is an `InputError` naming file,
    value and expectation; what could be mended is in ``warnings``.
    """
    folder = _folder(root, name)
    warnings: list[str] = []
    converted = (folder / "info.json").is_file()
    reader = _converted if converted else _raw
    time_s, mics, track, source = reader(root, folder, name, warnings)
    _check_positions(source, mics, track, warnings)
    channels, source_audio, rate, meta = _tracks(folder, len(mics), max_clipped_share, warnings)
    if converted:
        _check_info(folder, rate, len(mics), warnings)
    offset, how = _offset(folder, name, sync, converted, rate, warnings)
    fit = (channels, mics, time_s, track, offset, sync.reach_s, SPEED_OF_SOUND)
    better = alignment.better_offset(*fit)
    if better is not None and sync.mode == "search" and how != "given":
        offset, how = better, "search"
    elif better is not None:
        warnings.append(
            f"{folder}: motion capture is taken to begin at {offset:.3f} s of the audio ({how}), "
            f"but sound and positions fit better at {better:.3f} s; see option sync_offset_s"
        )
    meta |= {
        "layout": "converted" if converted else "raw",
        "sync_offset_s": round(offset, 6),
        "sync": how,
        "rate_hz": rate,
    }
    return Take(name, channels, source_audio, mics, time_s + offset, track, meta, warnings)


def _folder(root: Path, name: str) -> Path:
    if not root.is_dir():
        raise InputError(f"{root}: no such folder with recordings")
    found = sorted(
        path
        for path in root.rglob("*")
        if path.is_dir() and take_name(path.name) == name and any(path.glob("Track *.wav"))
    )
    if not found:
        raise InputError(
            f"{root}: no folder of take '{name}' with tracks in it, expected e.g. "
            f"{name[:-1]}{int(name[-1]):04d}/Track 1.wav"
        )
    if len(found) > 1:
        raise InputError(f"{root}: take '{name}' is there twice: {found[0]} and {found[1]}")
    return found[0]


# --------------------------------------------------------------------------- positions


_Positions = tuple[np.ndarray, np.ndarray, np.ndarray, Path]


def _raw(root: Path, folder: Path, name: str, warnings: list[str]) -> _Positions:
    """Time (T,), microphones (11, 3) and loudspeaker (T, 3) from the export of the capture."""
    found = sorted(path for path in root.rglob("*.tsv") if take_name(path.stem) == name)
    found = [path for path in found if path.parent.name == "3D"] or found
    if len(found) != 1:
        what = f"found {found[0]} and {found[1]}" if found else "there is none"
        raise InputError(f"{root}: expected one ground truth {folder.name}.tsv below, {what}")
    capture = qualisys.read(found[0])
    warnings += capture.warnings
    by_name = {name.lower(): place for name, place in capture.markers.items()}
    speakers = [by_name[key] for key in sorted(by_name) if re.fullmatch(r"speaker\d+", key)]
    if len(speakers) != 4:
        raise InputError(
            f"{found[0]}: {len(speakers)} markers of the loudspeaker, expected speaker1..speaker4 "
            f"among {', '.join(list(capture.markers)[:30])}"
        )
    mics = np.full((len(LUVIRA_MICS), 3), np.nan)
    for k in range(len(mics)):
        sides = [by_name.get(f"mic{k + 1:02d}{side}") for side in "rl"]
        mics[k] = trajectory.microphone(*sides)
        seen = [side is not None and np.isfinite(side).any() for side in sides]
        if not any(seen):
            mics[k] = LUVIRA_MICS[k]
            warnings.append(
                f"{found[0]}: microphone {k + 1} was never seen; its published position is used"
            )
        elif not all(seen):
            warnings.append(
                f"{found[0]}: one marker of microphone {k + 1} was never seen; the other is used"
            )
    moved = np.linalg.norm(mics - LUVIRA_MICS, axis=1)
    if moved.max() > MOVED_M:
        warnings.append(
            f"{found[0]}: microphone {moved.argmax() + 1} is {moved.max():.2f} m from its "
            "published position"
        )
    return capture.time_s, mics, trajectory.loudspeaker(np.stack(speakers, axis=1)), found[0]


def _converted(root: Path, folder: Path, name: str, warnings: list[str]) -> _Positions:
    """Time, microphones (M, 3) and loudspeaker (T, 3) from gt_positions.csv."""
    path = folder / "gt_positions.csv"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not readable as csv ({error})") from None
    count = max([0, *(int(m[1]) for c in table for m in [re.fullmatch(r"mic(\d+)_x", c)] if m)])
    wanted = ["time", *(f"mic{k}_{a}" for k in range(1, count + 1) for a in "xyz")]
    wanted += [f"speaker_{axis}" for axis in "xyz"]
    missing = [column for column in wanted if column not in table]
    if missing or not count:
        raise InputError(f"{path}: no column '{(missing or ['mic1_x'])[0]}' in the header line")
    texts = table[wanted].apply(lambda column: column.str.strip().str.lower())
    values = texts.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = np.isnan(values) & ~texts.isin(["", "nan"]).to_numpy(bool)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        cell = table[wanted[column]].iloc[row]
        raise InputError(f"{path}, line {row + 2}, {wanted[column]}: '{cell}', expected a number")
    time_s = values[:, 0]
    back = np.flatnonzero(~(np.diff(time_s) > 0))
    if len(back):
        raise InputError(
            f"{path}, line {back[0] + 3}: time {time_s[back[0] + 1]:g} s after "
            f"{time_s[back[0]]:g} s, expected time stamps that increase"
        )
    places = values[:, 1:-3].reshape(len(values), count, 3)
    mics = np.array([trajectory.microphone(places[:, k], None) for k in range(count)])
    for k in np.flatnonzero(np.isnan(mics).any(axis=1)):
        raise InputError(f"{path}: microphone {k + 1} has no position in any line")
    return time_s, mics, values[:, -3:], path


def _check_positions(path: Path, mics: np.ndarray, track: np.ndarray, warnings: list[str]) -> None:
    """Refuse positions that cannot be metres of this hall, and tracks that are mostly missing."""
    known = track[np.isfinite(track).all(axis=1)]
    share = 1 - len(known) / max(len(track), 1)
    if share > 0.5:
        raise InputError(
            f"{path}: the loudspeaker is missing in {share:.0%} of the moments, expected 50 % at "
            "most"
        )
    span = float(np.ptp(mics, axis=0).max())
    farthest = float(max(np.abs(mics).max(), np.median(np.abs(known).max(axis=1))))
    if farthest > FAR_M or span < CLOSE_M:
        raise InputError(
            f"{path}: microphones {span:.4g} m apart, positions up to {farthest:.4g} m from the "
            f"origin; expected {CLOSE_M} m or more and {FAR_M:g} m or less (millimetres taken for "
            "metres, or the other way round?)"
        )
    outside = (np.abs(track) > FAR_M).any(axis=1)
    if outside.any():
        track[outside] = np.nan
        warnings.append(
            f"{path}: {int(outside.sum())} positions of the loudspeaker are outside the hall "
            "and count as missing"
        )


# --------------------------------------------------------------------------- sound


def _tracks(
    folder: Path, n_mics: int, max_clipped_share: float, warnings: list[str]
) -> tuple[np.ndarray, np.ndarray | None, int, dict[str, Any]]:
    """Microphones (M, n) and the one beside the loudspeaker (n,) at 16 kHz, and the rate in Hz."""
    paths = [folder / f"Track {k + 1}.wav" for k in range(n_mics + 1)]
    for path in paths[:-1]:
        if not path.is_file():
            raise InputError(f"{path}: this track is missing, expected Track 1..{n_mics + 1}.wav")
    if not paths[-1].is_file():
        warnings.append(f"{paths[-1]}: missing; the sound at the source is unknown in this take")
        paths.pop()
    channels, rates, lengths, clipped = [], {}, {}, {}
    for path in paths:
        samples, rate = sound.read_audio(path)
        if samples.shape[1] != 1:
            raise InputError(f"{path}: {samples.shape[1]} channels, expected 1")
        first = next(iter(rates.values()), rate)
        if rate != first or rate < SAMPLE_RATE:
            raise InputError(
                f"{path}: {rate} Hz, expected {first} Hz as in {paths[0].name}"
                if rate != first
                else f"{path}: {rate} Hz, expected {SAMPLE_RATE} Hz or more"
            )
        level = np.abs(samples[:, 0])
        if not level.max() > 0:
            raise InputError(f"{path}: silent from end to end (all samples are 0)")
        # Two samples in a row at full scale: a peak that just touches it is no clipping.
        full = level >= 1 - 2**-14
        share = float((full[1:] & full[:-1]).mean())
        if share > max_clipped_share:
            raise InputError(
                f"{path}: clipped, {share:.2%} of the samples are at full scale, expected "
                f"{max_clipped_share:.2%} at most (option max_clipped_share)"
            )
        if share:
            clipped[path.name] = round(share, 8)
        rates[path], lengths[path] = rate, len(samples)
        channels.append(sound.resample(samples[:, 0], rate, SAMPLE_RATE))
    rate = rates[paths[0]]
    longest, shortest = max(lengths, key=lengths.get), min(lengths, key=lengths.get)
    if lengths[longest] - lengths[shortest] > LENGTHS_S * rate:
        raise InputError(
            f"{shortest}: {lengths[shortest] / rate:.3f} s, but {longest.name} has "
            f"{lengths[longest] / rate:.3f} s; expected {LENGTHS_S * 1000:g} ms difference at most"
        )
    if lengths[longest] != lengths[shortest]:
        warnings.append(
            f"{folder}: tracks of {lengths[shortest]} to {lengths[longest]} samples, all cut to "
            "the shortest"
        )
    if clipped:
        warnings.append(f"{folder}: clipped samples, share by track: {clipped}")
    size = min(len(channel) for channel in channels)
    stacked = np.stack([channel[:size] for channel in channels])
    source = stacked[n_mics] if len(stacked) > n_mics else None
    meta = {"clipped": clipped, "audio_sha256": hashlib.sha256(stacked.tobytes()).hexdigest()}
    return stacked[:n_mics], source, rate, meta


def _check_info(folder: Path, rate: int, n_mics: int, warnings: list[str]) -> None:
    info = files.read_json(folder / "info.json")
    for key in ("sampling_rate", "number_of_mics"):
        if not isinstance(info, dict) or not isinstance(info.get(key), int | float):
            raise InputError(f"{folder / 'info.json'}: '{key}' is missing or not a number")
    if info["sampling_rate"] != rate:
        warnings.append(
            f"{folder / 'info.json'}: sampling_rate {info['sampling_rate']} Hz, but the tracks "
            f"have {rate} Hz, which counts"
        )
    if info["number_of_mics"] not in (n_mics, n_mics + 1):
        raise InputError(
            f"{folder / 'info.json'}: number_of_mics {info['number_of_mics']}, but "
            f"gt_positions.csv has {n_mics} microphones"
        )


def _offset(
    folder: Path, name: str, sync: Sync, converted: bool, rate: int, warnings: list[str]
) -> tuple[float, str]:
    """Audio time of the first moment of the capture in seconds, and where it is known from."""
    given = {take_name(key): value for key, value in sync.offset_s.items()}
    if name in given:
        return float(given[name]), "given"
    if converted:
        return 0.0, "converted"
    path = folder / "Sync.wav"
    if sync.mode == "pulse" and path.is_file():
        samples, own_rate = sound.read_audio(path)
        found = alignment.pulse(samples[:, 0], own_rate)
        if found is not None:
            return found, "pulse"
        warnings.append(f"{path}: no start signal in it; both are taken to begin together")
    elif sync.mode == "pulse":
        warnings.append(
            f"{path}: missing; sound and motion capture are taken to begin together "
            "(see options sync and sync_offset_s)"
        )
    return 0.0, "none"
