"""What trainings keep of their frames: sound and features in half precision, each made once.

In a folder the arrays are mapped files that all trainings of a split share, each under a digest of
what it is made of: a network's features are computed by whoever comes first, by several processes
together where they come at once, and memory holds no more of them than it has to spare. Without a
folder they are kept in memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wavloc import files, provenance
from wavloc.errors import InputError, WorkError
from wavloc.frames import Frames, blocks

Batch = dict[str, Tensor]
Compute = Callable[[slice], Batch]


class Feature(NamedTuple):
    """What a method computes of normalised sound (B, 1 + M, N) before its network, and is kept.

    made_of: what decides it besides the sound, JSON; compute: from the sound and the features
    before it.
    """

    name: str
    made_of: Callable[[], Any]
    compute: Callable[[Tensor, Batch], Tensor]


PROGRESS, ARRAYS = "blocks", "arrays.json"
PROBED = 64  # frames whose sound tells some frames from others


class Store:
    """Arrays by what they are made of; folder None: in memory. most_gb: of the folder."""

    def __init__(self, folder: Path | None = None, most_gb: float = 32.0):
        self.folder, self.most_gb = folder, most_gb

    def kept(self, made_of: Any, count: int, size: int, compute: Compute, title: str) -> Batch:
        """Arrays of ``count`` rows, computed ``size`` rows at a time unless they are there.

        made_of: anything JSON that decides their values. Floating-point values are kept in half
        precision.
        """
        if self.folder is None:
            arrays: Batch = {}
            for block in blocks(count, size, title):
                part = _halved(compute(block))
                arrays = arrays or {
                    name: torch.empty((count, *value.shape[1:]), dtype=value.dtype)
                    for name, value in part.items()
                }
                _put(arrays, block, part)
            return arrays
        folder = self.folder / provenance.digest([made_of, count, size])
        folder.mkdir(parents=True, exist_ok=True)
        with _opened(folder / PROGRESS) as progress:
            with _Claim(progress, 0, wait=True):
                if not (folder / ARRAYS).is_file():
                    self._make(folder, count, _halved(compute(slice(0, 1))), title)
            arrays = _mapped(folder)
            for wait in (False, True):  # first what nobody else does, then what nobody has done
                for number, block in enumerate(blocks(count, size, title)):
                    if _done(progress, number):
                        continue
                    with _Claim(progress, number, wait) as mine:
                        if mine and not _done(progress, number):
                            _put(arrays, block, _halved(compute(block)))
                            os.pwrite(progress.fileno(), b"1", number)
        return arrays

    def _make(self, folder: Path, count: int, first: Batch, title: str) -> None:
        """Files of the full size, so that a full disk is met before the work."""
        assert self.folder is not None
        needed = sum(count * value[0].numel() * value.itemsize for value in first.values())
        there = sum(file.stat().st_size for file in self.folder.rglob("*.bin"))
        if needed + there > self.most_gb * 1e9:
            raise InputError(
                f"store {self.folder}: {title} take {needed / 1e9:.1f} GB beside the "
                f"{there / 1e9:.1f} GB that are there, expected at most {self.most_gb:g} GB in "
                "all; allow more (--store-gb), or train on fewer frames"
            )
        for name, value in first.items():
            with open(folder / f"{name}.bin", "wb") as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, count * value[0].numel() * value.itemsize)
                except OSError as error:
                    raise WorkError(f"store {self.folder}: {error.strerror}") from None
        shapes = {
            name: [[count, *value.shape[1:]], str(value.dtype).removeprefix("torch.")]
            for name, value in first.items()
        }
        files.write_json(folder / ARRAYS, shapes)


def _halved(part: Batch) -> Batch:
    return {k: v.half().cpu() if v.is_floating_point() else v.cpu() for k, v in part.items()}


def _put(arrays: Batch, block: slice, part: Batch) -> None:
    for name, value in part.items():
        arrays[name][block] = value


def _mapped(folder: Path) -> Batch:
    arrays = {}
    for name, (shape, dtype) in files.read_json(folder / ARRAYS).items():
        path, kind = str(folder / f"{name}.bin"), getattr(torch, dtype)
        flat = torch.from_file(path, shared=True, size=int(np.prod(shape)), dtype=kind)
        arrays[name] = flat.view(shape)
    return arrays


def _opened(path: Path) -> IO[bytes]:
    """The file to read and write, made where it is missing."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")


def _done(progress: IO[bytes], number: int) -> bool:
    return os.pread(progress.fileno(), 1, number) == b"1"


class _Claim:
    """A lock on one block; it ends with the process, whatever ends that."""

    def __init__(self, progress: IO[bytes], number: int, wait: bool):
        self.progress, self.number, self.how = progress, number, 0 if wait else fcntl.LOCK_NB

    def __enter__(self) -> bool:
        try:
            fcntl.lockf(self.progress, fcntl.LOCK_EX | self.how, 1, self.number)
        except BlockingIOError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self.progress, fcntl.LOCK_UN, 1, self.number)


# ------------------------------------------------------------------ what arrays are made of


def of_frames(frames: Frames) -> str:
    """Digest of positions and of the sound of some frames."""
    made = hashlib.sha256(np.ascontiguousarray(frames.source_position).tobytes())
    made.update(np.ascontiguousarray(frames.mic_positions).tobytes())
    for index in np.unique(np.linspace(0, len(frames) - 1, PROBED).astype(int)):
        made.update(np.ascontiguousarray(frames.audio[index]).tobytes())
        made.update(np.ascontiguousarray(frames.source_audio[index]).tobytes())
    return made.hexdigest()


def of_network(network: nn.Module | None) -> str:
    """Digest of the weights."""
    made = hashlib.sha256()
    for name, value in network.state_dict().items() if network else ():
        made.update(name.encode())
        made.update(value.detach().cpu().contiguous().numpy().tobytes())
    return made.hexdigest()


def sound(frames: Frames, block: slice) -> Batch:
    """``sound`` (B, 1 + M, L), the source first, and which signals are ``known`` (B, 1 + M).

    The microphones of a frame are scaled together, and the source alone, to a peak of 1: training
    scales the sound anyway, and half precision then has no noise that could be heard.
    """
    audio = np.concatenate([frames.source_audio[block][:, None], frames.audio[block]], axis=1)
    peak = np.fmax.reduce(np.abs(audio), axis=2)
    peak[:, 1:] = np.fmax.reduce(peak[:, 1:], axis=1, keepdims=True)
    peak = np.where(peak > 0, peak, 1)[..., None]  # also where there is no signal
    return {
        "sound": torch.from_numpy((audio / peak).astype(np.float32, copy=False)),
        "known": torch.from_numpy(np.isfinite(audio).all(axis=2)),
    }
