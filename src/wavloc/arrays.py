"""Reading stored arrays: nothing is executed, no more memory is taken than the file can fill."""

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
