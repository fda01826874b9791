"""Speech in the folder layout of LibriSpeech (Panayotov et al. 2015), complete or in part.

``<root>/[LibriSpeech/][<subset>/]<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac``;
transcripts and SPEAKERS.TXT are not needed.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from wavloc import audio, files
from wavloc.datasets.sound.corpus import RUMBLE_HZ, SPLITS, Collected, Item
from wavloc.errors import InputError

# The wav2pos paper's split of test-clean; the validation speakers are those of its public code.
TEST_SPEAKERS = {"61", "121", "237"}
VALID_SPEAKERS = {"260", "672", "908"}
FRACTIONS = {"test_fraction": 0.2, "valid_fraction": 0.1}  # of speakers without a known split
MIN_RECORDING_S = 1.0  # shorter recordings are dropped (paper)


def collect(kind: str, options: dict[str, Any], cache: Path, seed: int) -> Collected:
    """Items and metadata of all usable utterances below ``options['root']``.

    options: root (folder), subset (such as test-clean; default: all), expect (number of files and
    speakers of a complete copy; default: not checked), min_seconds (2.0, after trimming),
    test_fraction and valid_fraction of the speakers (0.2, 0.1; not used if the paper's test
    speakers are among them), exclude (speakers that are left out).
    """
    root = Path(options["root"])
    excluded = {str(speaker) for speaker in options.get("exclude", [])}
    paths = utterances(root, str(options.get("subset", "")))
    paths = [path for path in paths if path.parts[-3] not in excluded]
    _check_complete(root, paths, options.get("expect", {}))
    fractions = (float(options.get(*known)) for known in FRACTIONS.items())
    split_of = split_speakers(sorted({path.parts[-3] for path in paths}), *fractions)
    return read(paths, float(options.get("min_seconds", 2.0)), split_of)


def _check_complete(root: Path, paths: list[Path], expect: Mapping[str, int]) -> None:
    """Raise `InputError` unless the numbers of files and speakers are the expected ones."""
    counts = {"files": len(paths), "speakers": len({path.parts[-3] for path in paths})}
    for key, expected in expect.items():
        if key not in counts:
            raise InputError(f"sound.speech.expect: unknown key '{key}', expected {list(counts)}")
        if counts[key] != expected:
            raise InputError(
                f"{root}: {counts[key]} {key}, expected {expected} (sound.speech.expect): not a "
                "complete copy?"
            )


def read(paths: list[Path], min_seconds: float, split_of: Mapping[str, str]) -> Collected:
    """Read, trim and high-pass all utterances; split_of: speaker -> split."""
    items, short, trimmed_short = [], 0, 0
    for path in tqdm(paths, desc="read speech", unit="file", disable=None, leave=False):
        samples, rate = audio.read_audio(path)
        if rate != audio.SAMPLE_RATE or samples.shape[1] != 1:
            raise InputError(
                f"{path}: {rate} Hz, {samples.shape[1]} channels; LibriSpeech is "
                f"{audio.SAMPLE_RATE} Hz, 1 channel"
            )
        if len(samples) < MIN_RECORDING_S * rate:
            short += 1
            continue
        sound = audio.highpass(trim(samples[:, 0]), RUMBLE_HZ, rate)
        if len(sound) < min_seconds * rate:
            trimmed_short += 1
            continue
        speaker = path.parts[-3]
        items.append(Item(path.stem, speaker, split_of[speaker], sound))
    counts = {
        "files": len(paths),
        "kept": len(items),
        "shorter_than_1_s": short,
        "short_after_trimming": trimmed_short,
        "kept_by_split": {name: sum(item.split == name for item in items) for name in SPLITS},
        "speakers": {
            name: sorted({item.speaker for item in items if item.split == name}, key=int)
            for name in SPLITS
        },
    }
    return items, {"counts": counts, "licence": "LibriSpeech: CC BY 4.0"}


def utterances(root: Path, subset: str = "") -> list[Path]:
    """Utterance files below a root, or of one subset of it, in a fixed order.

    `InputError` if there are none.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such LibriSpeech folder")
    paths = [
        path
        for path in root.rglob("*.flac")
        if path.parts[-3].isdigit()
        and path.stem.startswith(f"{path.parts[-3]}-{path.parts[-2]}-")
        and subset in ("", *path.parts)
    ]
    if not paths:
        raise InputError(
            f"{root}: no utterances found, expected {f'{subset}/' * bool(subset)}<speaker>/"
            "<chapter>/<speaker>-<chapter>-<number>.flac somewhere below"
        )
    return sorted(paths, key=lambda path: (int(path.parts[-3]), path.stem))


def split_speakers(speakers: list[str], test: float, valid: float) -> dict[str, str]:
    """Speaker -> split: the paper's if all its test speakers exist, else by a hash of the id."""
    if set(speakers) >= TEST_SPEAKERS:
        named = dict.fromkeys(TEST_SPEAKERS, "test") | dict.fromkeys(VALID_SPEAKERS, "valid")
        return {speaker: named.get(speaker, "train") for speaker in speakers}
    # The hash makes the choice independent of the numbering; ranking gives exact fractions.
    ranked = sorted(speakers, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    n_test = max(1, round(test * len(ranked)))
    n_valid = max(1, round(valid * len(ranked)))
    names = ["test"] * n_test + ["valid"] * n_valid
    names += ["train"] * max(0, len(ranked) - len(names))
    return dict(zip(ranked, names, strict=False))


def trim(samples: np.ndarray, below_db: float = 20.0) -> np.ndarray:
    """Drop silence anywhere in (n,): frames ``below_db`` or more below the loudest one.

    Frames of 2048 samples every 512, as in the public code of the wav2pos paper.
    """
    size, hop = 2048, 512
    if len(samples) < size:
        return samples
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    level = np.sqrt(np.square(windows).mean(axis=1))
    active = level > level.max() * 10 ** (-below_db / 20)
    keep = np.zeros(len(samples), bool)
    for frame in np.flatnonzero(active):
        keep[frame * hop : frame * hop + size] = True
    return samples[keep]


def utterance_path(root: Path, speaker: str, chapter: str, number: int) -> Path:
    """Path of an utterance in the layout of LibriSpeech."""
    return root / speaker / chapter / f"{speaker}-{chapter}-{number:04d}.flac"


def write_utterance(root: Path, speaker: str, chapter: str, number: int, sound: np.ndarray) -> None:
    """Write one utterance (n,) atomically as 16-bit FLAC in the layout of LibriSpeech."""
    with files.replacing(utterance_path(root, speaker, chapter, number)) as temporary:
        soundfile.write(temporary, sound, audio.SAMPLE_RATE, format="FLAC", subtype="PCM_16")
