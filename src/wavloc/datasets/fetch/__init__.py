"""Published data sets: downloaded, checked and unpacked once for all runs that share a cache.

``<cache>/downloads/<name>/`` holds the archives, each with a checksum file for ``sha256sum -c``;
``<cache>/<name>/<archive>/`` holds their content and ``<cache>/<name>/manifest.json`` describes it.
"""

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wavloc import files
from wavloc.checks import number, shown, text
from wavloc.datasets.fetch import archives
from wavloc.datasets.fetch.archives import GIB, DamagedArchive
from wavloc.datasets.fetch.network import Network
from wavloc.errors import InputError, WorkError

_NAME = re.compile(r"[A-Za-z0-9_][\w .+-]*")
_NAME_RULE = "expected letters, digits and _ . + -, not a path"
SEAL = ".archive.json"  # in an unpacked folder: checksums of its archive


@dataclasses.dataclass(frozen=True)
class Download:
    """A config entry: where a data set is published, or where it is on this machine."""

    # File name -> "sha256:..." or "md5:..."; None: whatever the first download gives.
    archives: Mapping[str, str | None]
    urls: tuple[str, ...]  # addresses of folders with the archives, tried in turn
    page: str = ""  # web page for people
    licence: str = "not stated"
    user: str = ""
    password: str = ""
    max_gib: float = 50.0  # bound on the size of each archive, packed and unpacked
    root: str = ""  # local folder with the archives or their content; nothing is downloaded


def read_entry(name: str, entry: Mapping[str, Any]) -> Download:
    """Make a `Download` from its config entry; `InputError` names what is wrong with it."""
    where = f"download '{name}'"
    if not _NAME.fullmatch(name):
        raise InputError(f"{where}: {_NAME_RULE}")
    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: {shown(entry)}, expected archives, urls and other keys")
    known = {field.name for field in dataclasses.fields(Download)}
    for key, value in entry.items():
        if key not in known:
            raise InputError(f"{where}: unknown key '{key}', expected one of {sorted(known)}")
        if key == "max_gib":
            number(value, f"{where}, max_gib", 0, 1e6, "GiB", above=True)
        elif key not in ("archives", "urls"):
            text(value, f"{where}, {key}")
    if not entry.get("archives") or not (entry.get("urls") or entry.get("root")):
        raise InputError(f"{where}: needs archives (name: checksum or null) and urls or root")
    urls = entry.get("urls") or ()
    if not isinstance(urls, list | tuple) or not all(isinstance(url, str) for url in urls):
        raise InputError(f"{where}, urls: {shown(urls)}, expected a list of addresses")
    _check_archives(where, entry["archives"])
    return Download(**dict(entry) | {"urls": tuple(urls)})


def _check_archives(where: str, archives: Any) -> None:
    """Raise `InputError` unless it maps plain file names to checksums or null."""
    if not isinstance(archives, Mapping):
        raise InputError(f"{where}, archives: {shown(archives)}, expected name: checksum or null")
    for archive, checksum in archives.items():
        algorithm, _, value = str(checksum or "sha256:" + 64 * "0").partition(":")
        length = {"md5": 32, "sha256": 64}.get(algorithm)
        if length != len(value) or set(value.lower()) - set("0123456789abcdef"):
            raise InputError(
                f"{where}, archives.{archive}: '{checksum}', expected null, md5:<32 digits> or "
                "sha256:<64 digits>"
            )
        if not isinstance(archive, str) or not _NAME.fullmatch(archive):
            raise InputError(
                f"{where}, archives: '{archive}' is not a plain file name; {_NAME_RULE}"
            )


def is_fetched(name: str, entry: Mapping[str, Any]) -> bool:
    """Whether the data go into the cache; False if ``root`` has their unpacked content."""
    source = read_entry(name, entry)
    return not source.root or any(
        (Path(source.root) / archive).is_file() for archive in source.archives
    )


def folder_of(name: str, entry: Mapping[str, Any], cache: Path) -> Path:
    """Folder of the unpacked data, which need not exist yet: in the cache, or at ``root``."""
    source = read_entry(name, entry)
    root = Path(source.root)
    if is_fetched(name, entry):
        return cache / name
    if not root.is_dir() or not any(root.iterdir()):
        raise InputError(
            f"{root}: no such folder, or empty; expected {', '.join(source.archives)} or their "
            f"content (from {source.page or 'its publisher'}). Without root the data are downloaded"
        )
    return root


