"""Reads the listing and single files of a wheel on an index without downloading the whole wheel.

The central directory of a wheel (a ZIP archive) is at its end, so a range request for the last bytes is enough, even
for a wheel of a gigabyte. The listings of all wheels of a lock show which wheels would overwrite each other's files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, final

from kgen import elf, files, logins, pe
from kgen.errors import Cancelled, FileError, MalformedAnswerError, OutsideError
from kgen.model.licence import Declared
from kgen.served import archive
from kgen.served.cache import keep, kept
from kgen.served.file import CHUNK, PATIENCE, Answer, DamagedMemberError, Limit, Page, ServedFile, local_path

if TYPE_CHECKING:  # slow to import, and not needed where the cache knows the wheels
    import zipfile

    from kgen.served.client import Client

T = TypeVar("T")

_NOT_FOUND = 404

_TAIL = 128 * 1024
"""Bytes at the end of a wheel that kgen requests first: enough for the listing of about a thousand files."""

_HEADER = "kgen-wheel-listing 2"

_NEEDS_HEADER = "kgen-wheel-needs 1"

_COMPILED = re.compile(r"(?P<elf>\.so(?:\.[0-9]+)*)$|(?P<pe>\.(?:dll|pyd))$", re.IGNORECASE)
"""Suffixes of compiled files: ELF on Linux, PE on Windows. kgen does not read Mach-O: no wheel for macOS carries an
accelerator's libraries."""

_READERS = {"elf": elf.needs, "pe": pe.needs}

_ONE, _ALL = 64 * 1024 * 1024, 200 * 1024 * 1024
"""Bytes that kgen inflates of one compiled file, and of all in one wheel, to find which libraries they need."""

_GLIMPSE = 8 * 1024 * 1024
"""Bytes that kgen inflates of a larger file, and of each remaining file once the total is used up."""

_LEFTOVERS = frozenset(
    {"build_backend.py", "conftest.py", "noxfile.py", "setup.py", "COPYING", "LICENCE", "LICENSE", "NOTICE", "README"}
)
_SURROUNDINGS = frozenset({"doc", "docs", "example", "examples"})
_PROSE = (".cfg", ".md", ".rst", ".toml", ".txt")
"""Suffixes of files that some projects install beside their packages by mistake; no program imports them."""

_DECLARED = 600
"""Characters that kgen keeps of a field about the licence: longer fields hold the licence's whole text."""

_CLASSIFIERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelListing:
    """The files in a wheel.

    Attributes:
        size: the wheel's own size in bytes.
        entries: path inside the wheel -> (CRC-32, uncompressed size); no folders.
        complete: False if the index does not support range requests and the wheel is too large to download: `entries`
            is empty then, and means nothing.
        declared: what the METADATA declares about the licence; None if it declares nothing, or could not be read.
    """

    size: int
    entries: Mapping[str, tuple[int, int]]
    complete: bool = True
    declared: Declared | None = None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Overlap:
    """Two wheels that own the same paths with different content; whichever is installed last wins.

    Attributes:
        first: the name of the wheel that sorts first.
        second: the name of the other wheel.
        paths: the paths as installed below site-packages, sorted.
    """

    first: str
    second: str
    paths: tuple[str, ...]


def overlaps(listings: Mapping[str, WheelListing]) -> list[Overlap]:
    """The pairs of wheels that own the same installed path with different content, sorted.

    Content differs if its CRC-32 or its size differs. Three kinds of files do not count: those in `*.dist-info/`, those
    installed outside site-packages (scripts, headers, data), and those that are beside the packages by mistake and
    are not modules (`build_backend.py`, `LICENSE`, `docs/conf.py`). An incomplete listing overlaps with nothing; the
    caller decides whether that is good enough.
    """
    installed = {name: _installed(listings[name]) for name in sorted(listings)}
    # Of the ten thousand paths of a lock nearly all have one owner: set operations find the others faster than a loop.
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
    """Whether two wheels may own this installed path: metadata, and files that are there by mistake."""
    head, _, rest = path.partition("/")
    if rest:
        return head.endswith(".dist-info") or head in _SURROUNDINGS
    return path in _LEFTOVERS or path.endswith(_PROSE)


def _installed(listing: WheelListing) -> Mapping[str, tuple[int, int]]:
    """The entries by path below site-packages, without what the wheel installs elsewhere."""
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
    """The function that reads a compiled file of this name."""
    match = _COMPILED.search(path)
    return _READERS[match.lastgroup or "elf"] if match else elf.needs


