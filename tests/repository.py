"""A Python index on the loopback interface that serves what a test gives it, in the way that the test wants."""

from __future__ import annotations

import contextlib
import hashlib
import html
import http.server
import json
import re
import socketserver
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from tests.wheelhouse import Wheel

Fault = Literal[
    "500", "404", "403", "login", "truncated", "cut", "hang", "wrong range", "garbage", "empty", "wrong sidecar"
]

Form = Literal["html", "json"]


@dataclass
class Served:
    """What is served, and how.

    Attributes:
        wheels: of all projects.
        yanked: file name -> why.
        form: the pages' form.
        sidecar: whether METADATA is served beside the wheels.
        ranges: whether ranges are known.
        tags: whether pages have an ETag.
        hashes: whether pages name the wheels' sha256.
        fault: what is wrong; None if nothing is.
        at: what has the fault: a regular expression for paths.
        delay: seconds before each answer.
        asked: method and path of every request, with the range.
        sent: bytes of the bodies that were sent.
    """

    wheels: list[Wheel] = field(default_factory=list)
    yanked: dict[str, str] = field(default_factory=dict)
    form: Form = "html"
    sidecar: bool = False
    ranges: bool = True
    tags: bool = False
    hashes: bool = True
    fault: Fault | None = None
    at: str = ""
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    sent: int = 0

    def of(self, name: str) -> list[Wheel]:
        return [wheel for wheel in self.wheels if re.sub(r"[-_.]+", "-", wheel.name).lower() == name]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server = cast("Repository", self.server)
        served = server.served
        with server.guard:
            served.asked.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        if served.delay:
            time.sleep(served.delay)
        fault = served.fault if re.search(served.at, self.path) else None
        if fault == "hang":
            server.hanging.set()
            server.closing.wait(60)
            self.close_connection = True
        elif fault in {"500", "404", "403"}:
            self._send(int(fault), b"no")
        elif fault == "login":
            self._send(200, b"<html><body><h1>Please log in</h1></body></html>")
        elif match := re.fullmatch(r"/simple/(?:([a-z0-9]+)/)?([a-z0-9-]+)/", self.path):
            self._project(served, match[2], fault, label=match[1])
        elif self.path.startswith("/files/"):
            self._file(served, self.path.removeprefix("/files/"), fault)
        else:
            self._send(404, b"")

    def _project(self, served: Served, name: str, fault: Fault | None, *, label: str | None) -> None:
        """A project's page; below a folder, of the builds with that label, as PyTorch's own index has it."""
        wheels = [wheel for wheel in served.of(name) if label is None or wheel.version.endswith(f"+{label}")]
        if not wheels:
            self._send(404, b"")
            return
        wants_json = served.form == "json" and "simple.v1+json" in self.headers.get("Accept", "")
        body = (_json(served, wheels, name) if wants_json else _html(served, wheels)).encode()
        kind = "application/vnd.pypi.simple.v1+json" if wants_json else "text/html"
        if fault == "garbage":
            body = b"\xff\xfe{" + body[: len(body) // 2]
        elif fault == "empty":
            body = b"<!DOCTYPE html><html><body></body></html>"
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if served.tags and self.headers.get("If-None-Match") == tag:
            self._send(304, b"")
            return
        self._send(200, body, kind, {"ETag": tag} if served.tags else {}, cut=fault in {"truncated", "cut"})

    def _file(self, served: Served, path: str, fault: Fault | None) -> None:
        about = path.endswith(".metadata")
        path = urllib.parse.unquote(path)
        wheel = next((one for one in served.wheels if one.filename == path.removesuffix(".metadata")), None)
        if wheel is None or (about and not served.sidecar):
            self._send(404, b"")
            return
        content = wheel.metadata if about else wheel.content
        if about and fault == "wrong sidecar":
            content += b"Requires-Dist: evil\n"
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not served.ranges or asked is None:
            self._send(200, content, "application/octet-stream", {"Accept-Ranges": "bytes"} if served.ranges else {})
            return
        size = len(content)
        start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        end = min(size, int(asked[2]) + 1) if asked[1] and asked[2] else size
        body = content[start:end]
        if fault == "garbage":
            body = bytes(len(body))
        shown = start + 1 if fault == "wrong range" else start
        headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {shown}-{end - 1}/{size}"}
        self._send(206, body, "application/octet-stream", headers, cut=fault in {"truncated", "cut"})

    def _send(
        self,
        status: int,
        body: bytes,
        kind: str = "text/html",
        headers: dict[str, str] | None = None,
        *,
        cut: bool = False,
    ) -> None:
        server = cast("Repository", self.server)
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with server.guard:
            server.served.sent += len(body)
        if self.command == "HEAD":
            return
        with contextlib.suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def _html(served: Served, wheels: list[Wheel]) -> str:
    rows = []
    for wheel in wheels:
        digest = f"#sha256={wheel.sha256}" if served.hashes else ""
        python = f' data-requires-python="{html.escape(wheel.requires_python)}"' if wheel.requires_python else ""
        yanked = served.yanked.get(wheel.filename)
        yank = "" if yanked is None else f' data-yanked="{html.escape(yanked)}"'
        about = f' data-core-metadata="sha256={hashlib.sha256(wheel.metadata).hexdigest()}"' if served.sidecar else ""
        rows.append(
            f'<a href="/files/{wheel.filename.replace("+", "%2B")}{digest}"{python}{yank}{about}'
            f' data-upload-time="{wheel.uploaded.isoformat()}T12:00:00.123456Z">{wheel.filename}</a><br/>'
        )
    return "<!DOCTYPE html><html><body>\n" + "\n".join(rows) + "\n</body></html>"


def _json(served: Served, wheels: list[Wheel], name: str) -> str:
    files = [
        {
            "filename": wheel.filename,
            "url": f"/files/{wheel.filename}",
            "hashes": {"sha256": wheel.sha256},
            "requires-python": wheel.requires_python,
            "upload-time": f"{wheel.uploaded.isoformat()}T12:00:00.123456Z",
            "yanked": served.yanked.get(wheel.filename, False) or (wheel.filename in served.yanked),
            "core-metadata": {"sha256": hashlib.sha256(wheel.metadata).hexdigest()} if served.sidecar else False,
            "size": len(wheel.content),
        }
        for wheel in wheels
    ]
    return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files})


class Repository(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """An index at work."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, served: Served) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served = served
        self.guard = threading.Lock()
        self.hanging = threading.Event()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


@contextlib.contextmanager
def serving(served: Served) -> Iterator[Repository]:
    """Serve it."""
    repository = Repository(served)
    thread = threading.Thread(target=repository.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield repository
    finally:
        repository.closing.set()
        repository.shutdown()
        repository.server_close()
        thread.join()
