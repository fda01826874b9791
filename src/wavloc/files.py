"""Atomic writes: a final name never shows a half-written file, and a failure loses nothing."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from wavloc.errors import InputError

# Files that tools leave in our folders; they do not count as content.
_FOREIGN = {".snakemake_timestamp"}


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file name beside ``path``; the file moves there if the block succeeds.

    Only a regular file is ever replaced. A folder or a device of that name is an `InputError`, as
    is a path that cannot be written; both are raised before the block runs.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder, expected the name of a file")
    with _holder(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def replacing_folder(
    path: str | Path, required: Collection[str], optional: Collection[str] | None = ()
) -> Iterator[Path]:
    """Yield a temporary name beside the folder ``path``; the caller creates the folder there.

    The new folder replaces ``path`` if the block succeeds; otherwise ``path`` is left as it was.
    An existing folder is replaced only if it is empty or of the same kind: it holds every
    ``required`` entry and, besides these, only ``optional`` ones (None: anything). A folder of
    another kind is an `InputError`, raised before the block runs.
    """
    path = Path(path)
    _require_ours(path, set(required), optional)
    with _holder(path) as temporary:
        yield temporary
        if not path.is_dir():
            os.replace(temporary, path)
            return
        _require_ours(path, set(required), optional)  # it may have changed meanwhile
        old = temporary.parent / "old"
        os.replace(path, old)  # a filled folder cannot be replaced in one step
        try:
            os.replace(temporary, path)
        except OSError:
            os.replace(old, path)
            raise


def _require_ours(path: Path, required: set[str], optional: Collection[str] | None) -> None:
    """Raise `InputError` if ``path`` exists and is not a folder that may be replaced."""
    if not path.is_dir():
        if path.exists():
            raise InputError(f"cannot write {path}: it is no folder")
        return
    entries = {entry.name for entry in path.iterdir()} - _FOREIGN
    foreign = set() if optional is None else entries - required - set(optional)
    if path.is_symlink():
        reason = "it is a link"
    elif foreign:
        reason = f"it holds '{min(foreign)}'"
    elif entries and not required <= entries:
        reason = f"it has no '{min(required - entries)}'"
    else:
        return
    raise InputError(
        f"cannot write {path}: a folder that this command did not make ({reason}); "
        "name another one, or remove it first"
    )


@contextlib.contextmanager
def _holder(path: Path) -> Iterator[Path]:
    """Yield a name inside a temporary folder beside ``path``; the folder is removed at the end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"cannot write {path}: neither a regular file nor a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    try:
        yield holder / path.name
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically with sorted keys, so that equal content gives equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing or damaged file is an `InputError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None


def checksum(path: str | Path, algorithm: str) -> str:
    """Hexadecimal digest of a file; ``algorithm`` is a name of hashlib (md5, sha256)."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return checksum(path, "sha256")


@contextlib.contextmanager
def lock(path: str | Path) -> Iterator[None]:
    """Wait for an exclusive lock on a file and hold it; it is freed if the process dies."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
