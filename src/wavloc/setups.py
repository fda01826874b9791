"""What a method knows: the four setups of the wav2pos paper (Sec. IV), microphone subsets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wavloc import seeds
from wavloc.errors import InputError
from wavloc.frames import Frames

SETUPS = {
    "1a": "source audio unknown; audio and coordinates of the chosen microphones known",
    "1b": "as 1a, source audio known",
    "2a": "source audio unknown; audio of all microphones, coordinates of the chosen ones known",
    "2b": "as 2a, source audio known",
}


@dataclass(frozen=True)
class Setup:
    """A setup and its chosen microphones: subset (F, K), sorted indices per frame, None = all."""

    name: str = "1a"
    subset: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.name not in SETUPS:
            raise InputError(f"setup '{self.name}' is unknown, expected one of {', '.join(SETUPS)}")

    @property
    def source_known(self) -> bool:
        return self.name.endswith("b")

    def apply(self, frames: Frames, reveal_truth: bool = False) -> Frames:
        """Frames without what the setup hides.

        The source position is hidden, unless ``reveal_truth`` (the oracle control). Setups 1 remove
        the microphones outside the subset, setups 2 only their coordinates.
        """
        granted = replace(frames)
        if not reveal_truth:
            granted.source_position = np.full((len(frames), 3), np.nan)
        if not self.source_known:
            granted.source_audio = np.broadcast_to(np.float32(np.nan), frames.source_audio.shape)
        if self.subset is None:
            return granted
        if self.subset.shape[0] != len(frames) or self.subset.max() >= frames.n_mics:
            raise InputError(
                f"subset {self.subset.shape} with largest index {self.subset.max()} does not fit "
                f"{len(frames)} frames of {frames.n_mics} microphones"
            )
        everyone = np.arange(frames.n_mics)
        if self.subset.shape[1] == len(everyone) and (self.subset == everyone).all():
            return granted  # arrays stay memory-mapped
        rows = np.arange(len(frames))[:, None]
        if self.name.startswith("1"):
            return replace(
                granted,
                audio=granted.audio[rows, self.subset],
                mic_positions=granted.mics()[rows, self.subset],
            )
        known = np.full((len(frames), frames.n_mics, 3), np.nan)
        known[rows, self.subset] = granted.mics()[rows, self.subset]
        return replace(granted, mic_positions=known)


def draw_subsets(frames: int, n_mics: int, mics: int, dataset: str, seed: int) -> np.ndarray:
    """One random subset of ``mics`` microphones per frame: (F, mics) sorted indices.

    Drawn once per (dataset, mics, seed) and stored, so that all methods share them.
    """
    if not 1 <= mics <= n_mics:
        raise InputError(f"mics = {mics}: expected between 1 and the {n_mics} microphones present")
    random = seeds.rng(seed, "subset", dataset, mics).random((frames, n_mics))
    return np.sort(np.argsort(random, axis=1)[:, :mics], axis=1)


def load_subset(path: str | Path) -> np.ndarray:
    """Read a stored subset (F, K); anything but a 2-D integer array is an `InputError`."""
    try:
        subset = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as a microphone subset ({error})") from None
    if subset.ndim != 2 or subset.dtype.kind not in "iu":
        raise InputError(f"{path}: expected a 2-D integer array, got {subset.dtype} {subset.shape}")
    return subset
