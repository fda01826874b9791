"""The audio files of a recorded take: ``Track 1.wav`` ... ``Track 12.wav``, one microphone each."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from wavloc import audio, files
from wavloc.audio import SAMPLE_RATE
from wavloc.errors import InputError

LENGTHS_S = 0.01  # the tracks of a take may differ in length by this much


def read(
    folder: Path, n_mics: int, max_clipped_share: float, warnings: list[str]
) -> tuple[np.ndarray, int, dict[str, Any]]:
    """Sound of ``n_mics`` microphones and, if it exists, of the one on the loudspeaker.

    Returns (M, n) or (M + 1, n) float32 at 16 kHz, cut to the shortest track; the rate of the
    files in Hz; clipped samples and checksum.
    """
    paths = _paths(folder, n_mics, warnings)
    channels, lengths, clipped, common_rate = [], {}, {}, 0
    for path in paths:
        samples, rate = audio.read_audio(path)
        common_rate = common_rate or rate
        if samples.shape[1] != 1:
            raise InputError(f"{path}: {samples.shape[1]} channels, expected 1")
        if rate != common_rate:
            raise InputError(f"{path}: {rate} Hz, expected {common_rate} Hz as in {paths[0].name}")
        if rate < SAMPLE_RATE:
            raise InputError(f"{path}: {rate} Hz, expected {SAMPLE_RATE} Hz or more")
        share = _clipped_share(path, samples[:, 0], max_clipped_share)
        if share:
            clipped[path.name] = round(share, 8)
        lengths[path] = len(samples)
        channels.append(audio.resample(samples[:, 0], rate, SAMPLE_RATE))
    _check_lengths(folder, lengths, common_rate, warnings)
    if clipped:
        warnings.append(f"{folder}: clipped samples, share by track: {clipped}")
    size = min(len(channel) for channel in channels)
    stacked = np.stack([channel[:size] for channel in channels])
    meta = {"clipped": clipped, "audio_sha256": hashlib.sha256(stacked.tobytes()).hexdigest()}
    return stacked, common_rate, meta


def _paths(folder: Path, n_mics: int, warnings: list[str]) -> list[Path]:
    """Files of the microphones and, if it exists, of the one on the loudspeaker."""
    paths = [folder / f"Track {k + 1}.wav" for k in range(n_mics + 1)]
    for path in paths[:-1]:
        if not path.is_file():
            raise InputError(f"{path}: this track is missing, expected Track 1..{n_mics + 1}.wav")
    if not paths[-1].is_file():
        warnings.append(f"{paths[-1]}: missing; the sound at the source is unknown in this take")
        paths.pop()
    return paths


def _clipped_share(path: Path, samples: np.ndarray, most: float) -> float:
    """Fraction of clipped samples (n,); more than ``most``, or only zeros, is an `InputError`."""
    level = np.abs(samples)
    if not level.max() > 0:
        raise InputError(f"{path}: silent from end to end (all samples are 0)")
    # Two samples in a row at full scale: a peak that just touches it is not clipped.
    full = level >= 1 - 2**-14
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
    for key in ("sampling_rate", "number_of_mics"):
        if not isinstance(info, dict) or not isinstance(info.get(key), int | float):
            raise InputError(f"{path}: '{key}' is missing or not a number")
    if info["sampling_rate"] != rate:
        warnings.append(
            f"{path}: sampling_rate {info['sampling_rate']} Hz, but the tracks "
            f"have {rate} Hz, which counts"
        )
    if info["number_of_mics"] not in (n_mics, n_mics + 1):
        raise InputError(
            f"{path}: number_of_mics {info['number_of_mics']}, but "
            f"gt_positions.csv has {n_mics} microphones"
        )
