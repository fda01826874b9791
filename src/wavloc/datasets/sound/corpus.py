"""Dry sound on disk: a folder of items (utterances or songs) at 16 kHz."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wavloc import files
from wavloc.audio import SAMPLE_RATE, highpass
from wavloc.errors import InputError

CONTENT = ("meta.json", "items.parquet", "audio.npy")  # files of a corpus folder
SPLITS = ("train", "valid", "test")
RUMBLE_HZ = 50.0  # high-pass of dry sound: simulated rooms amplify lower frequencies


@dataclasses.dataclass
class Item:
    """One utterance or song: samples (n,) float32 at 16 kHz; speaker: name of the voice or song."""

    id: str
    speaker: str
    split: str
    samples: np.ndarray
    title: str = ""


Collected = tuple[list[Item], dict[str, Any]]  # what a source gives: items, and their metadata


@dataclasses.dataclass
class Corpus:
    """Items of one kind of sound.

    items: one row per item (id, kind, speaker, split, title, start_sample, n_samples).
    samples: (n,) float32, memory-mapped; all items one after the other.
    meta: source, versions, licences.
    """

    items: pd.DataFrame
    samples: np.ndarray
    meta: dict[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> "Corpus":
        """Open a corpus folder; `InputError` if a file is missing or damaged."""
        folder = Path(folder)
        meta = files.read_json(folder / "meta.json")
        try:
            items = pd.read_parquet(folder / "items.parquet")
            samples = np.load(folder / "audio.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: not readable as a corpus ({error})") from None
        needed = int((items["start_sample"] + items["n_samples"]).max()) if len(items) else 0
        if samples.ndim != 1 or len(samples) < needed:
            raise InputError(f"{folder}/audio.npy: {samples.shape} samples, expected ({needed},)")
        return cls(items, samples, meta)

    def audio(self, index: int) -> np.ndarray:
        """Samples (n,) of the item in row ``index``."""
        row = self.items.iloc[index]
        start = int(row["start_sample"])
        return self.samples[start : start + int(row["n_samples"])]

    def select(self, split: str) -> "Corpus":
        """Items of one split; `InputError` if there are none."""
        chosen = self.items[self.items["split"] == split].reset_index(drop=True)
        if chosen.empty:
            raise InputError(
                f"the corpus has no items in split '{split}' "
                f"(there: {self.items['split'].value_counts().to_dict()})"
            )
        return Corpus(chosen, self.samples, self.meta)


def finished(sound: np.ndarray) -> np.ndarray:
    """Synthesised sound (n,) at 16 kHz without rumble, with a peak of 0.7."""
    sound = highpass(sound, RUMBLE_HZ, SAMPLE_RATE)
    return (0.7 * sound / np.abs(sound).max()).astype(np.float32)


def write(out: str | Path, kind: str, items: Iterable[Item], meta: Mapping[str, Any]) -> None:
    """Write a corpus folder atomically; `InputError` if there are no items."""
    items = list(items)
    if not items:
        raise InputError(f"no usable {kind} found: the corpus would be empty ({dict(meta)})")
    columns = ["id", "kind", "speaker", "split", "title", "n_samples"]
    rows = [(i.id, kind, i.speaker, i.split, i.title, len(i.samples)) for i in items]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(5, "start_sample", table["n_samples"].cumsum() - table["n_samples"])
    with files.replacing_folder(out, CONTENT) as temporary:
        temporary.mkdir()
        np.save(temporary / "audio.npy", np.concatenate([i.samples for i in items], dtype="f4"))
        table.to_parquet(temporary / "items.parquet", index=False)
        files.write_json(temporary / "meta.json", dict(meta) | {"sample_rate": SAMPLE_RATE})
