"""What an index serves about one wheel, without downloading it whole.

The list of files in a wheel stands at its end, so a range request of the last bytes answers for a wheel of a
gigabyte. From the lists of all wheels of a lock follows which of them would overwrite each other's files.
"""

from __future__ import annotations

import contextlib
import email.parser
import glob
import hashlib
import io
import json
import os
import re
import shlex
import ssl
import struct
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, TypeVar, final

import platformdirs
import requests
import requests.auth
import urllib3.exceptions
import urllib3.util.ssl_
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from kgen import elf, host, logins, pe, transport
from kgen.errors import Cancelled, OutsideError
from kgen.model.licence import Declared

T = TypeVar("T")

PATIENCE = transport.PATIENCE
"""Seconds that an answer may take, whatever its size."""

_TAIL = 128 * 1024
"""Bytes at a wheel's end that are asked for first: enough for a list of about a thousand files."""

_ROUND = 64 * 1024
_WHOLE = 64 * 1024 * 1024
"""The most that is downloaded of one wheel: all of it without ranges, its list of files with them."""

_TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and between two pieces of the answer."""

_PAUSES = (0.3, 1.0)
"""Seconds before the second and the third attempt."""

_CHUNK = 256 * 1024

_MEMBER = 8 * 1024 * 1024
"""The most that one file inside a wheel may hold that is read by itself; what is asked for has a few kilobytes."""

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LIST_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
_LIST_END = struct.Struct("<4s4H2LH")
_MANY, _LARGE = 0xFFFF, 0xFFFFFFFF
"""What stands in a list of files for a number that has no room there, and is given elsewhere (ZIP64)."""

_SPARE = 1024
"""Bytes that are asked for beyond a file's own: its header may hold more than the list of files says."""

_Fetch = Callable[[int, int], bytes]
"""Bytes of the file from one position up to another."""

_NO_SUCH_RANGE = frozenset(
    {
        requests.codes.requested_range_not_satisfiable,
        requests.codes.bad_request,
        requests.codes.not_implemented,
    }
)
"""What indexes answer that know ranges, but not from the end, or not beyond the beginning."""

_HEADER = "kgen-wheel-listing 2"

_NEEDS_HEADER = "kgen-wheel-needs 1"

_COMPILED = re.compile(r"(?P<elf>\.so(?:\.[0-9]+)*)$|(?P<pe>\.(?:dll|pyd))$", re.IGNORECASE)
"""How the name of a compiled file ends, by the form that Linux and Windows have for it. Those of macOS are not read: no
accelerator there has libraries in wheels."""

_READERS = {"elf": elf.needs, "pe": pe.needs}

_ONE, _ALL = 64 * 1024 * 1024, 200 * 1024 * 1024
"""Bytes that are inflated of one compiled file, and of all in one wheel, to find what it needs."""

_GLIMPSE = 8 * 1024 * 1024
"""So many of a larger one, and of each that is left when all have been used up."""

_LEFTOVERS = frozenset(
    {"build_backend.py", "conftest.py", "noxfile.py", "setup.py", "COPYING", "LICENCE", "LICENSE", "NOTICE", "README"}
)
_PROSE = (".cfg", ".md", ".rst", ".toml", ".txt")
"""What stands in a source tree and some projects put beside their packages by mistake: no program imports any of it."""

_DECLARED = 600
"""So many characters of a field about the licence are kept: longer ones hold a licence's text."""

_CLASSIFIERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelListing:
    """What is known of a wheel.

    Attributes:
        size: the wheel's own size in bytes.
        entries: path inside the wheel -> (CRC-32, uncompressed size); no folders.
        complete: False if the index knows no ranges and the wheel is too large to be read whole: `entries` is
            empty then, and says nothing.
        declared: what its METADATA says of its licence; None if it has none, or it could not be had.
    """

    size: int
    entries: Mapping[str, tuple[int, int]]
    complete: bool = True
    declared: Declared | None = None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Overlap:
    """Two wheels that own the same paths with different content; whichever is installed last wins.

    Attributes:
        first: the name of the one wheel.
        second: the name of the other, behind `first` in the alphabet.
        paths: the paths as installed below site-packages, sorted.
    """

    first: str
    second: str
    paths: tuple[str, ...]


def default_cache(override: str | None = None) -> Path:
    """The folder for listings: `wheels` in kgen's own cache folder.

    Args:
        override: the value of KGEN_CACHE_DIR, kgen's cache folder instead of the user's; nothing if empty.
    """
    return Path(override or platformdirs.user_cache_dir("kgen")).expanduser() / "wheels"


def overlaps(listings: Mapping[str, WheelListing]) -> list[Overlap]:
    """The pairs of wheels that own the same installed path with different content, sorted.

    Content differs if its CRC-32 or its size does. What stands beside the packages by mistake (`build_backend.py`,
    `LICENSE`) is imported by nobody and left out. What goes into `*.dist-info/` is every wheel's own, and
    what goes elsewhere than site-packages (scripts, headers, data) is left out. A listing that is not
    complete overlaps with
    nothing: whether that is good enough is the caller's to say.
    """
    installed = {name: _installed(listings[name]) for name in sorted(listings)}
    # Nearly every one of the ten thousand paths of a lock has one owner: sets find the others without a loop.
    met: set[str] = set()
    shared: set[str] = set()
    for paths in installed.values():
        shared.update(met.intersection(paths))
        met.update(paths)
    pairs: dict[tuple[str, str], list[str]] = {}
    for path in sorted(path for path in shared if not _is_own(path)):
        contents = [(name, paths[path]) for name, paths in installed.items() if path in paths]
        for index, (first, one) in enumerate(contents):
            for second, other in contents[index + 1 :]:
                if one != other:
                    pairs.setdefault((first, second), []).append(path)
    return sorted(Overlap(first=first, second=second, paths=tuple(paths)) for (first, second), paths in pairs.items())


