"""Conda channels on the loopback interface: real records, or small packages that are built here."""

from __future__ import annotations

import contextlib
import http.server
import re
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

import rattler

Fault = Literal["500", "401", "404", "html", "hang", "truncated", "other bytes"]

CONDA_FORGE = rattler.Channel("conda-forge").base_url.rstrip("/")
"""Where rattler looks for it."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._do()

    def do_GET(self) -> None:
        self._do()

    def _do(self) -> None:
        served = cast("ChannelServer", self.server)
        served.asked.append(self.path)
        if served.wanted is not None and served.wanted not in {
            self.headers.get("Authorization"),
            *self.path.split("/"),
        }:
            self._send(401, b"no")
            return
        if served.wanted is not None:
            self.path = self.path.replace(f"/t/{served.wanted}", "")
        fault = served.fault if re.search(served.at, self.path) else None
        if fault == "hang":
            served.closing.wait(60)
            self.close_connection = True
            return
        if fault is not None and fault.isdecimal():
            self._send(int(fault), b"no")
            return
        path = served.folder / self.path.lstrip("/").partition("?")[0]
        if not path.is_file():
            self._send(404, b"")
            return
        content = path.read_bytes()
        if fault == "html":
            content = b"<html><body><h1>Please log in</h1></body></html>"
        elif fault == "truncated":
            content = content[: len(content) // 2]
        elif fault == "other bytes":
            content = content[:-1] + bytes([content[-1] ^ 1])
        self._send(200, content)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class ChannelServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves a folder, and misbehaves when it is told to."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.fault: Fault | None = None
        self.at = ""
        self.asked: list[str] = []
        self.wanted: str | None = None
        """Without this in the header for it, or as a token in the path, nothing is answered."""
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def misbehave(self, fault: Fault, *, at: str = "") -> None:
        """From now on; `at` is a regular expression for the paths that are affected."""
        self.fault, self.at = fault, at

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[ChannelServer]:
    """A server at work."""
    server = ChannelServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def mirrored(config: Path, url: str) -> None:
    """Write rattler's configuration such that conda-forge is found at this address."""
    folder = config / "rattler"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(
        f'[mirrors]\n"{CONDA_FORGE}" = ["{url}"]\n[repodata-config]\ndisable-sharded = true\n', encoding="utf-8"
    )
