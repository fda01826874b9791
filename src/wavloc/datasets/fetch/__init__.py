"""Data that others publish: downloaded, checked and unpacked once, for all runs that share a cache.

``<cache>/downloads/<name>/`` keeps the archives, each with its checksum beside it (as ``sha256sum
-c`` reads it); ``<cache>/<name>/<archive>/`` what is in them, ``<cache>/<name>/manifest.json`` what
was fetched from where.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavloc import files
from wavloc.datasets.fetch import archives
from wavloc.datasets.fetch.archives import GIB, DamagedArchive
from wavloc.datasets.fetch.http import Network, download
from wavloc.errors import InputError, WorkError

SEAL = ".archive.json"  # in an unpacked folder: which archive it is


@dataclasses.dataclass(frozen=True)
class Download:
    """An entry of the config: where a data set is published, or where it lies on this machine."""

    archives: Mapping[str, str | None]  # file name -> "sha256:..." or "md5:..."; None: first use
    urls: tuple[str, ...]  # folders that have the archives; the first that answers is taken
    page: str = ""  # for people
    licence: str = "not stated"
    user: str = ""
    password: str = ""
    max_gib: float = 50.0  # unpacked, each archive
    root: str = ""  # folder with the archives or their content: nothing is downloaded


def read_entry(name: str, entry: Mapping[str, Any]) -> Download:
    """Check the entry of a download; what is wrong is named."""
    where = f"download '{name}'"
    known = {field.name for field in dataclasses.fields(Download)}
    for key in entry:
        if key not in known:
            raise InputError(f"{where}: unknown key '{key}', expected one of {sorted(known)}")
    if not entry.get("archives") or not (entry.get("urls") or entry.get("root")):
        raise InputError(f"{where}: needs archives (name: checksum or null) and urls or root")
    for archive, checksum in entry["archives"].items():
        algorithm, _, value = (checksum or "sha256:" + 64 * "0").partition(":")
        length = {"md5": 32, "sha256": 64}.get(algorithm)
        if length != len(value) or set(value.lower()) - set("0123456789abcdef"):
            raise InputError(
                f"{where}, archives.{archive}: '{checksum}', expected null, md5:<32 digits> or "
                "sha256:<64 digits>"
            )
        if Path(archive).name != archive:
            raise InputError(f"{where}, archives: '{archive}' is not a plain file name")
    return Download(**dict(entry) | {"urls": tuple(entry.get("urls", ()))})


def is_fetched(name: str, entry: Mapping[str, Any]) -> bool:
    """Whether the data go into the cache; not where a root has their content already."""
    source = read_entry(name, entry)
    return not source.root or any(
        (Path(source.root) / archive).is_file() for archive in source.archives
    )


def folder_of(name: str, entry: Mapping[str, Any], cache: Path) -> Path:
    """Where the data lie or will: in the cache, or at a root that has their content."""
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
    """Make the data of an entry be there and return the manifest.

    Only what is missing is fetched. Of two runs at once one waits for the other.
    """
    source = read_entry(name, entry)
    folder = folder_of(name, entry, cache)
    if not is_fetched(name, entry):
        return {"folder": str(folder), "archives": {}, "licence": source.licence}
    with files.lock(cache / f".{name}.lock"):
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


def _unpacked(
    source: Download, archive: str, downloads: Path, folder: Path, network: Network
) -> dict[str, Any]:
    """Unpack an archive unless it is; one that turns out damaged is fetched once more."""
    target = folder / archive.partition(".")[0]
    for half in folder.glob(f".{target.name}.*"):  # of a run that was killed while unpacking
        shutil.rmtree(half)
    expected = source.archives[archive]
    if (target / SEAL).is_file():
        seal = files.read_json(target / SEAL)
        if expected in (None, *seal["checksums"]):
            return seal
    for last in (False, True):
        path = _obtain(source, archive, downloads, network)
        ours = path.parent == downloads
        folder.mkdir(parents=True, exist_ok=True)
        archives.require_space(folder, archives.unpacked_bytes(path), f"unpacking {archive}")
        try:
            with files.replacing_folder(target, {SEAL}, None) as temporary:
                count = archives.unpack(path, temporary, int(source.max_gib * GIB))
                sha256 = files.sha256(path)
                checksums = {f"sha256:{sha256}", expected or f"sha256:{sha256}"}
                seal = {
                    "checksums": sorted(checksums),
                    "bytes": path.stat().st_size,
                    "files": count,
                }
                files.write_json(temporary / SEAL, seal)
            break
        except DamagedArchive as error:
            if last or not ours or network.offline:
                again = " (fetched twice)" if last else ""
                raise WorkError(f"{error}{again}") from None
            path.unlink()
    # What came on first use is what has to come ever after.
    files.write_text(_record(downloads, archive), f"{sha256}  {archive}\n")
    return seal


def _obtain(source: Download, archive: str, downloads: Path, network: Network) -> Path:
    """Path of an archive with the right checksum: from root, from the cache, or downloaded."""
    expected = source.archives[archive] or _recorded(downloads, archive)
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
    urls = [f"{base.rstrip('/')}/{archive}" for base in source.urls]
    auth = (source.user, source.password) if source.user else None
    try:
        download(urls, path, expected, auth, network)
    except WorkError as error:
        if expected and not source.archives[archive]:
            raise WorkError(
                f"{error} (the checksum is that of the first use, {_record(downloads, archive)})"
            ) from None
        raise
    return path


def _fits(path: Path, expected: str | None) -> bool:
    """Whether a file has the checksum ``algorithm:digest``; None fits all."""
    algorithm, _, digest = (expected or "").partition(":")
    return not expected or files.checksum(path, algorithm) == digest.lower()


def _record(downloads: Path, archive: str) -> Path:
    return downloads / f"{archive}.sha256"


def _recorded(downloads: Path, archive: str) -> str | None:
    """Checksum of the first use, if there was one."""
    path = _record(downloads, archive)
    return f"sha256:{path.read_text().partition(' ')[0]}" if path.is_file() else None
