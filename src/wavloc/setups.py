"""What a method knows: the four setups of the wav2pos paper (Sec. IV), microphone subsets."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wavloc import seeds
from wavloc.arrays import read_npy
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
        if self.subset is not None:
            check_subset(self.subset, "subset")

    @property
    def source_known(self) -> bool:
        return self.name.endswith("b")

    def known_mics(self, frames: Frames) -> np.ndarray:
        """Positions (F, K, 3) in metres of the chosen microphones; F = 1 if all frames share."""
        if self.subset is None:
            return frames.mic_positions.reshape(-1, frames.n_mics, 3)
        require_fit(self.subset, frames)
        return frames.mics()[np.arange(len(frames))[:, None], self.subset]

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
        require_fit(self.subset, frames)
        everyone = np.arange(frames.n_mics)
        if self.subset.shape[1] == len(everyone) and (self.subset == everyone).all():
            return granted  # arrays stay memory-mapped
        rows = np.arange(len(frames))[:, None]
        if self.name.startswith("1"):
            return replace(
                granted,
                audio=granted.audio[rows, self.subset],
                mic_positions=granted.mics()[rows, self.subset],
                arrivals=None if granted.arrivals is None else granted.arrivals[rows, self.subset],
            )
        known = np.full((len(frames), frames.n_mics, 3), np.nan)
        known[rows, self.subset] = granted.mics()[rows, self.subset]
        return replace(granted, mic_positions=known)


def require_fit(subset: np.ndarray, frames: Frames) -> None:
    """Raise `InputError` unless a subset (F, K) is one of the microphones of these frames."""
    if subset.shape[0] != len(frames) or subset.max() >= frames.n_mics:
        raise InputError(
            f"subset {subset.shape} with largest index {subset.max()} does not fit "
            f"{len(frames)} frames of {frames.n_mics} microphones"
        )


def draw_subsets(frames: int, n_mics: int, mics: int, dataset: str, seed: int) -> np.ndarray:
    """One random subset of ``mics`` microphones per frame: (F, mics) sorted indices.

    Drawn once per (dataset, mics, seed) and stored, so that all methods share them.
    """
    if not 1 <= mics <= n_mics:
        raise InputError(f"mics = {mics}: expected between 1 and the {n_mics} microphones present")
    random = seeds.rng(seed, "subset", dataset, mics).random((frames, n_mics))
    return np.sort(np.argsort(random, axis=1)[:, :mics], axis=1)


def check_subset(subset: np.ndarray, name: str) -> None:
    """Raise `InputError` unless each frame has one or more microphones, none of them twice."""
    if subset.ndim != 2 or subset.dtype.kind not in "iu":
        raise InputError(f"{name}: expected a 2-D integer array, got {subset.dtype} {subset.shape}")
    if not subset.size:
        raise InputError(f"{name}: shape {subset.shape}, expected one or more microphones a frame")
    if subset.min() < 0:
        raise InputError(f"{name}: microphone {subset.min()}, expected numbers from 0")
    if (np.diff(np.sort(subset, axis=1), axis=1) == 0).any():
        raise InputError(f"{name}: names a microphone twice in one frame")


def load_subset(path: str | Path) -> np.ndarray:
    """Read a stored subset (F, K); an impossible one is an `InputError`."""
    subset = np.array(read_npy(path))
    check_subset(subset, str(path))
    return subset