@final
class WheelReader:
    """Reads the listings of wheels; a context manager, safe to use from many threads at once.

    The reader remembers listings for its lifetime, and the cache keeps them across runs: the content behind a sha256
    never changes. Only complete listings are cached, a damaged entry is ignored, and kgen goes on without a cache that
    cannot be written. Credentials come from the URL or ~/.netrc, proxies from the environment.

    A wheel that is read whole is verified against its sha256. A wheel that is read by range requests cannot be: its
    listing is what the index serves, and the installer notices if that was wrong.

    Args:
        cache: the folder for listings; None for no cache.
        cancel: set by another thread to stop the reader, which notices between two pieces of a response, at the
            latest after the timeout of 30 s for one piece.
        certificates: the value of SSL_CERT_FILE or SSL_CERT_DIR, which requests does not read. As with uv, a missing
            file is ignored. REQUESTS_CA_BUNDLE, which requests reads itself, takes precedence.
        indexes: the URLs of the configured indexes, with their credentials.
        patience: seconds that one response may take, whatever its size.
        within: seconds that all responses together may take from now on; None for no limit.
    """

    def __init__(
        self,
        *,
        cache: Path | None,
        cancel: threading.Event | None = None,
        certificates: str | None = None,
        indexes: Iterable[str] = (),
        patience: float = PATIENCE,
        within: float | None = None,
    ) -> None:
        self._logins = logins.Logins(indexes)
        self._limit = Limit(cancel or threading.Event(), within)
        self._patience = patience
        self._cache = cache
        self._certificates = certificates
        self._lock = threading.Lock()
        self._opened_client: Client | None = None
        self._known: dict[str, WheelListing] = {}
        self._turns: dict[str, threading.Lock] = {}

    def __enter__(self) -> WheelReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # abandoned threads may still be running: each closes what it opens from now on
        self._limit.closed.set()
        with self._lock:
            client, self._opened_client = self._opened_client, None
        if client is not None:
            client.close()

    @property
    def _client(self) -> Client:
        """The HTTP client, created on first use."""
        from kgen.served.client import Client  # noqa: PLC0415 - see above

        with self._lock:
            if self._opened_client is None:
                self._opened_client = Client(
                    self._limit, indexes=self._logins, certificates=self._certificates, patience=self._patience
                )
            return self._opened_client

    def read(self, url: str, *, filename: str, sha256: str) -> WheelListing:
        """The listing of the wheel with this sha256.

        Args:
            url: http(s), file, or a plain path. A local file is always verified, and never cached.
            filename: the wheel's name, for messages.
            sha256: the digest that the index states, 64 hexadecimal digits.

        Raises:
            OutsideError: the wheel cannot be fetched, is not what the index names, or is not a wheel.
            Cancelled: `cancel` was set.
        """
        wheel = ServedFile(url=url, filename=filename, sha256=sha256.lower())
        try:
            path = local_path(url)
        except ValueError as error:
            raise MalformedAnswerError(f"{filename}: the URL that the index gives for it makes no sense") from error
        if not re.fullmatch("[0-9a-f]{64}", wheel.sha256):
            raise wheel.fault(f"{sha256!r} is not a sha256 to know it by", kind=MalformedAnswerError)
        key = wheel.sha256 if path is None else f"{path}:{wheel.sha256}"
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        # Several platforms and environments share wheels: the second thread that asks for one waits for the first.
        with turn:
            listing = self._known.get(key)
            if listing is None:
                listing = self._read_file(wheel, path) if path is not None else self._read_cached(wheel)
                self._known[key] = listing
        return listing

    def page(self, url: str, *, name: str, headers: Mapping[str, str], absent: Collection[int] = (_NOT_FOUND,)) -> Page:
        """The response to a GET request for a page.

        Args:
            url: http(s).
            name: what messages call the page.
            headers: additional request headers.
            absent: the statuses that mean that the page does not exist.

        Raises:
            OutsideError: the page cannot be fetched whole, or the status is neither 200, 304 nor one of `absent`.
            Cancelled: `cancel` was set.
        """
        return self._client.page(url, name=name, headers=headers, absent=absent)

    def save(
        self,
        url: str,
        *,
        filename: str,
        sha256: str,
        target: Path,
        report: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """Download a file; resumes what an earlier call left unfinished.

        Args:
            url: http(s), file, or a plain path.
            filename: the file's name, for messages.
            sha256: the digest that the file must have.
            target: the path of the file. Until it is complete and verified, it is beside that path as `….part`, where
                it stays if this call is interrupted.
            report: called with the number of bytes added; negative when kgen discards some.

        Raises:
            OutsideError: the file cannot be fetched, has another sha256, or cannot be written.
            Cancelled: `cancel` was set.
        """
        wheel = ServedFile(url=url, filename=filename, sha256=sha256.lower())
        part = target.with_name(f"{target.name}.part")
        try:
            path = local_path(url)
            there = _digest_of(part)
            if there is not None:
                report(part.stat().st_size)
            if there != wheel.sha256:
                if path is None:
                    self._client.save_rest(wheel, part, report)
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
                f"{target} cannot be written: {error.strerror or error}",
                f"df -h {shlex.quote(str(target.parent))}",
                kind=FileError,
            ) from error

    def _save_copy(self, wheel: ServedFile, path: Path, part: Path, report: Callable[[int], None]) -> None:
        report(-part.stat().st_size if files.exists(part) else 0)
        try:
            source = path.open("rb")
        except OSError as error:
            look = f"ls -l {shlex.quote(str(path))}"
            raise wheel.fault(f"{path} cannot be read: {error.strerror}", look, kind=FileError) from error
        with source, part.open("wb") as file:
            while chunk := source.read(CHUNK):
                self._limit.refuse_if_over(wheel)
                file.write(chunk)
                report(len(chunk))

    def members(
        self, url: str, *, filename: str, sha256: str, wanted: Callable[[str], bool]
    ) -> Mapping[str, bytes] | None:
        """The content of some files in a wheel, read by range requests and verified against their CRC-32.

        Args:
            url: http(s), file, or a plain path.
            filename: the wheel's name, for messages.
            sha256: the digest that the index states; empty if it states none. A wheel that is read whole is verified.
            wanted: whether to read the file at this path inside the wheel.

        Returns:
            path -> content; None if the index does not support range requests and the wheel is too large to download.

        Raises:
            OutsideError: the wheel cannot be fetched, is not what the index names, or is not a wheel.
            Cancelled: `cancel` was set.
        """
        wheel = ServedFile(url=url, filename=filename, sha256=sha256.lower())
        opened = self._opened(wheel)
        if opened is None:
            return None
        with opened as file:
            found = archive.plainly_listed(file, wanted)
            if found is None:
                found = [item for item in archive.listed(file, wheel) if wanted(item.filename)]
            return {item.filename: archive.content(file.piece, item, wheel) for item in found}

    def stream(
        self, url: str, *, filename: str, sha256: str, wanted: Callable[[str], bool]
    ) -> Iterator[tuple[str, Iterator[bytes]]] | None:
        """The content of some files in a wheel, piece by piece, so that they may be larger than the memory.

        Args:
            url: http(s), file, or a plain path.
            filename: the wheel's name, for messages.
            sha256: the digest that the index states; empty if it states none.
            wanted: whether to read the file at this path inside the wheel.

        Returns:
            each path with an iterator of its pieces, which the caller exhausts before it asks for the next path. After
            the last piece the iterator raises :class:`OutsideError` if the content does not match its CRC-32. None if
            the index does not support range requests and the wheel is too large to download.

        Raises:
            OutsideError: the wheel cannot be fetched, is not what the index names, or is not a wheel.
            Cancelled: `cancel` was set.
        """
        wheel = ServedFile(url=url, filename=filename, sha256=sha256.lower())
        file = self._opened(wheel)
        if file is None:
            return None
        infos = [item for item in archive.listed(file, wheel) if wanted(item.filename)]
        return ((item.filename, archive.pieces(file.piece, item, wheel)) for item in infos)

    def _opened(self, wheel: ServedFile) -> archive.SparseFile | None:
        """The wheel as a file whose end is fetched now and the rest on demand; None without range requests.

        Raises:
            OutsideError: the wheel cannot be fetched, or is not what the index names.
        """
        path = local_path(wheel.url)
        if path is not None:
            try:
                answer = Answer(size=None, body=path.read_bytes())
            except OSError as error:
                raise wheel.fault(f"{path} cannot be read: {error.strerror}", kind=FileError) from error
        else:
            answer = self._tail(wheel)
        if answer.body is None:
            return None
        if answer.start == 0 and wheel.sha256:
            wheel.verify(hashlib.sha256(answer.body).hexdigest(), kind=answer.kind)
        return archive.SparseFile(answer.start, answer.body, self._fetcher(wheel, answer))

    def needs(self, url: str, *, filename: str, sha256: str, listing: WheelListing) -> Mapping[str, elf.Needs] | None:
        """The libraries and symbol versions that the compiled files in a wheel need from the loader.

        Cached across runs, like the listing.

        Args:
            url: http(s), file, or a plain path.
            filename: the wheel's name, for messages.
            sha256: the digest that the index states.
            listing: the result of :meth:`read`.

        Returns:
            path of each ELF or PE file -> what it needs; None if kgen could not read them: the index does not support
            range requests and the wheel is large, or the content does not match the listing, which an installer
            reports.

        Raises:
            OutsideError: the wheel cannot be fetched, is not what the index names, or is not a wheel.
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

    def _read_file(self, wheel: ServedFile, path: Path) -> WheelListing:
        try:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while chunk := file.read(CHUNK):
                    self._limit.refuse_if_over(wheel)
                    digest.update(chunk)
                wheel.verify(digest.hexdigest())
                size = file.tell()
                if wheel.is_source:
                    return WheelListing(size=size, entries={})
                infos = archive.listed(file, wheel)

                def piece(start: int, end: int) -> bytes:
                    file.seek(start)
                    return file.read(end - start)

                declared, _ = _declared(infos, piece, wheel)
                return WheelListing(size=size, entries=_entries(infos), declared=declared)
        except OSError as error:
            raise wheel.fault(
                f"{path} cannot be read: {error.strerror}", f"ls -l {shlex.quote(str(path))}", kind=FileError
            ) from error

    def _read_cached(self, wheel: ServedFile) -> WheelListing:
        if self._cache is None:
            return self._read_remote(wheel)[0]
        file = self._cache / wheel.sha256
        listing = _load(file)
        if listing is None:
            listing, whole = self._read_remote(wheel)
            if whole:
                _store(file, listing)
        return listing

    def _read_remote(self, wheel: ServedFile) -> tuple[WheelListing, bool]:
        """The listing that an index serves, and whether it is final, so that it may be cached."""
        answer = self._tail(wheel)
        if answer.body is None:
            if answer.size is None:
                raise wheel.fault(
                    f"{wheel.host} knows no ranges, and does not say how large the file is", kind=MalformedAnswerError
                )
            return WheelListing(size=answer.size, entries={}, complete=wheel.is_source), wheel.is_source
        if answer.start == 0:
            wheel.verify(hashlib.sha256(answer.body).hexdigest(), kind=answer.kind)
        size = answer.start + len(answer.body)
        if wheel.is_source:
            return WheelListing(size=size, entries={}), True
        with archive.SparseFile(answer.start, answer.body, self._fetcher(wheel, answer)) as file:
            infos = archive.listed(file, wheel)
            declared, known = _declared(infos, file.piece, wheel)
            return WheelListing(size=size, entries=_entries(infos), declared=declared), known

    def _fetcher(self, wheel: ServedFile, tail: Answer) -> archive.Fetch:
        """A function that reads a range of a wheel whose end was fetched already."""
        size = tail.start + len(tail.body or b"")

        def fetch(start: int, end: int) -> bytes:
            part = self._client.ask(wheel, f"bytes={start}-{end - 1}", end=end)
            if part.size != size or part.start != start or part.body is None:
                raise wheel.fault(
                    f"{wheel.host} answered with another range than was asked for", kind=MalformedAnswerError
                )
            return part.body

        return fetch

    def _tail(self, wheel: ServedFile) -> Answer:
        """The response with the wheel's end, or all of it, or at least its size."""
        answer = self._client.ask(wheel, f"bytes=-{_TAIL}")
        if answer.size is None:
            # The server refuses a range beyond a small file, or one counted from the end: request the whole file.
            answer = self._client.ask(wheel, None)
        if answer.body is None and answer.size and answer.ranges:
            second = self._client.ask(wheel, f"bytes={max(0, answer.size - _TAIL)}-{answer.size - 1}")
            return second if second.body is not None else answer
        return answer


