"""Unpacking untrusted archives: nothing outside the folder, no links, a bound on the size."""

import dataclasses
import errno
import functools
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from wavloc.errors import WorkError

GIB = 2**30
_BLOCK = 2**20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
_UNKNOWN = (NotImplementedError, RuntimeError)  # compression, encryption


class DamagedArchive(WorkError):
    """An archive that cannot be read to its end: truncated, corrupt, or not an archive."""


_Open = Callable[[], IO[bytes]]


@dataclasses.dataclass
class _Member:
    name: str
    size: int
    folder: bool
    plain: bool  # a folder or a regular file, not a link or a device
    open: _Open


def unpack(archive: Path, folder: Path, most_bytes: int = 50 * GIB) -> int:
    """Unpack a zip or tar archive into ``folder`` and return the number of files written.

    Existing files are overwritten. Members that lead out of the folder, links, devices and more
    than ``most_bytes`` in all are a `WorkError`, damage is a `DamagedArchive`; both name archive
    and member. Files written before an error stay; the caller removes them
    (`files.replacing_folder`).
    """
    name, count, written = "", 0, 0
    try:
        for member in _members(archive):
            name = member.name
            target = folder / _safe(archive, member)
            if member.folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            if written + member.size > most_bytes:
                raise WorkError(
                    f"{archive}: unpacks to more than {most_bytes / GIB:.1f} GiB (at member "
                    f"{name!r}), not unpacked; raise max_gib of this download if that is right"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, target.open("wb") as sink:
                copied = _copy(source, sink, member.size)
            if copied != member.size:
                raise DamagedArchive(
                    f"{archive}: damaged, member {name!r} has not the {member.size} bytes it states"
                )
            count, written = count + 1, written + copied
    except (*_DAMAGE, *_UNKNOWN) as error:
        raise DamagedArchive(_damaged(archive, name, error)) from None
    except OSError as error:
        if error.errno is None:  # gzip.BadGzipFile
            raise DamagedArchive(_damaged(archive, name, error)) from None
        if error.errno == errno.ENOSPC:
            raise WorkError(f"disk full while unpacking {archive} into {folder.parent}") from None
        raise WorkError(f"{archive}: cannot unpack {name!r} ({error.strerror})") from None
    if not count:
        raise DamagedArchive(f"{archive}: damaged, holds no files")
    return count


def unpacked_bytes(archive: Path) -> int:
    """Unpacked size in bytes as a zip states it; for a tar its own size, for a damaged zip 0."""
    if not _is_zip(archive):
        return archive.stat().st_size
    try:
        with zipfile.ZipFile(archive) as opened:
            return sum(info.file_size for info in opened.infolist())
    except zipfile.BadZipFile:
        return 0


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise `WorkError` unless ``needed`` bytes are free on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WorkError(
            f"not enough disk space for {purpose}: {needed / GIB:.2f} GiB needed, "
            f"{free / GIB:.2f} GiB free in {folder}"
        )


def _is_zip(archive: Path) -> bool:
    return archive.suffix.lower() in (".zip", ".whl")  # a damaged zip must not pass for a tar


def _members(archive: Path) -> Iterator[_Member]:
    """Members of a zip or tar archive."""
    if _is_zip(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
                read = functools.partial(opened.open, info)
                yield _Member(info.filename, info.file_size, info.is_dir(), plain, read)
    else:
        with tarfile.open(archive) as opened:
            for entry in opened:
                plain = entry.isfile() or entry.isdir()
                # None only for members that are not plain, which are refused.
                extract = cast(_Open, functools.partial(opened.extractfile, entry))
                yield _Member(entry.name, entry.size, entry.isdir(), plain, extract)


def _safe(archive: Path, member: _Member) -> PurePosixPath:
    """Path of a member inside the folder; an unsafe member is a `WorkError`."""
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.name:
        raise WorkError(f"{archive}: unsafe member {member.name!r}, not unpacked")
    if not member.plain:
        raise WorkError(
            f"{archive}: unsafe member {member.name!r} (a link or a device), not unpacked"
        )
    return path


def _copy(source: IO[bytes], sink: IO[bytes], most: int) -> int:
    """Copy up to ``most`` + 1 bytes, so that a member larger than stated is noticed."""
    copied = 0
    while block := source.read(min(_BLOCK, most + 1 - copied)):
        sink.write(block)
        copied += len(block)
    return copied


def _damaged(archive: Path, member: str, error: Exception) -> str:
    where = f" after member {member!r}" if member else ""
    return f"{archive}: damaged{where} ({error or type(error).__name__})"
