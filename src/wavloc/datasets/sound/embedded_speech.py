"""Synthesised speech of many voices; needs only the pip package hibari-tts.

The utterances are synthesised once into the folder layout of LibriSpeech and then read like
LibriSpeech, so that synthesised and recorded speech are processed alike.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from wavloc import files, provenance, seeds
from wavloc.audio import SAMPLE_RATE
from wavloc.datasets.sound import librispeech, voices
from wavloc.datasets.sound.corpus import SPLITS, Collected
from wavloc.datasets.sound.sentences import sentences
from wavloc.errors import InputError

RECIPE = 2  # part of the cache's name: raise it when the sound of a voice changes
MIN_SECONDS = 1.0  # after trimming; keeps nearly all sentences
FIRST_SPEAKER = 1001
CHAPTER = "1"
LICENCE = (
    "speech synthesised by hibari-tts 0.2.1 (Apache-2.0, Maureese Williams), whose voice is "
    "distilled from Kokoro-82M (Apache-2.0, hexgrad); voices changed by wavloc"
)


def collect(kind: str, options: dict[str, Any], cache: Path, seed: int) -> Collected:
    """Items and metadata of the synthesised utterances; those in the cache are not made again.

    options: voices (16; half of them train, a quarter each valid and test), utterances_per_voice
    (12), min_seconds (1.0, after trimming).
    """
    split_of = split_voices(int(options.get("voices", 16)))
    per_voice = int(options.get("utterances_per_voice", 12))
    if per_voice < 1:
        raise InputError(f"sound.speech.utterances_per_voice is {per_voice}, expected at least 1")
    voices.check_model()
    grid = dict(zip(split_of, voices.grid(len(split_of), seed), strict=True))
    texts = [sentences(split) for split in SPLITS]
    # All that the sound depends on, except the processor.
    parts = [RECIPE, voices.VERSION, seed, per_voice, *map(dataclasses.astuple, grid.values())]
    folder = cache / f"speech-{provenance.digest([*parts, texts])}"
    with files.lock(cache / f".{folder.name}.lock"):
        _synthesise(folder, grid, plan(split_of, per_voice, seed), seed)
    paths, shortest = librispeech.utterances(folder), options.get("min_seconds", MIN_SECONDS)
    items, meta = librispeech.read(paths, float(shortest), split_of)
    meta |= {
        "package": voices.PACKAGE,
        "version": voices.VERSION,
        "model_sha256": voices.MODEL_SHA256,
        "licence": LICENCE,
        "voices": {name: dataclasses.asdict(voice) for name, voice in grid.items()},
    }
    return items, meta


def split_voices(count: int) -> dict[str, str]:
    """Speaker number -> split: a quarter valid, a quarter test, and at least one of each split.

    Voices alternate between low and high, so splits are assigned to two consecutive voices.
    """
    if count < 3:
        raise InputError(f"sound.speech.voices is {count}, expected at least 3, one per split")
    quarter = max(1, count // 4)
    left = {"test": quarter, "valid": quarter, "train": count - 2 * quarter}
    pattern = ("train", "train", "valid", "valid", "train", "train", "test", "test")
    split_of = {}
    for index in range(count):
        split = pattern[index % len(pattern)]
        if not left[split]:
            split = max(left, key=left.__getitem__)
        left[split] -= 1
        split_of[str(FIRST_SPEAKER + index)] = split
    return split_of


def plan(split_of: dict[str, str], per_voice: int, seed: int) -> dict[str, list[str]]:
    """Sentences of each speaker; a split repeats a sentence only after it has used all."""
    order = {
        split: seeds.rng(seed, "embedded sentences", split).permutation(sentences(split)).tolist()
        for split in SPLITS
    }
    used = dict.fromkeys(SPLITS, 0)
    chosen = {}
    for speaker, split in split_of.items():
        start, pool = used[split], order[split]
        chosen[speaker] = [pool[(start + k) % len(pool)] for k in range(per_voice)]
        used[split] += per_voice
    return chosen


def _synthesise(
    folder: Path, grid: dict[str, voices.Voice], texts: dict[str, list[str]], seed: int
) -> None:
    """Synthesise the utterances that are not in the folder yet."""
    missing = [
        (speaker, number)
        for speaker in grid
        for number in range(len(texts[speaker]))
        if not librispeech.utterance_path(folder, speaker, CHAPTER, number).is_file()
    ]
    if not missing:
        return
    synthesiser = voices.Speaker()
    for speaker, number in tqdm(missing, desc="synthesise speech", unit="sentence", disable=None):
        rng = seeds.rng(seed, "embedded utterance", speaker, number)
        pauses = [np.zeros(round(s * SAMPLE_RATE), np.float32) for s in rng.uniform(0.05, 0.15, 2)]
        sound = synthesiser.say(texts[speaker][number], grid[speaker], rng)
        librispeech.write_utterance(
            folder, speaker, CHAPTER, number, np.concatenate([pauses[0], sound, pauses[1]])
        )
