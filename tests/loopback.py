"""Servers on the loopback interface: what those of the tests have in common."""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar, cast

NOTHING: Mapping[str, str] = MappingProxyType({})


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers a GET and a HEAD alike, and says nothing about it."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answer what was asked: for the test to say."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def send(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] = NOTHING, *, size: int | None = None
    ) -> None:
        """Send an answer; if it claims more bytes than it has, the connection is closed upon that."""
        claimed = len(body) if size is None else size
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(claimed))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)
        if claimed > len(body):
            self.close_connection = True

    def hang(self) -> None:
        """Say nothing until the test is over."""
        server = cast("Server", self.server)
        server.hanging.set()
        server.closing.wait(60)
        self.close_connection = True

    def range_of(self, size: int) -> tuple[int, int] | None:
        """The first byte that was asked for of so many, and the one after the last; None if all were."""
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            return None
        if not asked[1]:
            return max(0, size - int(asked[2])), size
        return int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size

    def log_message(self, *_: object) -> None:
        pass


class _Closed(Exception):  # noqa: N818 - nothing is wrong
    """The server has been told to end."""


class Server(http.server.ThreadingHTTPServer):
    """A server on a port of its own. It sleeps until it is asked for something: there are several for a whole session.

    Attributes:
        guard: for what its threads share.
        hanging: set when a client waits for an answer that does not come.
        closing: set when the test is over.
    """

    block_on_close = False
    request_queue_size = 128

    def __init__(self, handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.guard = threading.Lock()
        self.hanging = threading.Event()
        self.closing = threading.Event()

    @property
    def root(self) -> str:
        return f"http://{self.place}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""

    def serve(self) -> None:
        """Answer until `end` is called."""
        with contextlib.suppress(_Closed):
            self.serve_forever(cast("float", None))  # as a selector takes it: until something comes

    def end(self) -> None:
        """Wake the loop up, which then sees that it is over."""
        self.closing.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.server_port)).close()

    def service_actions(self) -> None:
        """What the loop does after each answer."""
        if self.closing.is_set():
            raise _Closed


AnyServer = TypeVar("AnyServer", bound=Server)


@contextlib.contextmanager
def running(server: AnyServer) -> Iterator[AnyServer]:
    """The server at work."""
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        while thread.is_alive():
            server.end()
            thread.join(1)
        server.server_close()
