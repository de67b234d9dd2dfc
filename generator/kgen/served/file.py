"""One file that a server has: its name in messages, what the server answered, and when to give up asking."""

from __future__ import annotations

import shlex
import threading
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from kgen.errors import Cancelled, HashMismatchError, MalformedAnswerError, OutsideError, UnreachableError

WHOLE = 64 * 1024 * 1024
"""The limit for a download of one wheel in bytes: of the whole wheel without range requests, else of its file list."""

PATIENCE = 60.0
"""The limit for an answer of any size, in seconds."""

CHUNK = 256 * 1024
"""How much kgen reads from a local file at a time, in bytes; between two reads, ctrl-C can stop it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFile:
    """A wheel on a server."""

    url: str
    filename: str
    sha256: str

    @property
    def is_source(self) -> bool:
        """Whether it is a source distribution; until kgen builds it, only its size is known."""
        return not self.filename.endswith(".whl")

    @property
    def shown(self) -> str:
        """The URL for messages: without credentials, and without a query, which may have credentials too."""
        parts = urllib.parse.urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))

    @property
    def host(self) -> str:
        """The server, with its port; empty for a file on this machine."""
        return urllib.parse.urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def check(self) -> str:
        """The command that prints the digest of the file."""
        path = local_path(self.url)
        if path is not None:
            return f"sha256sum {shlex.quote(str(path))}"
        return f"curl --silent --show-error --location {shlex.quote(self.shown)} | sha256sum"

    def fault(self, what: str, *hints: str, kind: type[OutsideError] = UnreachableError) -> OutsideError:
        """An error about this file; without hints, with the command that shows what is there."""
        look = f"curl --head --location {shlex.quote(self.shown)}" if self.host else self.check
        return kind(f"{self.filename}: {what}", hints=hints or [look])

    def damaged(self, what: str) -> DamagedMemberError:
        """An error about a file in it that is not what the list of files says."""
        return DamagedMemberError(f"{self.filename}: {what}", hints=[self.check])

    def verify(self, digest: str, *, kind: str = "") -> None:
        """Raises unless this is the file that the index names."""
        if digest == self.sha256:
            return
        if kind.startswith("text/html"):
            raise self.fault(
                f"{self.host} answered with a web page, not with the wheel (is it a login page?)",
                kind=MalformedAnswerError,
            )
        raise HashMismatchError(
            f"{self.filename} is not the file that the index names: sha256 {digest}, expected {self.sha256}",
            hints=[self.check],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an index answered to one question.

    Attributes:
        size: the wheel's size, if that was said.
        start: where in the wheel `body` begins.
        body: bytes of the wheel up to its end; None if there are none to be used.
        ranges: whether asking for a range again may help.
        kind: the answer's content type.
    """

    size: int | None
    start: int = 0
    body: bytes | None = None
    ranges: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What an index answered to a question that is not about a wheel's bytes.

    Attributes:
        url: where it came from in the end; what its links are relative to.
        status: 200, 304 (it is what it was), or what says that there is none: 404, as a rule.
        kind: its content type, in small letters.
        body: its content; empty unless the status is 200.
        tag: what to send as If-None-Match to ask whether it has changed; None if the server gives nothing.
        modified: the same for If-Modified-Since.
    """

    url: str
    status: int
    kind: str
    body: bytes
    tag: str | None = None
    modified: str | None = None


class DamagedMemberError(OutsideError):
    """A file inside a wheel is not what the wheel's list of files says."""

    code = "K404"


def local_path(url: str) -> Path | None:
    """The path of a file on this machine, from a `file:` URL or a plain path; None for a file on a server."""
    if "://" not in url and not url.startswith("file:"):
        return Path(url)
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "file":
        return None
    from urllib.request import url2pathname  # noqa: PLC0415 - slow to import, and few indexes are folders

    return Path(url2pathname(parts.path))


class Limit:
    """When to stop asking: the user interrupts, no request waits any more, or the time for all answers is over.

    Args:
        cancel: set by another thread when the user interrupts.
        within: seconds that all answers together may take, from now on; None for no such limit.
    """

    def __init__(self, cancel: threading.Event, within: float | None) -> None:
        self.cancel = cancel
        self.closed = threading.Event()
        self._within = within
        self._end = None if within is None else time.monotonic() + within

    def refuse_if_over(self, file: ServedFile) -> None:
        """Stop if no more requests may be made for this file.

        Raises:
            Cancelled: the user interrupted, or no request waits for the answer.
            OutsideError: all answers together took too long.
        """
        if self.cancel.is_set() or self.closed.is_set():
            raise Cancelled(f"interrupted while {file.filename} was being read")
        if self._within is not None and self._end is not None and time.monotonic() >= self._end:
            raise file.fault(
                f"the answers of {file.host} and others took longer than {self._within:g} s together",
                f"see whether the index answers; for one that is slow: export KGEN_TIMEOUT={2 * self._within:g}",
            )
