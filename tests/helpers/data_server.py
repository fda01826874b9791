"""A server of archives on 127.0.0.1 with basic authentication, ranges and failures on request."""

from __future__ import annotations

import base64
import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

USER, PASSWORD = "download", "download"


class Server(ThreadingHTTPServer):
    """Serves the files of a folder; ``requests`` lists (path, range header) of all that came."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: list[tuple[str, str | None]] = []
        self.drop_after: list[int] = []  # bytes after which the next answers break off
        self.refuse: list[int] = []  # status of the next answers
        self.redirect: dict[str, str] = {}  # path -> address
        self.ranges = True
        self.stated = True  # whether answers state their length

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        path = server.folder / self.path.lstrip("/")
        if server.refuse:
            return self._end(server.refuse.pop(0))
        if self.path in server.redirect:
            return self._end(302, Location=server.redirect[self.path])
        if self.headers.get("Authorization") != f"Basic {token}":
            return self._end(401, **{"WWW-Authenticate": 'Basic realm="data"'})
        if not path.is_file():
            return self._end(404)
        body, tag = path.read_bytes(), f'"{hash(path.read_bytes())}"'
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(found[1]) if found and server.ranges else 0
        if self.headers.get("If-Range", tag) != tag:
            first = 0
        if first and first >= len(body):
            return self._end(416)
        self.send_response(206 if first else 200)
        self.send_header("ETag", tag)
        if server.stated:
            self.send_header("Content-Length", str(len(body) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        most = server.drop_after.pop(0) if server.drop_after else len(body)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[first : first + most])
            self.wfile.flush()
        return None

    def _end(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A running server of a folder, stopped at the end."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
