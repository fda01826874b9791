"""Reading stored arrays: nothing is executed, no more memory is taken than the file can fill."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from wavloc.errors import InputError

_LARGEST_RATIO = 1100  # deflate reaches 1032
_UNREADABLE = (ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError)


def read_npy(path: str | Path) -> np.ndarray:
    """The memory-mapped array of an ``.npy`` file; anything else is an `InputError`."""
    path = Path(path)
    if path.exists() and not path.is_file():  # a pipe would wait for a writer
        raise InputError(f"{path}: not readable as an array (not a regular file)")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (*_UNREADABLE, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not readable as an array ({error})") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: not readable as an array (an archive of arrays)")
    return array


class Rows:
    """Chosen rows of several arrays, one after the other, that are read where they are asked for.

    It has of an array what frames need: shape, type, indices whose first is of rows. So the sound
    of many tracks is split and shuffled without a copy of it in memory.
    """

    def __init__(self, parts: Sequence[np.ndarray], chosen: np.ndarray | None = None):
        self.parts = parts
        ends = np.cumsum([0, *(len(part) for part in parts)])
        self.starts = ends[:-1]
        self.chosen = np.arange(ends[-1]) if chosen is None else chosen
        self.shape = (len(self.chosen), *parts[0].shape[1:])
        self.dtype, self.ndim = parts[0].dtype, parts[0].ndim

    def __len__(self) -> int:
        return len(self.chosen)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def select(self, index: Any) -> Rows:
        """Some of the rows."""
        return Rows(self.parts, self.chosen[index])

    def __getitem__(self, index: Any) -> np.ndarray:
        first, *rest = index if isinstance(index, tuple) else (index,)
        rows = self.chosen[first]
        if np.ndim(rows) == 0:
            part = int(np.searchsorted(self.starts, rows, "right")) - 1
            return self.parts[part][(int(rows) - self.starts[part], *rest)]
        parts = np.searchsorted(self.starts, rows, "right") - 1
        pairs = zip(parts, rows, strict=True)
        read = [self.parts[p][(int(row) - self.starts[p], *rest)] for p, row in pairs]
        return np.stack(read) if read else np.empty((0, *self.shape[1:]), self.dtype)


def chosen(array: np.ndarray | Rows, index: Any) -> Any:
    """Some rows of an array, lazily where it is lazy."""
    return array.select(index) if isinstance(array, Rows) else array[index]


def read_npz(path: str | Path, names: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Those arrays of an ``.npz`` file that are in ``names``, and the names of all."""
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    listed = []
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                listed.append(name)
                if name in names and name != member.filename:
                    with archive.open(member) as handle:
                        _require_filled(handle, member)
                    with archive.open(member) as handle:
                        arrays[name] = np.lib.format.read_array(handle, allow_pickle=False)
    except MemoryError:
        raise InputError(f"{path}: an array is larger than the memory") from None
    except (*_UNREADABLE, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not readable as .npz ({error})") from None
    return arrays, sorted(listed)


def _require_filled(handle: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Raise `ValueError` if the header of an array states more bytes than its member holds."""
    form = np.lib.format
    first = form.read_magic(handle) == (1, 0)
    read = form.read_array_header_1_0 if first else form.read_array_header_2_0
    shape, _, dtype = read(handle)
    stated = math.prod(shape) * dtype.itemsize
    most = min(member.file_size, _LARGEST_RATIO * (member.compress_size + 1))
    if stated > most:
        raise ValueError(
            f"{member.filename} states {stated:,} bytes, the file holds at most {most:,}"
        )