def _is_own(path: str) -> bool:
    """Whether an installed path harms nobody though two wheels have it: metadata, and what stands there by mistake."""
    head, _, rest = path.partition("/")
    if rest:
        return head.endswith(".dist-info")
    return path in _LEFTOVERS or path.endswith(_PROSE)


def _installed(listing: WheelListing) -> Mapping[str, tuple[int, int]]:
    """The contents by path below site-packages; what a wheel puts elsewhere is left out."""
    if ".data/" not in "\n".join(listing.entries):
        return listing.entries
    found: dict[str, tuple[int, int]] = {}
    for path, content in listing.entries.items():
        head, _, rest = path.partition("/")
        if not (rest and head.endswith(".data")):
            found[path] = content
            continue
        scheme, _, below = rest.partition("/")
        if scheme in {"purelib", "platlib"}:
            found[below] = content
    return found


def _reader_of(path: str) -> Callable[..., elf.Needs | None]:
    """What reads a compiled file, by its name."""
    match = _COMPILED.search(path)
    return _READERS[match.lastgroup or "elf"] if match else elf.needs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wheel:
    """One wheel that is asked for."""

    url: str
    filename: str
    sha256: str

    @property
    def is_source(self) -> bool:
        """Whether it is a source distribution, of which nothing is known but its size until it is built."""
        return not self.filename.endswith(".whl")

    @property
    def shown(self) -> str:
        """The URL as it may be shown: without a password, and without a query, which may be one too."""
        parts = urllib.parse.urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))

    @property
    def host(self) -> str:
        return urllib.parse.urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def check(self) -> str:
        """The command that shows which file is there."""
        path = _local_path(self.url)
        if path is not None:
            return f"sha256sum {shlex.quote(str(path))}"
        return f"curl --silent --show-error --location {shlex.quote(self.shown)} | sha256sum"

    def fault(self, what: str, *hints: str) -> OutsideError:
        look = f"curl --head --location {shlex.quote(self.shown)}" if self.host else self.check
        return OutsideError(f"{self.filename}: {what}", hints=hints or [look])

    def damaged(self, what: str) -> DamagedMemberError:
        return DamagedMemberError(f"{self.filename}: {what}", hints=[self.check])

    def verify(self, digest: str, *, kind: str = "") -> None:
        """Raises unless this is the file that the index names."""
        if digest == self.sha256:
            return
        if kind.startswith("text/html"):
            raise self.fault(f"{self.host} answered with a web page, not with the wheel (is it a login page?)")
        raise OutsideError(
            f"{self.filename} is not the file that the index names: sha256 {digest}, expected {self.sha256}",
            hints=[self.check],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
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


class _PassingError(Exception):
    """A fault that may be gone at the next attempt."""

    def __init__(self, error: OutsideError) -> None:
        super().__init__(error.message)
        self.error = error


class _Trust:
    """The certificates to trust, made ready once for each place that they are in: that takes longer than a question."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[tuple[str | None, str | None], ssl.SSLContext] = {}

    def context(self, file: str | None, folder: str | None) -> ssl.SSLContext:
        """What connections are made with that trust the certificates in a file, or in a folder."""
        with self._lock:
            context = self._contexts.get((file, folder))
            if context is None:
                context = urllib3.util.ssl_.create_urllib3_context()
                try:
                    context.load_verify_locations(file, folder)
                except OSError as error:
                    raise requests.exceptions.SSLError(error) from error
                self._contexts[file, folder] = context
            return context


class _Adapter(transport.Adapter):
    """Connections of one session, that share with all others what they trust."""

    def __init__(self, trust: _Trust, patience: float) -> None:
        self._trust = trust
        super().__init__(patience)

    def build_connection_pool_key_attributes(self, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - as in requests
        """What tells one pool of connections from another; here one that has its certificates at hand."""
        host, pool = super().build_connection_pool_key_attributes(*words, **named)
        # nothing of this where a certificate is not to be checked, or one is shown: requests does it then
        if host["scheme"] == "https" and pool["cert_reqs"] == "CERT_REQUIRED" and "cert_file" not in pool:
            options: dict[str, Any] = {**pool}
            file, folder = options.pop("ca_certs", None), options.pop("ca_cert_dir", None)
            file = DEFAULT_CA_BUNDLE_PATH if file is None and folder is None else file
            return host, {**options, "ssl_context": self._trust.context(file, folder)}
        return host, pool

    def cert_verify(self, conn: Any, *words: Any, **named: Any) -> None:  # noqa: ANN401 - as in requests
        """Tells a connection what to trust; one that has it already is left as it is."""
        if conn.conn_kw.get("ssl_context") is None:
            super().cert_verify(conn, *words, **named)  # type: ignore[no-untyped-call]


@final
class WheelReader:
    """Reads the listings of wheels; a context manager, and safe to use from many threads at once.

    What was read once is known for the reader's lifetime, and across runs by the cache: the content behind a
    sha256 never changes. Only complete listings go into the cache, a damaged entry is as good as none, and a
    cache that cannot be written is done without. Credentials come from the URL or ~/.netrc, proxies from the
    environment.

    A whole wheel that was read is verified against its sha256. Of one that was read by ranges the sha256
    cannot be
    known: the listing is what the index says, and the installer finds out if that was wrong.

    Args:
        cache: the folder for listings; None for no cache.
        cancel: set by another thread to make readers stop. Noticed between two pieces of an answer, so at the
            latest when the timeout of 30 s for one piece is over.
        certificates: what SSL_CERT_FILE (or SSL_CERT_DIR) says, which requests does not read. As with uv, a
            file that is not there is ignored. REQUESTS_CA_BUNDLE, which requests reads by itself, wins.
        indexes: the URLs of the indexes that the user has configured, with the credentials for them.
        patience: seconds that an answer may take, whatever its size.
        within: seconds that all answers together may take, from now on; None for no such limit.
    """

    def __init__(
        self,
        *,
        cache: Path | None,
        cancel: threading.Event | None = None,
        certificates: str | None = None,
        indexes: Iterable[str] = (),
        patience: float = transport.PATIENCE,
        within: float | None = None,
    ) -> None:
        self._logins = logins.Logins(indexes)
        self._within = within
        self._end = None if within is None else time.monotonic() + within
        self._patience = patience
        self._cache = cache
        self._cancel = cancel or threading.Event()
        self._certificates = certificates if certificates and Path(certificates).exists() else None
        self._local = threading.local()
        self._trust = _Trust()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._sessions: list[requests.Session] = []
        self._known: dict[str, WheelListing] = {}
        self._turns: dict[str, threading.Lock] = {}

    def __enter__(self) -> WheelReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # threads that nobody waits for may still be at work: each closes what it opens from now on
        self._closed.set()
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()

    def read(self, url: str, *, filename: str, sha256: str) -> WheelListing:
        """The listing of the wheel with this sha256.

        Args:
            url: http(s), file, or a plain path. A local file is always verified, and never in the cache
                folder.
            filename: the wheel's name, for messages.
            sha256: what the index says, 64 hexadecimal digits.

        Raises:
            OutsideError: it cannot be had, is not what the index names, or is no wheel.
            Cancelled: `cancel` was set.
        """
        wheel = _Wheel(url=url, filename=filename, sha256=sha256.lower())
        try:
            path = _local_path(url)
        except ValueError as error:
            raise OutsideError(f"{filename}: the URL that the index gives for it makes no sense") from error
        if not re.fullmatch("[0-9a-f]{64}", wheel.sha256):
            raise wheel.fault(f"{sha256!r} is no sha256 to know it by")
        key = wheel.sha256 if path is None else f"{path}:{wheel.sha256}"
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        # Several platforms and environments share wheels: the second who asks for one waits for the first.
        with turn:
            listing = self._known.get(key)
            if listing is None:
                listing = self._read_file(wheel, path) if path is not None else self._read_cached(wheel)
                self._known[key] = listing
        return listing

    def page(
        self, url: str, *, name: str, headers: Mapping[str, str], absent: Collection[int] = (requests.codes.not_found,)
    ) -> Page:
        """A page, as a GET with these headers gives it.

        Args:
            url: http(s).
            name: what it is, for messages.
            headers: what is sent besides.
            absent: the statuses that say that there is none.

        Raises:
            OutsideError: it cannot be had whole, or the answer is neither 200, 304 nor one of `absent`.
            Cancelled: `cancel` was set.
        """
        url = self._logins.add(url)
        asked = _Wheel(url=url, filename=name, sha256="")

        def once() -> Page:
            try:
                with self._get(url, {"Accept-Encoding": "gzip", **headers}) as response:
                    if response.status_code not in {requests.codes.not_modified, *absent}:
                        self._refuse_status(response, asked, asked_for_range=False)
                    body = self._body(response, asked, None) if response.status_code == requests.codes.ok else b""
                    if body is None:
                        raise asked.fault(f"{asked.host} sends more than {_WHOLE // 1024**2} MB")
                    return Page(
                        url=response.url,
                        status=response.status_code,
                        kind=response.headers.get("Content-Type", "").lower(),
                        body=body,
                        tag=response.headers.get("ETag"),
                        modified=response.headers.get("Last-Modified"),
                    )
            except requests.RequestException as error:
                _refuse(error, asked)
            except (urllib3.exceptions.HTTPError, UnicodeError) as error:
                raise asked.fault(f"{asked.shown} cannot be asked for: {type(error).__name__}") from error

        return self._again(asked, once)

    def save(
        self,
        url: str,
        *,
        filename: str,
        sha256: str,
        target: Path,
        report: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """Fetch a file whole; what an earlier call has got of it is not asked for again.

        Args:
            url: http(s), file, or a plain path.
            filename: the file's name, for messages.
            sha256: what it must have.
            target: where it is to be. Until it is whole and verified it is beside that, as `….part`, and stays there
                when this call is interrupted.
            report: called with the number of bytes that were added; below zero where some had to be given up.

        Raises:
            OutsideError: it cannot be had, is not the file with this sha256, or cannot be written.
            Cancelled: `cancel` was set.
        """
        wheel = _Wheel(url=url, filename=filename, sha256=sha256.lower())
        part = target.with_name(f"{target.name}.part")
        try:
            path = _local_path(url)
            there = _digest_of(part)
            if there is not None:
                report(part.stat().st_size)
            if there != wheel.sha256:
                if path is None:
                    self._again(wheel, lambda: self._save_rest(wheel, part, report))
                else:
                    self._save_copy(wheel, path, part, report)
                there = _digest_of(part)
            if there != wheel.sha256:
                report(-part.stat().st_size)
                part.unlink()
                wheel.verify(there or "")
            part.replace(target)
        except OSError as error:
            raise wheel.fault(
                f"{target} cannot be written: {error.strerror or error}", f"df -h {shlex.quote(str(target.parent))}"
            ) from error

    def _save_copy(self, wheel: _Wheel, path: Path, part: Path, report: Callable[[int], None]) -> None:
        report(-part.stat().st_size if part.exists() else 0)
        try:
            source = path.open("rb")
        except OSError as error:
            look = f"ls -l {shlex.quote(str(path))}"
            raise wheel.fault(f"{path} cannot be read: {error.strerror}", look) from error
        with source, part.open("wb") as file:
            while chunk := source.read(_CHUNK):
                self._refuse_if_cancelled(wheel)
                file.write(chunk)
                report(len(chunk))

    def _save_rest(self, wheel: _Wheel, part: Path, report: Callable[[int], None]) -> None:
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        self._refuse_if_cancelled(wheel)
        try:
            with self._get(wheel.url, headers) as response:
                self._refuse_status(response, wheel, asked_for_range=bool(have))
                goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
                if have and not (response.status_code == requests.codes.partial_content and goes_on):
                    # it knows no ranges, or has another file now: from the beginning
                    report(-have)
                    part.unlink()
                    if response.status_code != requests.codes.ok:
                        raise _PassingError(wheel.fault(f"{wheel.host} does not send the rest of it"))
                length = response.headers.get("Content-Length", "")
                before = part.stat().st_size if part.exists() else 0
                with part.open("ab") as file:
                    for chunk in transport.content(response):
                        self._refuse_if_cancelled(wheel)
                        file.write(chunk)
                        report(len(chunk))
                    got = file.tell() - before
                if length.isdecimal() and got != int(length):
                    raise _PassingError(wheel.fault(f"{wheel.host} broke off after {got} of {length} bytes"))
        except requests.RequestException as error:
            _refuse(error, wheel)
        except (urllib3.exceptions.HTTPError, UnicodeError) as error:
            raise wheel.fault(f"{wheel.shown} cannot be asked for: {type(error).__name__}") from error

    def members(
        self, url: str, *, filename: str, sha256: str, wanted: Callable[[str], bool]
    ) -> Mapping[str, bytes] | None:
        """The content of some of the files in a wheel, read by ranges; each is what its CRC-32 says.

        Args:
            url: http(s), file, or a plain path.
            filename: the wheel's name, for messages.
            sha256: what the index says; empty if it says nothing. A wheel that is read whole is verified.
            wanted: says of a path inside the wheel whether it is one.

        Returns:
            path -> content; None if the index knows no ranges and the wheel is too large to be read whole.

        Raises:
            OutsideError: the wheel cannot be had, is not what the index names, or is no wheel.
            Cancelled: `cancel` was set.
        """
        wheel = _Wheel(url=url, filename=filename, sha256=sha256.lower())
        opened = self._opened(wheel)
        if opened is None:
            return None
        with opened as file:
            found = _wanted_infos(file, wanted)
            if found is None:
                found = [item for item in _infos(file, wheel) if wanted(item.filename)]
            return {item.filename: _member(file.piece, item, wheel) for item in found}

    def stream(
        self, url: str, *, filename: str, sha256: str, wanted: Callable[[str], bool]
    ) -> Iterator[tuple[str, Iterator[bytes]]] | None:
        """The content of files in a wheel piece by piece, however large they are.

        Args:
            url: http(s), file, or a plain path.
            filename: the wheel's name, for messages.
            sha256: what the index says; empty if it says nothing.
            wanted: says of a path inside the wheel whether it is one.

        Returns:
            path and its pieces, which are to be read before the next path is asked for; behind the last piece
            :class:`OutsideError` is raised if the content is not what its CRC-32 says. None if the index knows no
            ranges and the wheel is too large to be read whole.

        Raises:
            OutsideError: the wheel cannot be had, is not what the index names, or is no wheel.
            Cancelled: `cancel` was set.
        """
        wheel = _Wheel(url=url, filename=filename, sha256=sha256.lower())
        file = self._opened(wheel)
        if file is None:
            return None
        infos = [item for item in _infos(file, wheel) if wanted(item.filename)]
        return ((item.filename, _pieces(file.piece, item, wheel)) for item in infos)

    def _opened(self, wheel: _Wheel) -> _SparseFile | None:
        """The end of a wheel at hand, the rest fetched when it is read; None if its server knows no ranges.

        Raises:
            OutsideError: it cannot be had, or is not what the index names.
        """
        path = _local_path(wheel.url)
        if path is not None:
            try:
                answer = _Answer(size=None, body=path.read_bytes())
            except OSError as error:
                raise wheel.fault(f"{path} cannot be read: {error.strerror}") from error
        else:
            answer = self._tail(wheel)
        if answer.body is None:
            return None
        if answer.start == 0 and wheel.sha256:
            wheel.verify(hashlib.sha256(answer.body).hexdigest(), kind=answer.kind)
        return _SparseFile(answer.start, answer.body, self._fetcher(wheel, answer))

    def needs(self, url: str, *, filename: str, sha256: str, listing: WheelListing) -> Mapping[str, elf.Needs] | None:
        """What the compiled files in a wheel ask the loader for.

        Known across runs by the cache, as the listing is.

        Args:
            url: http(s), file, or a plain path.
            filename: the wheel's name, for messages.
            sha256: what the index says.
            listing: what :meth:`read` has found.

        Returns:
            path of each compiled file of Linux and Windows -> what it needs; None if they could not be read: the
            index knows no ranges and the wheel is large, or what is there is not what the list of files says, which
            an installer finds out.

        Raises:
            OutsideError: the wheel cannot be had, is not what the index names, or is no wheel.
            Cancelled: `cancel` was set.
        """
        paths = {path: size for path, (_, size) in listing.entries.items() if _COMPILED.search(path)}
        if not paths:
            return {}
        file = None if self._cache is None else self._cache / f"{sha256.lower()}.needs"
        found = None if file is None else _load_needs(file)
        if found is None:
            try:
                found = self._read_needs(url, filename, sha256, paths)
            except DamagedMemberError:
                return None
            if found is not None and file is not None:
                body = json.dumps(found, separators=(",", ":")).encode()
                with contextlib.suppress(OSError):
                    keep(file, _NEEDS_HEADER, body)
        return found

    def _read_needs(
        self, url: str, filename: str, sha256: str, sizes: Mapping[str, int]
    ) -> dict[str, elf.Needs] | None:
        limits, left = {}, _ALL
        for path, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
            limits[path] = size if size <= min(_ONE, left) else _GLIMPSE
            left -= min(left, limits[path])
        members = self.stream(url, filename=filename, sha256=sha256, wanted=limits.__contains__)
        if members is None:
            return None
        read = {path: _reader_of(path)(pieces, limit=limits[path]) for path, pieces in members}
        return {path: found for path, found in sorted(read.items()) if found is not None}

    def _read_file(self, wheel: _Wheel, path: Path) -> WheelListing:
        try:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    self._refuse_if_cancelled(wheel)
                    digest.update(chunk)
                wheel.verify(digest.hexdigest())
                size = file.tell()
                if wheel.is_source:
                    return WheelListing(size=size, entries={})
                infos = _infos(file, wheel)

                def piece(start: int, end: int) -> bytes:
                    file.seek(start)
                    return file.read(end - start)

                declared, _ = _declared(infos, piece, wheel)
                return WheelListing(size=size, entries=_entries(infos), declared=declared)
        except OSError as error:
            raise wheel.fault(f"{path} cannot be read: {error.strerror}", f"ls -l {shlex.quote(str(path))}") from error

    def _read_cached(self, wheel: _Wheel) -> WheelListing:
        if self._cache is None:
            return self._read_remote(wheel)[0]
        file = self._cache / wheel.sha256
        listing = _load(file)
        if listing is None:
            listing, whole = self._read_remote(wheel)
            if whole:
                _store(file, listing)
        return listing

    def _read_remote(self, wheel: _Wheel) -> tuple[WheelListing, bool]:
        """What an index serves of a wheel, and whether that is all that there is to know."""
        answer = self._tail(wheel)
        if answer.body is None:
            if answer.size is None:
                raise wheel.fault(f"{wheel.host} knows no ranges, and does not say how large the file is")
            return WheelListing(size=answer.size, entries={}, complete=wheel.is_source), wheel.is_source
        if answer.start == 0:
            wheel.verify(hashlib.sha256(answer.body).hexdigest(), kind=answer.kind)
        size = answer.start + len(answer.body)
        if wheel.is_source:
            return WheelListing(size=size, entries={}), True
        with _SparseFile(answer.start, answer.body, self._fetcher(wheel, answer)) as file:
            infos = _infos(file, wheel)
            declared, known = _declared(infos, file.piece, wheel)
            return WheelListing(size=size, entries=_entries(infos), declared=declared), known

    def _fetcher(self, wheel: _Wheel, tail: _Answer) -> _Fetch:
        """What gives bytes of a wheel of which the tail is at hand."""
        size = tail.start + len(tail.body or b"")

        def fetch(start: int, end: int) -> bytes:
            part = self._ask(wheel, f"bytes={start}-{end - 1}", end=end)
            if part.size != size or part.start != start or part.body is None:
                raise wheel.fault(f"{wheel.host} answered with another range than was asked for")
            return part.body

        return fetch

    def _tail(self, wheel: _Wheel) -> _Answer:
        """The wheel's end, or all of it, or at least its size."""
        answer = self._ask(wheel, f"bytes=-{_TAIL}")
        if answer.size is None:
            # It does not like the question: too much of a small file, or from the end. The plain one it will.
            answer = self._ask(wheel, None)
        if answer.body is None and answer.size and answer.ranges:
            second = self._ask(wheel, f"bytes={max(0, answer.size - _TAIL)}-{answer.size - 1}")
            return second if second.body is not None else answer
        return answer

    def _ask(self, wheel: _Wheel, span: str | None, *, end: int | None = None) -> _Answer:
        """One question, asked again while the fault may be a passing one.

        Args:
            wheel: what is asked for.
            span: the value of the Range header.
            end: where the range must end, if that is not the wheel's end.
        """
        return self._again(wheel, lambda: self._ask_once(wheel, span, end))

    def _again(self, wheel: _Wheel, ask: Callable[[], T]) -> T:
        """What asking gives, asked again while the fault may be a passing one."""
        for pause in _PAUSES:
            self._refuse_if_cancelled(wheel)
            with contextlib.suppress(_PassingError):
                return ask()
            self._cancel.wait(pause)
        self._refuse_if_cancelled(wheel)
        try:
            return ask()
        except _PassingError as fault:
            raise fault.error from fault.__cause__

    def _ask_once(self, wheel: _Wheel, span: str | None, end: int | None) -> _Answer:
        self._refuse_if_cancelled(wheel)
        # Compressed on the way, neither ranges nor sizes would be those of the wheel.
        headers = {"Accept-Encoding": "identity"}
        if span is not None:
            headers["Range"] = span
        try:
            with self._get(wheel.url, headers) as response:
                self._refuse_status(response, wheel, asked_for_range=span is not None)
                return self._answer(response, wheel, end)
        except requests.RequestException as error:
            _refuse(error, wheel)
        except (urllib3.exceptions.HTTPError, UnicodeError) as error:
            # What requests lets through of a URL that makes no sense.
            raise wheel.fault(f"{wheel.shown} cannot be asked for: {type(error).__name__}") from error

    def _answer(self, response: requests.Response, wheel: _Wheel, end: int | None) -> _Answer:
        kind = response.headers.get("Content-Type", "").lower()
        encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
        if response.status_code == requests.codes.ok:
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() and not encoded else None
            body = None if size is not None and size > _WHOLE else self._body(response, wheel, size)
            return _Answer(
                size=len(body) if body is not None else size,
                body=body,
                # Who was asked for a range and sends all has none to give, whatever else is said.
                ranges="bytes" in response.headers.get("Accept-Ranges", "").lower()
                and "Range" not in response.request.headers,
                kind=kind,
            )
        match = re.fullmatch(r"bytes\s+(?:(\d+)-(\d+)|\*)/(\d+)", response.headers.get("Content-Range", "").strip())
        if match is None or encoded or response.status_code not in {206, 416}:
            return _Answer(size=None)
        start, last, size = (None if number is None else int(number) for number in match.groups())
        if start is None or last is None or last + 1 != (end or size):
            # The beginning, from a server that takes -131072 for 0-131072; or with 416 the size alone.
            return _Answer(size=size, ranges=True)
        if last + 1 - start > _WHOLE:
            return _Answer(size=size)
        return _Answer(size=size, start=start, body=self._body(response, wheel, last + 1 - start), kind=kind)

    def _body(self, response: requests.Response, wheel: _Wheel, expected: int | None) -> bytes | None:
        """The answer's content; None if it is endless."""
        body = bytearray()
        for chunk in transport.content(response):
            self._refuse_if_cancelled(wheel)
            body += chunk
            if len(body) > _WHOLE:
                return None
        if expected is not None and len(body) != expected:
            raise _PassingError(
                wheel.fault(f"{wheel.host} broke off after {len(body)} of {expected} bytes"),
            )
        return bytes(body)

    @contextlib.contextmanager
    def _get(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Begins to ask, with the credentials of the index, or else those that netrc has for its server."""
        plain, own = logins.apart(url)
        if host.is_offline():
            asked = _Wheel(url=plain, filename=plain.rstrip("/").rpartition("/")[2], sha256="")
            raise OutsideError(
                f"{asked.filename} of {asked.host} is not on this machine, and `--offline` keeps kgen from fetching it",
                hints=[f"leave `--offline` out, or {host.OFFLINE} unset"],
            )
        login = own or self._logins.of(plain)
        session = self._session()
        try:
            with session.get(
                plain,
                headers=dict(headers),
                stream=True,
                timeout=_TIMEOUT,
                auth=None if login is None else _auth(login),
            ) as response:
                yield response
        finally:
            if self._closed.is_set():
                session.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = transport.Session()
            session.headers["User-Agent"] = "kgen"
            if self._certificates is not None:
                session.verify = self._certificates
            session.mount("https://", _Adapter(self._trust, self._patience))
            session.mount("http://", _Adapter(self._trust, self._patience))
            self._local.session = session
            with self._lock:
                self._sessions.append(session)
        return session

    def _refuse_status(self, response: requests.Response, wheel: _Wheel, *, asked_for_range: bool) -> None:
        """Raises if the status is that of a fault."""
        status = response.status_code
        codes = requests.codes
        if status in {codes.ok, codes.partial_content} or (asked_for_range and status in _NO_SUCH_RANGE):
            return
        host = urllib.parse.urlsplit(response.url).netloc.rpartition("@")[2]
        what = f"{host} answered {status} {response.reason or ''}".rstrip()
        if status == codes.proxy_authentication_required:
            raise wheel.fault(what, "put the proxy's credentials into its URL: env | grep --ignore-case proxy")
        if status in {codes.unauthorized, codes.forbidden} and self._logins.configured(response.url):
            # asked of nobody for a server that is merely named by another one
            raise wheel.fault(what, f"put the credentials into ~/.netrc: machine {host} login NAME password WORD")
        error = wheel.fault(what)
        if status == codes.too_many_requests or status >= codes.server_error:
            raise _PassingError(error)
        raise error

    def _refuse_if_cancelled(self, wheel: _Wheel) -> None:
        if self._cancel.is_set() or self._closed.is_set():
            raise Cancelled(f"interrupted while {wheel.filename} was being read")
        if self._within is not None and self._end is not None and time.monotonic() >= self._end:
            raise wheel.fault(
                f"the answers of {wheel.host} and others took longer than {self._within:g} s together",
                f"see whether the index answers; for one that is slow: export KGEN_TIMEOUT={2 * self._within:g}",
            )


def _auth(login: logins.Login) -> requests.auth.HTTPBasicAuth:
    # requests would write what is no Latin-1 in it in another way than uv does
    return requests.auth.HTTPBasicAuth(login.name.encode(), login.password.encode())


def _digest_of(path: Path) -> str | None:
    """The sha256 of a file; None if it is not there."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def _local_path(url: str) -> Path | None:
    if "://" not in url and not url.startswith("file:"):
        return Path(url)
    parts = urllib.parse.urlsplit(url)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None


def _refuse(error: requests.RequestException, wheel: _Wheel) -> NoReturn:
    """Raises what an error of requests means; its own text may hold the URL's password, so is not shown."""
    if isinstance(error, transport.Refused):
        raise wheel.fault(str(error)) from error
    causes = list(_causes(error))
    # While the body comes, requests calls a timeout a broken connection.
    late = (requests.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)
    if any(isinstance(cause, late) for cause in causes):
        connect, read = _TIMEOUT
        raise wheel.fault(
            f"{wheel.host} did not answer in time ({connect:g} s to connect, {read:g} s to send)"
        ) from error
    if isinstance(error, requests.exceptions.SSLError):
        reason = next((str(cause) for cause in causes if isinstance(cause, OSError) and cause.strerror), "")
        raise wheel.fault(
            f"the certificate of {wheel.host} was not accepted: {reason or type(error).__name__}",
            "if it is your organisation's: export SSL_CERT_FILE=/path/to/its-bundle.pem",
        ) from error
    if isinstance(error, requests.exceptions.ProxyError):
        raise wheel.fault(
            f"the proxy on the way to {wheel.host} cannot be reached", "env | grep --ignore-case proxy"
        ) from error
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        system = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
        what = f"cannot be reached: {system}" if system else "broke the connection off"
        raise _PassingError(wheel.fault(f"{wheel.host} {what}")) from error
    raise wheel.fault(f"{wheel.shown} cannot be asked for: {type(error).__name__}") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it: requests and urllib3 put that into arguments, reasons and contexts."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        found = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting.extend(item for item in found if isinstance(item, BaseException))


class _SparseFile(io.RawIOBase):
    """A file of which the end is at hand, and the rest is fetched when it is read."""

    def __init__(self, start: int, held: bytes, fetch: _Fetch) -> None:
        self._start = start
        self._held = held
        self._fetch = fetch
        self._size = start + len(held)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        rest = max(0, self._size - self._position)
        count = rest if size is None or size < 0 else min(size, rest)
        if count and self._position < self._start:
            self._reach(self._position)
        begin = self._position - self._start
        self._position += count
        return self._held[begin : begin + count] if count else b""

    def piece(self, start: int, end: int) -> bytes:
        """Bytes from anywhere; only the end is kept at hand."""
        end = min(end, self._size)
        if start >= self._start:
            return self._held[start - self._start : end - self._start]
        return self._fetch(start, end)

    def _reach(self, position: int) -> None:
        if self._start - position > _WHOLE:
            raise zipfile.BadZipFile("its list of files is longer than any")
        start = position - position % _ROUND
        self._held = self._fetch(start, self._start) + self._held
        self._start = start


def _entries(infos: Sequence[zipfile.ZipInfo]) -> dict[str, tuple[int, int]]:
    return {item.filename: (item.CRC, item.file_size) for item in infos}


def is_metadata(path: str) -> bool:
    """Whether a path inside a wheel is that of its METADATA."""
    head, _, rest = path.partition("/")
    return rest == "METADATA" and head.endswith(".dist-info")


def _declared(infos: Sequence[zipfile.ZipInfo], piece: _Fetch, wheel: _Wheel) -> tuple[Declared | None, bool]:
    """What a wheel's METADATA says of its licence, and whether it could be had.

    It stands beside the list of files, as a rule, and costs no further question. A licence that cannot be had is no
    fault of the wheel: it is done without, and asked for the next time.
    """
    item = next((item for item in infos if is_metadata(item.filename)), None)
    if item is None:
        return None, True
    try:
        content = _member(piece, item, wheel)
    except Cancelled:
        raise
    except OutsideError:
        return None, False
    message = email.parser.HeaderParser().parsestr(content.decode(errors="replace"))

    def field(name: str) -> list[str]:
        return [str(value)[:_DECLARED] for value in message.get_all(name, ()) if str(value).strip() != "UNKNOWN"]

    licences = [value for value in field("Classifier") if value.startswith("License ::")]
    return (
        Declared(
            expression=next(iter(field("License-Expression")), ""),
            text=next(iter(field("License")), ""),
            classifiers=tuple(licences[:_CLASSIFIERS]),
        ),
        True,
    )


def _member(piece: _Fetch, item: zipfile.ZipInfo, wheel: _Wheel) -> bytes:
    """The content of one file in a wheel, of which `piece` gives bytes."""
    if item.file_size > _MEMBER or item.compress_size > _MEMBER:
        raise wheel.fault(f"{item.filename} in it has {item.file_size} bytes, which is more than any such file")
    name = len(item.filename.encode())
    begin = item.header_offset
    raw = piece(begin, begin + _LOCAL_HEADER.size + name + _SPARE + item.compress_size)
    try:
        signature, *_, name, extra = _LOCAL_HEADER.unpack_from(raw)
        start = _LOCAL_HEADER.size + name + extra
        end = start + item.compress_size
        if end > len(raw):
            raw += piece(begin + len(raw), begin + end)
        content = raw[start:end]
        if item.compress_type == zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, _MEMBER + 1)
        elif item.compress_type != zipfile.ZIP_STORED:
            raise wheel.fault(f"{item.filename} in it is packed in a way that is not known")
    except (struct.error, zlib.error) as error:
        raise wheel.fault(f"what {wheel.host or wheel.url} has under this name is no wheel: {error}") from error
    if signature != b"PK\x03\x04" or zlib.crc32(content) != item.CRC:
        raise wheel.fault(
            f"what {wheel.host or wheel.url} has under this name is no wheel: {item.filename} in it is not what its"
            " list of files says"
        )
    return content


_PIECE = 4 * 1024 * 1024
"""Bytes that are fetched at a time of a file that is read piece by piece."""


def _pieces(piece: _Fetch, item: zipfile.ZipInfo, wheel: _Wheel) -> Iterator[bytes]:
    """The content of one file in a wheel, as much at a time as `_PIECE` packed bytes hold."""
    header = piece(item.header_offset, item.header_offset + _LOCAL_HEADER.size)
    try:
        signature, *_, name, extra = _LOCAL_HEADER.unpack(header)
    except struct.error:
        signature, name, extra = b"", 0, 0
    position = item.header_offset + _LOCAL_HEADER.size + name + extra
    end = position + item.compress_size
    packed = item.compress_type == zipfile.ZIP_DEFLATED
    if signature != b"PK\x03\x04" or not (packed or item.compress_type == zipfile.ZIP_STORED):
        raise wheel.damaged(f"{item.filename} in it is packed in a way that is not known")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    check = 0
    while position < end:
        raw = piece(position, min(position + _PIECE, end))
        if not raw:
            break
        position += len(raw)
        # a few bytes can stand for very many
        while raw:
            try:
                content = inflate.decompress(raw, _PIECE) if packed else raw
            except zlib.error as error:
                raise wheel.damaged(f"{item.filename} in it is damaged: {error}") from error
            raw = inflate.unconsumed_tail
            check = zlib.crc32(content, check)
            yield content
    if check != item.CRC:
        raise wheel.damaged(f"{item.filename} in it is not what its list of files says")


def _wanted_infos(file: _SparseFile, wanted: Callable[[str], bool]) -> list[zipfile.ZipInfo] | None:
    """The few of a wheel's files that are wanted; None if its list is not of the plain kind, or damaged.

    `zipfile` makes an object of each of tens of thousands, which takes longer than asking for them.
    """
    file.seek(0, io.SEEK_END)
    size = file.tell()
    begin = max(0, size - _LIST_END.size - _MANY)
    tail = file.piece(begin, size)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + _LIST_END.size > len(tail):
        return None
    _, _, _, here, count, length, start, _ = _LIST_END.unpack_from(tail, place)
    if here != count or count == _MANY or _LARGE in {length, start} or start + length != begin + place:
        return None
    file.seek(start)
    listed = file.read(length)
    found = []
    position = 0
    for _ in range(count):
        if position + _LIST_ENTRY.size > length:
            return None
        fields = _LIST_ENTRY.unpack_from(listed, position)
        if fields[0] != b"PK\x01\x02":
            return None
        flags, method, crc, packed, whole, name, extra, comment, offset = fields[1:]
        position += _LIST_ENTRY.size
        path = listed[position : position + name]
        position += name + extra + comment
        if path.isascii() and wanted(path.decode()):
            if flags & 1 or _LARGE in {packed, whole, offset}:
                return None
            item = zipfile.ZipInfo(path.decode())
            item.compress_type, item.CRC, item.header_offset = method, crc, offset
            item.compress_size, item.file_size = packed, whole
            found.append(item)
    return found


def _infos(file: BinaryIO | io.RawIOBase, wheel: _Wheel) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(file) as archive:
            return [item for item in archive.infolist() if not item.is_dir()]
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        struct.error,
        OverflowError,
        EOFError,
    ) as error:
        raise wheel.fault(f"what {wheel.host or wheel.url} has under this name is no wheel: {error}") from error


