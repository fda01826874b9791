"""Downloading one file with pooch: resumed, retried with back-off, from mirrors, checked."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from wavloc import files
from wavloc.datasets.fetch.archives import require_space
from wavloc.errors import InputError, WorkError

_CHUNK = 2**16
_LONGEST_WAIT_S = 60.0
_RETRIED = {408, 416, 425, 429, 500, 502, 503, 504}  # any other refusal will be repeated


@dataclasses.dataclass(frozen=True)
class Network:
    """How patient a download is."""

    offline: bool = False
    retries: int = 5  # for each address
    backoff_s: float = 2.0  # before the first retry; doubled before each further one
    timeout_s: float = 30.0  # without a single byte


class Resuming:
    """A downloader for pooch that goes on with what an earlier attempt, or run, left behind.

    It is kept in ``partial``; a note beside it says which version of the file it was, so that two
    versions are never put together.
    """

    def __init__(self, partial: Path, auth: tuple[str, str] | None, timeout_s: float):
        self.partial, self.auth, self.timeout_s = partial, auth, timeout_s
        self.note = partial.with_name(partial.name + ".json")

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        import requests

        have, known = self._left_behind(url)
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if known["version"]:
                headers["If-Range"] = known["version"]
        with requests.get(
            url, headers=headers, auth=self.auth, timeout=self.timeout_s, stream=True
        ) as response:
            if response.status_code == 416:  # nothing left to send, or another file by now
                self._forget()
            response.raise_for_status()
            first, total = _range(response)
            if first and (first != have or total != known["total"]):
                self._forget()
                raise requests.ConnectionError("the file changed on the server")
            version = response.headers.get("ETag", "")
            if not version or version.startswith("W/"):
                version = response.headers.get("Last-Modified", "")
            files.write_json(self.note, {"url": url, "version": version, "total": total})
            # The archive and, later, what is in it.
            require_space(self.partial.parent, 2 * total - first, Path(url).name)
            with (
                self.partial.open("ab" if first else "wb") as handle,
                tqdm(
                    total=total or None,
                    initial=first,
                    desc=f"download {Path(url).name}",
                    unit="B",
                    unit_scale=True,
                    disable=None,
                ) as bar,
            ):
                for chunk in response.iter_content(_CHUNK):
                    handle.write(chunk)
                    bar.update(len(chunk))
        size = self.partial.stat().st_size
        if total and size != total:
            raise requests.ConnectionError(f"only {size} of {total} bytes came")
        os.replace(self.partial, output_file)
        self._forget()

    def _left_behind(self, url: str) -> tuple[int, dict]:
        """Bytes of this very file that are here already, and what is noted about them."""
        with contextlib.suppress(InputError, OSError, KeyError, TypeError):
            known = files.read_json(self.note)
            if known["url"] == url and known["total"]:
                return self.partial.stat().st_size, known
        return 0, {}

    def _forget(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _range(response: object) -> tuple[int, int]:
    """Where the sent bytes begin, and the size of the whole file (0: the server does not say)."""
    if response.status_code == 206:
        span, _, total = response.headers.get("Content-Range", "").rpartition("/")
        first = span.removeprefix("bytes ").partition("-")[0]
        if first.isdigit() and total.isdigit():
            return int(first), int(total)
    return 0, int(response.headers.get("Content-Length", 0))


def _bad_address() -> tuple[type[Exception], ...]:
    from requests import exceptions

    return exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.MissingSchema


def download(
    urls: Sequence[str],
    path: Path,
    checksum: str | None,
    auth: tuple[str, str] | None,
    network: Network,
) -> None:
    """Download a file to ``path`` from the first address that has it.

    checksum: ``sha256:...`` or ``md5:...``; None takes what comes. A failure at all addresses is a
    `WorkError` that names each with its reason; what came until then is kept for the next run.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    reasons = {}
    for url in urls:
        for attempt in range(network.retries + 1):
            if attempt:
                time.sleep(min(network.backoff_s * 2 ** (attempt - 1), _LONGEST_WAIT_S))
            try:
                pooch.retrieve(
                    url,
                    checksum,
                    fname=path.name,
                    path=path.parent,
                    downloader=Resuming(partial, auth, network.timeout_s),
                )
                return
            except requests.HTTPError as error:
                status = error.response.status_code
                reasons[url] = f"{status} {error.response.reason}"
                if status in (401, 403):
                    reasons[url] += ", check user and password"
                if status not in _RETRIED:
                    break
            except (requests.TooManyRedirects, *_bad_address()) as error:
                reasons[url] = str(error)
                break
            except requests.RequestException as error:
                reasons[url] = f"{type(error).__name__}: {error}"
            except ValueError as error:  # pooch's word for another checksum
                reasons[url] = str(error).partition(". Deleted")[0]
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise WorkError(
                        f"disk full while downloading {path.name} to {path.parent}"
                    ) from None
                raise WorkError(f"cannot write {path} ({error.strerror or error})") from None
    told = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
    raise WorkError(f"cannot download {path.name} ({told}); or put the file at {path}")