def _digest_of(path: Path) -> str | None:
    """The sha256 of a file; None if it does not exist."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def _entries(infos: Sequence[zipfile.ZipInfo]) -> dict[str, tuple[int, int]]:
    return {item.filename: (item.CRC, item.file_size) for item in infos}


def is_metadata(path: str) -> bool:
    """Whether this path inside a wheel is its METADATA file."""
    head, _, rest = path.partition("/")
    return rest == "METADATA" and head.endswith(".dist-info")


def _declared(
    infos: Sequence[zipfile.ZipInfo], piece: archive.Fetch, wheel: ServedFile
) -> tuple[Declared | None, bool]:
    """What a wheel's METADATA declares about its licence, and whether METADATA could be read.

    METADATA is usually near the central directory and costs no further request. kgen goes on without a licence that it
    cannot read, and tries again the next time.
    """
    item = next((item for item in infos if is_metadata(item.filename)), None)
    if item is None:
        return None, True
    try:
        content = archive.content(piece, item, wheel)
    except Cancelled:
        raise
    except OutsideError:
        return None, False
    import email.parser  # noqa: PLC0415 - slow to import, and most wheels are known

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


_PIECE = 4 * 1024 * 1024
"""Bytes of one range request for a file that is read piece by piece."""


_PART = ".part"
_ABANDONED = 3600
"""Seconds after which kgen takes a temporary file of the cache for abandoned: writing one takes a moment."""


def _load(file: Path) -> WheelListing | None:
    """The listing in this cache file; None if it is missing or damaged."""
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
    """The needs of a wheel's compiled files from this cache file; None if it is missing or damaged."""
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
    """Caches the listing atomically; ignores a cache that cannot be written."""
    body = json.dumps([listing.size, dict(listing.entries), listing.declared], separators=(",", ":")).encode()
    with contextlib.suppress(OSError):
        keep(file, _HEADER, body)
