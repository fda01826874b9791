"""Reading stored arrays: nothing is executed, no more memory is taken than the file can fill."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

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


def read_npz(path: str | Path, names: Collection[str]) -> dict[str, np.ndarray | None]:
    """Arrays of an ``.npz`` file by name; those that are not in ``names`` are None, not read."""
    path = Path(path)
    arrays: dict[str, np.ndarray | None] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                arrays[name] = None
                if name in names and name != member.filename:
                    with archive.open(member) as handle:
                        _require_filled(handle, member)
                    with archive.open(member) as handle:
                        arrays[name] = np.lib.format.read_array(handle, allow_pickle=False)
    except MemoryError:
        raise InputError(f"{path}: an array is larger than the memory") from None
    except (*_UNREADABLE, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not readable as .npz ({error})") from None
    return arrays


def _require_filled(handle: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Raise `ValueError` if the header of an array states more bytes than its member holds."""
    version = np.lib.format.read_magic(handle)
    read = np.lib.format
    read = read.read_array_header_1_0 if version == (1, 0) else read.read_array_header_2_0
    shape, _, dtype = read(handle)
    stated = math.prod(shape) * dtype.itemsize
    most = min(member.file_size, _LARGEST_RATIO * (member.compress_size + 1))
    if stated > most:
        raise ValueError(
            f"{member.filename} states {stated:,} bytes, the file holds at most {most:,}"
        )
