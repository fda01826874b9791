"""Downloading a file with pooch: resumed, retried with back-off and from mirrors, checked."""

import contextlib
import errno
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pooch
import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema, TooManyRedirects
from tqdm import tqdm

from wavloc import files
from wavloc.datasets.fetch.archives import GIB, require_space
from wavloc.datasets.fetch.network import Network
from wavloc.errors import InputError, WorkError

_CHUNK = 2**16
_LONGEST_WAIT_S = 60.0
_RETRIED = {408, 416, 425, 429, 500, 502, 503, 504}  # HTTP errors that may pass
_HOPELESS = (TooManyRedirects, InvalidURL, InvalidSchema, MissingSchema)


class Resuming:
    """A downloader for pooch that resumes the download of an earlier attempt or run.

    Received bytes are kept in ``partial``. A note beside it tells the version of the file, so that
    parts of two versions are never joined. A file of more than ``most_bytes`` is a `WorkError`.
    """

    def __init__(
        self, partial: Path, auth: tuple[str, str] | None, timeout_s: float, most_bytes: int
    ):
        self.partial, self.auth, self.timeout_s = partial, auth, timeout_s
        self.most_bytes = most_bytes
        self.note = partial.with_name(partial.name + ".json")

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        received, known = self._received(url)
        headers = {"Accept-Encoding": "identity"}
        if received:
            headers["Range"] = f"bytes={received}-"
            if known["version"]:
                headers["If-Range"] = known["version"]
        with requests.get(
            url, headers=headers, auth=self.auth, timeout=self.timeout_s, stream=True
        ) as response:
            if response.status_code == 416:  # complete already, or the file has changed
                self._forget()
            response.raise_for_status()
            first, total = _range(response)
            if first and (first != received or total != known["total"]):
                self._forget()
                raise requests.ConnectionError("the file changed on the server")
            version = response.headers.get("ETag", "")
            if not version or version.startswith("W/"):
                version = response.headers.get("Last-Modified", "")
            files.write_json(self.note, {"url": url, "version": version, "total": total})
            self._append(response, first, total, Path(url).name)
        size = self.partial.stat().st_size
        if total and size != total:
            raise requests.ConnectionError(f"only {size} of {total} bytes came")
        os.replace(self.partial, output_file)
        self._forget()

    def _append(self, response: requests.Response, first: int, total: int, name: str) -> None:
        """Write the body of a response, which begins at byte ``first`` of ``total``."""
        self._bound(total, name)
        # Space for the archive and, later, for its content.
        require_space(self.partial.parent, 2 * total - first, name)
        bar = tqdm(
            desc=f"download {name}", total=total or None, initial=first, unit="B",
            unit_scale=True, disable=None,
        )  # fmt: skip
        with bar, self.partial.open("ab" if first else "wb") as handle:
            for chunk in response.iter_content(_CHUNK):
                self._bound(handle.tell() + len(chunk), name)  # the size may not be stated
                handle.write(chunk)
                bar.update(len(chunk))

    def _bound(self, size: int, name: str) -> None:
        if size > self.most_bytes:
            self._forget()
            raise WorkError(
                f"{name} is larger than {self.most_bytes / GIB:.3g} GiB, not downloaded; "
                "raise max_gib of this download if that is right"
            )

    def _received(self, url: str) -> tuple[int, dict[str, Any]]:
        """Number of bytes received earlier from this address, and the note about them."""
        with contextlib.suppress(InputError, OSError, KeyError, TypeError):
            known = files.read_json(self.note)
            if known["url"] == url and known["total"]:
                return self.partial.stat().st_size, known
        return 0, {}

    def _forget(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _range(response: requests.Response) -> tuple[int, int]:
    """First byte that a response sends, and the size of the whole file (0 = not stated)."""
    if response.status_code == 206:
        span, _, total = response.headers.get("Content-Range", "").rpartition("/")
        first = span.removeprefix("bytes ").partition("-")[0]
        if first.isdigit() and total.isdigit():
            return int(first), int(total)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else 0


def download(
    urls: Sequence[str],
    path: Path,
    checksum: str | None,
    auth: tuple[str, str] | None,
    network: Network,
    most_bytes: int,
) -> None:
    """Download a file of at most ``most_bytes`` to ``path`` from the first address that has it.

    checksum: ``sha256:...`` or ``md5:...``; None accepts any file. If all addresses fail, a
    `WorkError` names each with its reason; received bytes are kept for the next run.
    """
    pooch.get_logger().setLevel(logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, reasons = path.with_name(f".{path.name}.partial"), {}
    for url in urls:
        for attempt in range(network.retries + 1):
            if attempt:
                time.sleep(min(network.backoff_s * 2 ** (attempt - 1), _LONGEST_WAIT_S))
            try:
                _retrieve(
                    url, path, checksum, Resuming(partial, auth, network.timeout_s, most_bytes)
                )
                return
            except (requests.RequestException, ValueError) as error:
                reasons[url], passing = _reason(error)
                if not passing:
                    break
    listed = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
    raise WorkError(f"cannot download {path.name} ({listed}); or put the file at {path}")


def _retrieve(url: str, path: Path, checksum: str | None, downloader: Resuming) -> None:
    """Bring a file to ``path``. A killed run leaves nothing of pooch's: see `files.replacing`."""
    with files.replacing(path) as new:
        try:
            pooch.retrieve(url, checksum, new.name, new.parent, downloader=downloader)
        except requests.RequestException:
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise WorkError(
                    f"disk full while downloading {path.name} to {path.parent}"
                ) from None
            raise WorkError(f"cannot write {path} ({error.strerror or error})") from None


def _reason(error: requests.RequestException | ValueError) -> tuple[str, bool]:
    """Reason of a failed download for the user, and whether another attempt may succeed."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        hint = ", check user and password" if status in (401, 403) else ""
        return f"{status} {error.response.reason}{hint}", status in _RETRIED
    if isinstance(error, _HOPELESS):
        return str(error), False
    if isinstance(error, requests.RequestException):
        return f"{type(error).__name__}: {error}", True
    return str(error).partition(". Deleted")[0], True  # pooch: a wrong checksum
