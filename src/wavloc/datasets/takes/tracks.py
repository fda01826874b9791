"""The audio files of a recorded take: ``Track 1.wav`` ... ``Track 12.wav``, one microphone each.

Names in any case, with a blank, ``_``, ``-`` or nothing before the number. The channel of the start
signal is ``Sync.wav``, or the track after that of the loudspeaker.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np

from wavloc import audio, files
from wavloc.audio import SAMPLE_RATE
from wavloc.errors import InputError

LENGTHS_S = 0.01  # the tracks of a take may differ in length by this much
_TRACK = re.compile(r"track[ _-]*0*(\d+)\.wav", re.IGNORECASE)
_SYNC = re.compile(r"[^.]*sync[^.]*\.wav", re.IGNORECASE)


def has_tracks(folder: Path) -> bool:
    """Whether tracks lie in a folder."""
    return any(_TRACK.fullmatch(path.name) for path in folder.iterdir())


def numbered(folder: Path) -> dict[int, Path]:
    """Number -> track of a folder; two of one number are an `InputError`."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _TRACK.fullmatch(path.name)
        if match and found.setdefault(int(match[1]), path) != path:
            raise InputError(f"{path}: track {match[1]} is there twice, see {found[int(match[1])]}")
    return found


def sync_file(folder: Path, n_mics: int) -> Path | None:
    """The channel of the start signal, if there is one."""
    named = [path for path in sorted(folder.iterdir()) if _SYNC.fullmatch(path.name)]
    return named[0] if named else numbered(folder).get(n_mics + 2)


def read(
    folder: Path, n_mics: int, max_clipped_share: float, warnings: list[str]
) -> tuple[np.ndarray, int, dict[str, Any]]:
    """Sound of ``n_mics`` microphones and of the one on the loudspeaker.

    Returns (M + 1, n) float32 at 16 kHz, cut to the shortest track, NaN where a track is missing or
    all zero; the rate of the files in Hz; clipped samples, missing microphones and checksum.
    """
    paths = numbered(folder)
    channels: dict[int, np.ndarray] = {}
    lengths, clipped, common = {}, {}, ("", 0)
    for number in range(1, n_mics + 2):
        if number not in paths:
            continue
        path = paths[number]
        samples, rate = audio.read_audio(path)
        common = common if common[1] else (path.name, rate)
        if samples.shape[1] != 1:
            raise InputError(f"{path}: {samples.shape[1]} channels, expected 1")
        if rate != common[1]:
            raise InputError(f"{path}: {rate} Hz, expected {common[1]} Hz as in {common[0]}")
        if rate < SAMPLE_RATE:
            raise InputError(f"{path}: {rate} Hz, expected {SAMPLE_RATE} Hz or more")
        if not samples.any():
            continue
        share = _clipped_share(path, samples[:, 0], max_clipped_share)
        if share:
            clipped[path.name] = round(share, 8)
        lengths[path] = len(samples)
        channels[number] = audio.resample(samples[:, 0], rate, SAMPLE_RATE)
    missing = _missing(folder, paths, set(channels), n_mics, warnings)
    _check_lengths(folder, lengths, common[1], warnings)
    if clipped:
        warnings.append(f"{folder}: clipped samples, share by track: {clipped}")
    size = min(len(channel) for channel in channels.values())
    unknown = np.full(size, np.nan, np.float32)
    stacked = np.stack([channels.get(k, unknown)[:size] for k in range(1, n_mics + 2)])
    meta = {"clipped": clipped, "audio_sha256": hashlib.sha256(stacked.tobytes()).hexdigest()}
    return stacked, common[1], meta | ({"mics_without_sound": missing} if missing else {})


def _missing(
    folder: Path, paths: dict[int, Path], heard: set[int], n_mics: int, warnings: list[str]
) -> list[int]:
    """Microphones (from 1) without sound, with a warning each; two must have some."""
    numbers = [number for number in range(1, n_mics + 2) if number not in heard]
    for number in numbers:
        path = paths.get(number, folder / f"Track {number}.wav")
        reason = "all samples are 0" if number in paths else "missing"
        effect = f"the sound of microphone {number} is unknown in this take"
        if number > n_mics:
            effect = "the sound at the source is unknown in this take"
        warnings.append(f"{path}: {reason}; {effect}")
    missing = [number for number in numbers if number <= n_mics]
    if n_mics - len(missing) < 2:
        raise InputError(
            f"{folder}: {n_mics - len(missing)} of {n_mics} microphones have a track with sound, "
            f"expected Track 1..{n_mics}.wav"
        )
    return missing


def _clipped_share(path: Path, samples: np.ndarray, most: float) -> float:
    """Fraction of clipped samples (n,); more than ``most`` is an `InputError`."""
    # Two samples in a row at full scale: a peak that just touches it is not clipped.
    full = np.abs(samples) >= 1 - 2**-14
    share = float((full[1:] & full[:-1]).mean())
    if share > most:
        raise InputError(
            f"{path}: clipped, {share:.2%} of the samples are at full scale, expected "
            f"{most:.2%} at most (option max_clipped_share)"
        )
    return share


def _check_lengths(folder: Path, lengths: dict[Path, int], rate: int, warnings: list[str]) -> None:
    """Raise `InputError` if the tracks (path -> samples) differ by more than `LENGTHS_S`."""
    longest, shortest = (pick(lengths, key=lengths.__getitem__) for pick in (max, min))
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


def check_info(folder: Path, rate: int, n_mics: int, warnings: list[str]) -> None:
    """Compare info.json of the converted layout with the tracks (rate in Hz, microphones)."""
    path = folder / "info.json"
    info = files.read_json(path)
    if not isinstance(info, dict) or not isinstance(info.get("number_of_mics"), int | float):
        raise InputError(f"{path}: 'number_of_mics' is missing or not a number")
    stated = info.get("sampling_rate", rate)  # not all converters state it
    if stated != rate:
        warnings.append(
            f"{path}: sampling_rate {stated} Hz, but the tracks have {rate} Hz, which counts"
        )
    if info["number_of_mics"] not in (n_mics, n_mics + 1):
        raise InputError(
            f"{path}: number_of_mics {info['number_of_mics']}, but "
            f"gt_positions.csv has {n_mics} microphones"
        )