_PART = ".part"
_ABANDONED = 3600
"""Seconds after which nobody is at work on a file of the cache any more: writing one takes a moment."""


def keep(file: Path, header: str, body: bytes) -> None:
    """Puts something into a cache, whole or not at all, with a checksum.

    Raises:
        OSError: the cache takes nothing.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{file.name}."
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=_PART, dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as part:
            part.write(f"{header} {zlib.crc32(body):08x}\n".encode())
            part.write(body)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    # what a run that was killed has left of this very file, which is looked for again for that reason
    for left in file.parent.glob(f"{glob.escape(prefix)}*{_PART}"):
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - _ABANDONED:
                left.unlink()


def kept(file: Path, header: str) -> bytes | None:
    """What :func:`keep` has put there; None if it is of another form, or damaged.

    Raises:
        OSError: it cannot be read.
        ValueError: what is there is no text even where it says what it is.
    """
    first, _, body = file.read_bytes().partition(b"\n")
    return body if first.decode() == f"{header} {zlib.crc32(body):08x}" else None


def _load(file: Path) -> WheelListing | None:
    """The listing in this file of the cache; None if it is not there or damaged."""
    try:
        body = kept(file, _HEADER)
        if body is None:
            return None
        size, entries, said = json.loads(body)
        return WheelListing(
            size=int(size),
            entries={str(path): (int(crc), int(length)) for path, (crc, length) in entries.items()},
            declared=None if said is None else Declared(str(said[0]), str(said[1]), tuple(map(str, said[2]))),
        )
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return None


def _load_needs(file: Path) -> dict[str, elf.Needs] | None:
    """The same of what the compiled files of a wheel need."""
    try:
        body = kept(file, _NEEDS_HEADER)
        if body is None:
            return None
        return {
            str(path): elf.Needs(tuple(map(str, needed)), tuple(map(str, loaded)))
            for path, (needed, loaded) in json.loads(body).items()
        }
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return None


def _store(file: Path, listing: WheelListing) -> None:
    """Puts the listing there, whole or not at all; a cache that takes nothing is no fault."""
    body = json.dumps([listing.size, dict(listing.entries), listing.declared], separators=(",", ":")).encode()
    with contextlib.suppress(OSError):
        keep(file, _HEADER, body)
