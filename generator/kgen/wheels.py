"""What an index serves about one wheel, without downloading it whole.

The list of files in a wheel stands at its end, so a range request of the last bytes answers for a wheel of a
gigabyte. From the lists of all wheels of a lock follows which of them would overwrite each other's files.
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
"""Bytes at a wheel's end that are asked for first: enough for a list of about a thousand files."""

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
_SURROUNDINGS = frozenset({"doc", "docs", "example", "examples"})
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


def overlaps(listings: Mapping[str, WheelListing]) -> list[Overlap]:
    """The pairs of wheels that own the same installed path with different content, sorted.

    Content differs if its CRC-32 or its size does. What stands beside the packages by mistake (`build_backend.py`,
    `LICENSE`, `docs/conf.py`) is not a module, and left out. What goes into `*.dist-info/` is every wheel's own, and
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
    """Whether two wheels may have the same installed path: metadata, and files that are there by mistake."""
    head, _, rest = path.partition("/")
    if rest:
        return head.endswith(".dist-info") or head in _SURROUNDINGS
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
        # abandoned threads may still be at work: each closes what it opens from now on
        self._limit.closed.set()
        with self._lock:
            client, self._opened_client = self._opened_client, None
        if client is not None:
            client.close()

    @property
    def _client(self) -> Client:
        """What asks servers, made when there is something to ask."""
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
            url: http(s), file, or a plain path. A local file is always verified, and never in the cache
                folder.
            filename: the wheel's name, for messages.
            sha256: what the index says, 64 hexadecimal digits.

        Raises:
            OutsideError: it cannot be had, is not what the index names, or is not a wheel.
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
        # Several platforms and environments share wheels: the second who asks for one waits for the first.
        with turn:
            listing = self._known.get(key)
            if listing is None:
                listing = self._read_file(wheel, path) if path is not None else self._read_cached(wheel)
                self._known[key] = listing
        return listing

    def page(self, url: str, *, name: str, headers: Mapping[str, str], absent: Collection[int] = (_NOT_FOUND,)) -> Page:
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
        """The content of some of the files in a wheel, read by ranges; each is what its CRC-32 says.

        Args:
            url: http(s), file, or a plain path.
            filename: the wheel's name, for messages.
            sha256: what the index says; empty if it says nothing. A wheel that is read whole is verified.
            wanted: says of a path inside the wheel whether it is one.

        Returns:
            path -> content; None if the index knows no ranges and the wheel is too large to be read whole.

        Raises:
            OutsideError: the wheel cannot be had, is not what the index names, or is not a wheel.
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
            OutsideError: the wheel cannot be had, is not what the index names, or is not a wheel.
            Cancelled: `cancel` was set.
        """
        wheel = ServedFile(url=url, filename=filename, sha256=sha256.lower())
        file = self._opened(wheel)
        if file is None:
            return None
        infos = [item for item in archive.listed(file, wheel) if wanted(item.filename)]
        return ((item.filename, archive.pieces(file.piece, item, wheel)) for item in infos)

    def _opened(self, wheel: ServedFile) -> archive.SparseFile | None:
        """The end of a wheel at hand, the rest fetched when it is read; None if its server knows no ranges.

        Raises:
            OutsideError: it cannot be had, or is not what the index names.
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
            OutsideError: the wheel cannot be had, is not what the index names, or is not a wheel.
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
        """What an index serves of a wheel, and whether that is all that there is to know."""
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
        """A reader of a wheel whose tail is at hand."""
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
        """The wheel's end, or all of it, or at least its size."""
        answer = self._client.ask(wheel, f"bytes=-{_TAIL}")
        if answer.size is None:
            # It does not like the question: too much of a small file, or from the end. The plain one it will.
            answer = self._client.ask(wheel, None)
        if answer.body is None and answer.size and answer.ranges:
            second = self._client.ask(wheel, f"bytes={max(0, answer.size - _TAIL)}-{answer.size - 1}")
            return second if second.body is not None else answer
        return answer


def _digest_of(path: Path) -> str | None:
    """The sha256 of a file; None if it is not there."""
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
    """Whether a path inside a wheel is that of its METADATA."""
    head, _, rest = path.partition("/")
    return rest == "METADATA" and head.endswith(".dist-info")


def _declared(
    infos: Sequence[zipfile.ZipInfo], piece: archive.Fetch, wheel: ServedFile
) -> tuple[Declared | None, bool]:
    """What a wheel's METADATA says of its licence, and whether it could be had.

    It stands beside the list of files, as a rule, and costs no further question. A licence that cannot be had is no
    fault of the wheel: it is done without, and asked for the next time.
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
"""Bytes that are fetched at a time of a file that is read piece by piece."""


_PART = ".part"
_ABANDONED = 3600
"""Seconds after which no process still writes a file of the cache: writing one takes a moment."""


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
    """Puts the listing there, whole or not at all; a cache that takes nothing is not a fault."""
    body = json.dumps([listing.size, dict(listing.entries), listing.declared], separators=(",", ":")).encode()
    with contextlib.suppress(OSError):
        keep(file, _HEADER, body)
