"""A Python package index on the loopback interface, which misbehaves when it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import html
import http.server
import re
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from packaging.utils import parse_wheel_filename
from tests.wheelhouse import Wheel, Wheelhouse

Fault = Literal["500", "401", "html", "hang", "hang up", "wrong hash", "no ranges"]


@dataclass
class Behaviour:
    """What is wrong with the index.

    Attributes:
        fault: the fault; None if all is well.
        at: what has it: a regular expression that is searched for in the asking program and the path.
    """

    fault: Fault | None = None
    at: str = ""
    asked: list[str] = field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._do()

    def do_GET(self) -> None:
        self._do()

    def _do(self) -> None:
        index = cast("Index", self.server)
        behaviour = index.behaviour
        with index.guard:
            behaviour.asked.append(self.path)
        agent = self.headers.get("User-Agent", "")
        fault = behaviour.fault if re.search(behaviour.at, f"{agent} {self.path}") else None
        if fault == "hang":
            index.hanging.set()
            index.closing.wait(60)
            self.close_connection = True
        elif fault == "hang up":
            self.close_connection = True
        elif fault == "html":
            self._send(200, b"<html><body><h1>Please log in</h1></body></html>")
        elif fault is not None and fault.isdecimal():
            self._send(int(fault), b"<h1>no</h1>")
        elif match := re.fullmatch(r"/simple/([a-z0-9-]+)/", self.path):
            self._project(index, match[1], wrong=fault == "wrong hash")
        elif match := re.fullmatch(r"/files/([^/]+)", self.path):
            self._file(index, match[1], ranges=fault != "no ranges")
        else:
            self._send(404, b"")

    def _project(self, index: Index, name: str, *, wrong: bool) -> None:
        with index.guard:
            wheels = index.wheelhouse.wheels(name)
            page = "".join(_link(wheel, wrong=wrong) for wheel in wheels)
        if not wheels:
            self._send(404, b"")
            return
        self._send(200, f"<!DOCTYPE html><html><body>{page}</body></html>".encode())

    def _file(self, index: Index, filename: str, *, ranges: bool) -> None:
        about = filename.endswith(".metadata")
        filename = filename.removesuffix(".metadata")
        name, *_ = parse_wheel_filename(filename)
        with index.guard:
            found = [wheel for wheel in index.wheelhouse.wheels(name) if wheel.filename == filename]
            content = b"" if not found else found[0].metadata if about else found[0].content
        if not found:
            self._send(404, b"")
            return
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not ranges or asked is None:
            headers = {"Accept-Ranges": "bytes"} if ranges else {}
            self._send(200, content, "application/octet-stream", headers)
            return
        size = len(content)
        start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        end = min(size, int(asked[2]) + 1) if asked[1] and asked[2] else size
        headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self._send(206, content[start:end], "application/octet-stream", headers)

    def _send(self, status: int, body: bytes, kind: str = "text/html", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _link(wheel: Wheel, *, wrong: bool) -> str:
    digest = "0" * 64 if wrong else wheel.sha256
    python = f' data-requires-python="{html.escape(wheel.requires_python)}"' if wheel.requires_python else ""
    return (
        f'<a href="/files/{wheel.filename.replace("+", "%2B")}#sha256={digest}"{python}'
        f' data-core-metadata="sha256={hashlib.sha256(wheel.metadata).hexdigest()}"'
        f' data-upload-time="{wheel.uploaded.isoformat()}T12:00:00Z">{wheel.filename}</a>\n'
    )


class Index(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """An index that serves a wheelhouse."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, wheelhouse: Wheelhouse) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wheelhouse = wheelhouse
        self.behaviour = Behaviour()
        self.guard = threading.Lock()
        self.hanging = threading.Event()
        self.closing = threading.Event()

    def misbehave(self, fault: Fault, *, at: str = "") -> None:
        """From now on; `at` is a regular expression for the paths that are affected."""
        self.behaviour = Behaviour(fault=fault, at=at)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


@contextlib.contextmanager
def serving(wheelhouse: Wheelhouse) -> Iterator[Index]:
    """An index at work."""
    index = Index(wheelhouse)
    thread = threading.Thread(target=index.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.closing.set()
        index.shutdown()
        index.server_close()
        thread.join()
