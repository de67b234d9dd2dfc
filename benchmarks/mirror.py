"""A mirror of a Python index on this machine that says how long its answers hold, as most indexes do.

Every answer is fetched once and kept in memory. Pages hold for ten minutes, files for ever.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

_LINK = re.compile(rb'(href="|"url":\s*")([^"#]+)')
_KEPT = ("Content-Type", "Content-Range", "Accept-Ranges", "Content-Length")
_ASKED = ("Accept", "Range")
_TIMEOUT = 60


def index_url(text: str) -> str:
    """The URL of an index, for a command line: an empty one would silently measure another index.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"https?://\S+", text):
        raise ValueError(text)
    return text


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = ""
    known: dict[tuple[str, ...], _Answer] = {}  # noqa: RUF012 - one mirror a process
    turns: dict[tuple[str, ...], threading.Lock] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        is_file = self.path.startswith("/files/")
        url = self.path.removeprefix("/files/") if is_file else self.upstream + self.path.removeprefix("/simple")
        asked = {name: self.headers[name] for name in _ASKED if name in self.headers}
        key = (self.command, url, *asked.values())
        with self.turns.setdefault(key, threading.Lock()):
            if key not in self.known:
                self.known[key] = _fetch(self.command, url, asked, rewrite=not is_file)
        answer = self.known[key]
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "max-age=365000000, immutable" if is_file else "max-age=600")
        self.end_headers()
        self.wfile.write(answer.body)


def _fetch(method: str, url: str, asked: dict[str, str], *, rewrite: bool) -> _Answer:
    request = urllib.request.Request(url, headers=asked, method=method)  # noqa: S310 - the index that was named
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
            status, headers, body = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        status, headers, body = error.code, error.headers, error.read()
    kept = {name: headers[name] for name in _KEPT if name in headers}
    if rewrite:
        body = _LINK.sub(lambda link: link[1] + b"/files/" + urllib.parse.urljoin(url, link[2].decode()).encode(), body)
    if method != "HEAD":
        kept["Content-Length"] = str(len(body))
    return _Answer(status, kept, body)


@contextlib.contextmanager
def mirror(upstream: str) -> Iterator[str]:
    """Serve the index at this URL; gives the URL that it is served at."""
    _Handler.upstream = upstream.rstrip("/")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/simple/"
    finally:
        server.shutdown()
        server.server_close()
