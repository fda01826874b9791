"""Atomic writes: a final name never shows a half-written file, and a failure loses nothing.

Outputs are made in a temporary folder ``.NAME.xxxxxxxx`` beside them. A killed run leaves that
folder; the next one that writes NAME removes it, and first puts back what it had moved aside.
"""

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

from wavloc.errors import InputError, WavlocError, WorkError

# Files that tools leave in our folders; they do not count as content.
_FOREIGN = {".snakemake_timestamp"}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_BYTES = 2**16  # with less space than this a failed write is put down to a full disk
_NEW_S = 60.0  # a temporary folder without its lock is left alone for this long
STDOUT = Path("-")  # a name for standard output, where `write_text` is used


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file name beside ``path``; the file moves there if the block succeeds.

    Only a regular file is ever replaced; for a link, the file that it leads to. A folder or a
    device of that name is an `InputError`, as is a path that cannot be written; both are raised
    before the block runs. A disk that is full is a `WorkError`.
    """
    path = _file(Path(path))
    with _holder(path) as temporary:
        yield temporary
        os.chmod(temporary, _lock_of(temporary).stat().st_mode & 0o777)  # some writers ignore umask
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
        old = _old_of(temporary)
        os.replace(path, old)  # a filled folder cannot be replaced in one step
        try:
            os.replace(temporary, path)
        except OSError:
            os.replace(old, path)
            raise


def check_file(path: str | Path) -> None:
    """Raise `InputError` if `replacing` could not write the file ``path``; nothing is created."""
    _check_parent(_file(Path(path)))


def check_folder(
    path: str | Path, required: Collection[str], optional: Collection[str] | None = ()
) -> None:
    """Raise `InputError` if `replacing_folder` could not write the folder; nothing is created."""
    path = Path(path)
    _require_ours(path, set(required), optional)
    _check_parent(path)


def _check_parent(path: Path) -> None:
    """Raise `InputError` unless a file can be made where ``path`` will be."""
    folder = path.parent
    try:
        while not os.path.lexists(folder):
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot(path, error) from None


def _file(path: Path) -> Path:
    """The regular file that is written for ``path``: itself, or where a link leads to."""
    _require_name(path)
    try:
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder, expected the name of a file")
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        if target.exists() and not target.is_file():
            raise InputError(f"cannot write {path}: neither a regular file nor a folder")
    except OSError as error:
        raise _cannot(path, error) from None
    if path.is_symlink() and not target.is_file():
        raise InputError(f"cannot write {path}: a link to {target}, which does not exist")
    return target


def _require_name(path: Path) -> None:
    if path == STDOUT:
        raise InputError("cannot write '-': standard output cannot hold this, expected a name")
    if path.name in ("", "..") or "\0" in str(path):
        raise InputError(f"cannot write {str(path)!r}: expected a name for the output")


def _require_ours(path: Path, required: set[str], optional: Collection[str] | None) -> None:
    """Raise `InputError` if ``path`` exists and is not a folder that may be replaced."""
    _require_name(path)
    clean(path)
    try:
        if not path.is_dir():
            if os.path.lexists(path):
                raise InputError(f"cannot write {path}: it is no folder")
            return
        entries = {entry.name for entry in path.iterdir()} - _FOREIGN
    except OSError as error:
        raise _cannot(path, error) from None
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
    """Yield a name inside a temporary folder beside ``path``; the folder is removed at the end.

    A file beside that name is locked meanwhile, which tells other runs that this one is alive.
    """
    clean(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _cannot(path, error) from None
    try:
        with _lock_of(holder / path.name).open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            yield holder / path.name
    except WavlocError:
        raise
    except Exception as error:
        if _is_full(error, holder):
            raise WorkError(f"cannot write {path}: the disk is full") from None
        raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _lock_of(temporary: Path) -> Path:
    return temporary.with_name(f"{temporary.name}.lock")


def _old_of(temporary: Path) -> Path:
    return temporary.with_name(f"{temporary.name}.old")


def clean(path: Path) -> None:
    """Remove the temporary folders that killed runs left beside ``path``.

    A folder that such a run had moved aside is put back where nothing has taken its place.
    """
    for holder in path.parent.glob(f".{glob.escape(path.name)}.????????"):
        with contextlib.suppress(OSError):  # another run cleans, or works: its lock is held
            if not _lock_of(holder / path.name).is_file():
                if time.time() - holder.stat().st_mtime > _NEW_S:
                    holder.rmdir()  # killed before its lock; anything else is not empty
                continue
            with _lock_of(holder / path.name).open("r+") as alive:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                old = _old_of(holder / path.name)
                if old.exists() and not os.path.lexists(path):
                    os.replace(old, path)
                shutil.rmtree(holder)


def _cannot(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}")


def _is_full(error: Exception, folder: Path) -> bool:
    """Whether a write failed because the disk of ``folder`` is full; not all libraries say so."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return "No space left" in str(error) or shutil.disk_usage(folder).free < _NO_BYTES


def write_text(path: str | Path, text: str) -> None:
    """Write text atomically; to standard output for ``-``."""
    if Path(path) == STDOUT:
        print(text, end="")
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: str | Path, table: Any, digits: int) -> None:
    """Write a DataFrame without its index atomically; digits: after the point."""
    write_text(path, table.to_csv(index=False, float_format=f"%.{digits}f", lineterminator="\n"))


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically with sorted keys, so that equal content gives equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def require_regular(path: Path) -> None:
    """Raise `InputError` for a folder, and for a pipe or device, which could be read for ever."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a regular file")


def read_text(path: Path) -> str:
    """Text in UTF-8; anything else is an `InputError`."""
    require_regular(path)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text ({error})") from None


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing or damaged file is an `InputError` that names it."""
    path = Path(path)
    require_regular(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None


def read_mapping(path: str | Path, *keys: str) -> dict[str, Any]:
    """As `read_json`: names and values, with ``keys`` whose values are names and values too."""
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise InputError(f"{path}: {stored!r:.80}, expected names and values")
    for key in keys:
        if not isinstance(stored.get(key), dict):
            raise InputError(f"{path}, {key}: {stored.get(key)!r:.80}, expected names and values")
    return stored


def checksum(path: str | Path, algorithm: str) -> str:
    """Hexadecimal digest of a file; ``algorithm`` is a name of hashlib (md5, sha256)."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return checksum(path, "sha256")


@contextlib.contextmanager
def lock(path: str | Path) -> Iterator[None]:
    """Wait for an exclusive lock on a file and hold it; the file is removed when it is freed.

    It is freed if the process dies; the file then stays until the next lock is freed.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(path)
    except OSError as error:
        raise _cannot(path, error) from None
    with handle:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> TextIO:
    """The open and locked file ``path``."""
    while True:
        handle = path.open("a", encoding="utf-8")
        fcntl.flock(handle, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(handle.fileno())):
                return handle
        handle.close()  # the process that held the lock has removed the file