def fetch(name: str, entry: Mapping[str, Any], cache: Path, network: Network) -> dict[str, Any]:
    """Download and unpack the missing data of an entry; returns the manifest.

    Of two runs at the same time, one waits for the other.
    """
    source = read_entry(name, entry)
    folder = folder_of(name, entry, cache)
    if not is_fetched(name, entry):
        return {"folder": str(folder), "archives": {}, "licence": source.licence}
    with _none_empty(cache), files.lock(cache / f".{name}.lock"):
        fetched = {
            archive: _unpacked(source, archive, cache / "downloads" / name, folder, network)
            for archive in source.archives
        }
        manifest = {
            "folder": name,
            "archives": fetched,
            "licence": source.licence,
            "page": source.page,
        }
        files.write_json(folder / "manifest.json", manifest)
    return manifest


@contextlib.contextmanager
def _none_empty(cache: Path) -> Iterator[None]:
    """Remove the cache if it is made here and stays empty."""
    made = not cache.exists()
    try:
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):  # not empty
                cache.rmdir()


def _unpacked(
    source: Download, archive: str, downloads: Path, folder: Path, network: Network
) -> dict[str, Any]:
    """Seal of an unpacked archive; unpacks it if needed, and fetches a damaged one once more."""
    target = folder / archive.partition(".")[0]
    files.clean(target)  # puts back what a killed run had moved aside
    for leftover in folder.glob(f".{target.name}.*"):  # of a run that was killed while unpacking
        shutil.rmtree(leftover)
    expected = source.archives[archive]
    if (target / SEAL).is_file():
        seal = files.read_json(target / SEAL)
        if expected in (None, *seal["checksums"]):
            return seal
    for retry in ("", " (fetched twice)"):
        path = _obtain(source, archive, downloads, network)
        try:
            seal, sha256 = _unpack(path, target, expected, source.max_gib)
            break
        except DamagedArchive as error:
            if retry or path.parent != downloads or network.offline:
                raise WorkError(f"{error}{retry}") from None
            path.unlink()
    # Later downloads must have the checksum of the first one.
    files.write_text(_checksum_file(downloads, archive), f"{sha256}  {archive}\n")
    return seal


def _unpack(
    path: Path, target: Path, expected: str | None, max_gib: float
) -> tuple[dict[str, Any], str]:
    """Unpack the archive ``path`` into the folder ``target``; returns its seal and SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    archives.require_space(target.parent, archives.unpacked_bytes(path), f"unpacking {path.name}")
    with files.replacing_folder(target, {SEAL}, None) as temporary:
        count = archives.unpack(path, temporary, int(max_gib * GIB))
        sha256 = files.sha256(path)
        checksums = sorted({f"sha256:{sha256}", expected or f"sha256:{sha256}"})
        seal = {"checksums": checksums, "bytes": path.stat().st_size, "files": count}
        files.write_json(temporary / SEAL, seal)
    return seal, sha256


def _obtain(source: Download, archive: str, downloads: Path, network: Network) -> Path:
    """Path of an archive with the right checksum: at ``root``, in the cache, or downloaded."""
    expected = source.archives[archive] or _first_checksum(downloads, archive)
    own = Path(source.root) / archive
    if source.root and own.is_file():
        if not _fits(own, expected):
            raise InputError(f"{own}: another file than expected, its checksum is not {expected}")
        return own
    path = downloads / archive
    if path.is_file() and _fits(path, expected):
        return path
    if network.offline:
        raise WorkError(
            f"offline, but {path} is not there with {expected or 'any checksum'}; put it there, "
            f"set root, or go on line (page: {source.page or 'not stated'})"
        )
    from wavloc.datasets.fetch.http import download  # its packages are a fifth of a job's start

    urls = [f"{base.rstrip('/')}/{archive}" for base in source.urls]
    auth = (source.user, source.password) if source.user else None
    try:
        download(urls, path, expected, auth, network, int(source.max_gib * GIB))
    except WorkError as error:
        if expected and not source.archives[archive]:
            first = _checksum_file(downloads, archive)
            raise WorkError(f"{error} (the checksum is that of the first use, {first})") from None
        raise
    return path


def _fits(path: Path, expected: str | None) -> bool:
    """Whether a file has the checksum ``algorithm:digest``; None fits any file."""
    algorithm, _, digest = (expected or "").partition(":")
    return not expected or files.checksum(path, algorithm) == digest.lower()


def _checksum_file(downloads: Path, archive: str) -> Path:
    return downloads / f"{archive}.sha256"


def _first_checksum(downloads: Path, archive: str) -> str | None:
    """Checksum of the first download, if there was one."""
    path = _checksum_file(downloads, archive)
    return f"sha256:{path.read_text().partition(' ')[0]}" if path.is_file() else None
