"""How many bytes of sound an audio file states, and how many it holds.

libsndfile reads a truncated file as a shorter one, and a file whose stated size is too small as
far as that size. Both are refused here. Programs that write to a pipe cannot know the size and
state a placeholder: such sound goes to the end of the file.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from wavloc.errors import InputError


class Chunks(NamedTuple):
    """How a container divides a file: where chunks begin, and their header of name and size."""

    first: int
    name_bytes: int
    size_bytes: int
    order: Literal["little", "big"]  # of bytes
    align: int
    counts_header: bool  # whether the size includes the header
    sound: bytes  # beginning of the name of the chunk of sound
    before: int = 0  # bytes of that chunk before the sound


_RIFF = Chunks(12, 4, 4, "little", 2, False, b"data")
_KINDS = {  # magic bytes at the beginning and at byte 8
    (b"RIFF", b"WAVE"): _RIFF,
    (b"RIFX", b"WAVE"): _RIFF._replace(order="big"),
    (b"RF64", b"WAVE"): _RIFF,
    (b"BW64", b"WAVE"): _RIFF,
    (b"riff", b"\xa5\xd6\x28\xdb"): Chunks(40, 16, 8, "little", 8, True, b"data\xf3\xac\xd3\x11"),
    (b"FORM", b"AIFF"): Chunks(12, 4, 4, "big", 2, False, b"SSND", 8),
    (b"FORM", b"AIFC"): Chunks(12, 4, 4, "big", 2, False, b"SSND", 8),
}
_CAF = Chunks(8, 4, 8, "big", 1, False, b"data", 4)
_SUN = b".snd"


class Sound(NamedTuple):
    """Where the sound of a file begins, and its bytes; stated = None for a placeholder.

    The size is stated at ``field`` in so many bytes, and counts ``extra`` bytes besides the sound.
    """

    start: int
    stated: int | None
    held: int
    field: int
    field_bytes: int
    order: Literal["little", "big"]
    extra: int = 0


def sound_of(path: Path) -> Sound | None:
    """The sound of a WAV, RF64, W64, AIFF, CAF or AU file; None for other files."""
    with path.open("rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        head = handle.read(12)
        if head[:4] == _SUN:
            start, stated = (int.from_bytes(head[k : k + 4], "big") for k in (4, 8))
            known = None if _is_placeholder(stated, 4) else stated
            return Sound(start, known, size - start, 8, 4, "big")
        kind = _CAF if head[:4] == b"caff" else _KINDS.get((head[:4], head[8:12]))
        return kind and _find(handle, size, kind)


class Headed(io.RawIOBase):
    """A file with another header: ``head``, then what the file has from byte ``start`` on."""

    def __init__(self, handle: BinaryIO, head: bytes, start: int):
        self.handle, self.head, self.shift = handle, head, start - len(head)
        self.size = os.fstat(handle.fileno()).st_size - self.shift
        self.position = 0

    def readinto(self, buffer: Any) -> int:
        """Read from the present position on; returns the number of bytes."""
        into, head = memoryview(buffer).cast("B"), self.head[self.position :]
        if head:
            count = min(len(head), len(into))
            into[:count] = head[:count]
        else:
            self.handle.seek(self.position + self.shift)
            count = self.handle.readinto(into)  # type: ignore[attr-defined]
        self.position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position; returns it."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}
        self.position = begin[whence] + offset
        return self.position

    def tell(self) -> int:
        """The position."""
        return self.position


@contextlib.contextmanager
def with_size(path: Path, sound: Sound) -> Iterator[io.RawIOBase]:
    """A file with the size of its sound in place of the placeholder, read piece by piece."""
    size = sound.held + sound.extra
    with path.open("rb") as handle:
        head = bytearray(handle.read(sound.start))
        if size < 1 << (8 * sound.field_bytes):
            field = slice(sound.field, sound.field + sound.field_bytes)
            head[field] = size.to_bytes(sound.field_bytes, sound.order)
        elif head[:4] in (b"RIFF", b"RF64"):
            head[:12] = _rf64(len(head) + size, size)
            head[-4:] = b"\xff" * 4
        else:
            raise InputError(f"{path}: 4 GiB of sound or more, expected WAV, RF64, W64 or CAF")
        yield Headed(handle, bytes(head), sound.start)


def _rf64(size: int, sound: int) -> bytes:
    """The beginning of an RF64 file of that size, with its sizes of 64 bits (EBU Tech 3306)."""
    sizes = b"".join(value.to_bytes(8, "little") for value in (size + 28, sound, 0))
    return b"RF64\xff\xff\xff\xffWAVEds64" + (28).to_bytes(4, "little") + sizes + bytes(4)


def require_whole(path: Path, sound: Sound, decoded: int) -> None:
    """Raise `InputError` that names both sizes unless the sound is as long as stated.

    decoded: samples per channel that a decoder finds.
    """
    if sound.stated is None or sound.stated == sound.held:
        return
    sizes = f"its header states {sound.stated:,} bytes of sound, the file holds {sound.held:,}"
    if sound.held > sound.stated:
        raise InputError(f"{path}: damaged, {sizes}")
    expected = sound.stated // (sound.held // decoded) if decoded else "all"
    raise InputError(f"{path}: truncated, {decoded} of {expected} samples could be read ({sizes})")


def _find(handle: BinaryIO, size: int, kind: Chunks) -> Sound | None:
    """The chunk of sound; what follows it must be chunks too, or it is more sound."""
    position, long_field = kind.first, None
    while header := _header(handle, position, kind):
        name, stated = header
        field, field_bytes = position + kind.name_bytes, kind.size_bytes
        start = field + field_bytes
        if name == b"ds64":  # RF64: sizes of 64 bits
            long_field = start + 8
        if not name.startswith(kind.sound):
            position = _next(start, stated, kind)
            continue
        if stated == 0xFFFFFFFF and long_field is not None:
            field, field_bytes = long_field, 8
            handle.seek(field)
            stated = int.from_bytes(handle.read(8), "little")
        start, stated = start + kind.before, stated - kind.before
        extra = kind.before + (kind.name_bytes + kind.size_bytes) * kind.counts_header
        if start + stated <= size and _ends_well(handle, size, start, stated, kind):
            return Sound(start, stated, stated, field, field_bytes, kind.order, extra)
        unknown = _is_placeholder(stated + kind.before, field_bytes) or stated <= 0
        known = None if unknown else stated
        return Sound(start, known, size - start, field, field_bytes, kind.order, extra)
    return None


def _header(handle: BinaryIO, position: int, kind: Chunks) -> tuple[bytes, int] | None:
    """Name of the chunk at ``position`` and the size of its content; None if there is none."""
    handle.seek(position)
    header = handle.read(kind.name_bytes + kind.size_bytes)
    if len(header) < kind.name_bytes + kind.size_bytes:
        return None
    stated = int.from_bytes(header[kind.name_bytes :], kind.order)
    return header[: kind.name_bytes], stated - len(header) * kind.counts_header


def _next(start: int, stated: int, kind: Chunks) -> int:
    """Where the chunk after the one with content from ``start`` begins."""
    end = start + max(stated, 0)
    return end + -end % kind.align if kind.counts_header else end + stated % kind.align


def _ends_well(handle: BinaryIO, size: int, start: int, stated: int, kind: Chunks) -> bool:
    """Whether the file ends after the sound, or after whole chunks that follow it."""
    if stated <= 0 and start < size:
        position = start
    else:
        position = _next(start - kind.before, stated + kind.before, kind)
        if not _is_name(handle, position) and position < size:
            position = start + stated  # some programs leave out the padding
    while position < size:
        header = _header(handle, position, kind)
        if header is None or not _is_name(handle, position):
            return False
        position = _next(position + kind.name_bytes + kind.size_bytes, header[1], kind)
    return position - size < kind.align


def _is_name(handle: BinaryIO, position: int) -> bool:
    handle.seek(position)
    name = handle.read(4)
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _is_placeholder(stated: int, size_bytes: int) -> bool:
    """Whether a size is one that programs state when they do not know it."""
    if stated <= 0:
        return True
    half = 1 << (8 * size_bytes - 1)  # 0x80000000
    return half - 0x1000 <= stated <= half or stated >= 2 * half - 0x100
