"""Tar archives of many large files: several written at once, and what was written compared with its digest.

The layout is that of :mod:`tarfile`. Sizes are known beforehand, so that each member has its place before the first is
copied; the kernel copies where it can, and what it wrote is read back for the digest while it is still in memory. A
file that was compared before, and is the same file still, is copied without that.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from kgen import filecopy, files
from kgen.errors import HashMismatchError
from kgen.model import grammar
from kgen.verified_files import Stamp, stamp_of

_CHUNK = 4 * 1024 * 1024
"""Bytes that are copied, and then hashed, at a time: few enough to be in the processor's cache still."""

_CHUNK_OF_KNOWN = 64 * 1024 * 1024
"""Bytes to copy at a time where they are not inspected: few enough that ctrl-C acts at once."""


Report = Callable[[int, int], None]
"""Called with how many bytes are there, and how many there will be."""


@dataclass(kw_only=True)
class Progress:
    """Counts bytes from several threads.

    Attributes:
        report: called with each change.
        total: how many there will be, as far as is known.
        done: how many there are.
    """

    report: Report
    total: int
    done: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        """There are more; fewer, where some had to be given up."""
        with self.guard:
            self.done += count
            self.report(self.done, max(self.total, self.done))


class Member(NamedTuple):
    """A file of an archive.

    Attributes:
        path: where it is in it.
        sha256: what identifies it.
        size: its bytes.
        source: its content, or the file that has it.
        offset: where in that file it begins.
        known: what that file is like if its bytes were compared with the digest before; it is copied unread then.
    """

    path: str
    sha256: str
    size: int
    source: bytes | Path
    offset: int = 0
    known: Stamp | None = None


def damaged(path: str) -> HashMismatchError:
    """That a member of an archive is not what it is listed with.

    Args:
        path: where it is in the archive.
    """
    return HashMismatchError(
        f"{grammar.printable(path)} is damaged: its sha256 is not the listed one",
        hints=["copy the bundle again; where it was made, `kgen bundle` makes it anew"],
    )


def digest(content: IO[bytes]) -> str:
    """The sha256 of the rest of a file, in hexadecimal."""
    found = hashlib.sha256()
    while piece := content.read(_CHUNK):
        found.update(piece)
    return found.hexdigest()


def write(output: Path, members: Sequence[Member], *, known: bool = False) -> bool:
    """Write an archive beside its place, compare what was written with its digests, and then put it there.

    Does not write where the file that is there has exactly these members; they are compared all the same, unless it is
    known. A member whose file is known is copied unread, and must be the same file still when that is done.

    Args:
        output: the file.
        members: what is to be in it, in this order.
        known: whether what is there was compared before, with the digests of these members.

    Returns:
        Whether it was written; if not, every byte of what was there has been compared, now or before.

    Raises:
        HashMismatchError: a member has another digest; what was there stands.
        OSError: something cannot be read or written; what was there stands.
    """
    placed, size = _layout(members)
    if _has_layout(output, placed, size):
        with contextlib.suppress(HashMismatchError), _opened(output, os.O_RDONLY) as file:
            if not known:
                _each([[one] for one in placed], lambda one, cancel: _compare(file, one, cancel))
            return False
    part = _part_of(output)
    try:
        with _opened(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
            copy = functools.partial(filecopy.copy, is_reserved=filecopy.reserve(file, size))
            # The kernel lets one thread at a time write into a file. Members that are only copied are one after the
            # other for that: where each had a thread, waiting for the others took half as much again.
            # What is in memory is small, and a thread of its own would take longer than it.
            is_large = [one.member.known is None and isinstance(one.member.source, Path) for one in placed]
            copied = [one for one, large in zip(placed, is_large, strict=True) if not large]
            hashed = [[one] for one, large in zip(placed, is_large, strict=True) if large]
            _each([copied, *hashed], lambda one, cancel: _put(file, one, cancel, copy))
        part.replace(os.path.realpath(output))  # a symbolic link stays one
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return True


def pieces(members: Sequence[Member]) -> tuple[list[filecopy.Piece], int]:
    """What :func:`write` makes of members, piece by piece, and the size of the whole."""
    placed, size = _layout(members)
    found: list[filecopy.Piece] = []
    for one in placed:
        member = one.member
        found.append((one.start, one.head, 0, len(one.head)))
        content = member.source if isinstance(member.source, bytes) else str(member.source)
        found.append((one.content, content, member.offset, member.size))
    return found, size


def require_writable(output: Path) -> None:
    """See that an archive could be begun in a place; nothing stays there.

    Raises:
        OSError: the system does not let it.
    """
    part = _part_of(output)
    with _opened(part, os.O_RDWR | os.O_CREAT):
        part.unlink()


def _part_of(output: Path) -> Path:
    place = Path(os.path.realpath(output))
    return place.with_name(f".{place.name}.part")


class _Placed(NamedTuple):
    member: Member
    head: bytes
    start: int

    @property
    def content(self) -> int:
        return self.start + len(self.head)


def _layout(members: Sequence[Member]) -> tuple[list[_Placed], int]:
    """Where each member is, and the size of the whole."""
    placed = []
    place = 0
    for one in members:
        info = tarfile.TarInfo(one.path)
        info.size, info.mode = one.size, 0o644
        head = info.tobuf(tarfile.GNU_FORMAT)
        placed.append(_Placed(one, head, place))
        place += len(head) + _up(one.size, tarfile.BLOCKSIZE)
    return placed, _up(place + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE)


def _up(size: int, step: int) -> int:
    return (size + step - 1) // step * step


def _has_layout(path: Path, placed: Sequence[_Placed], size: int) -> bool:
    """Whether a file has the members of an archive at their places, by name and size."""
    try:
        if path.stat().st_size != size or not files.is_file(path):
            return False
        with _opened(path, os.O_RDONLY) as file:
            return all(os.pread(file, len(one.head), one.start) == one.head for one in placed)
    except OSError:
        return False


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    file = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)


def _each(groups: Sequence[Sequence[_Placed]], work: Callable[[_Placed, threading.Event], None]) -> None:
    """Do something with each member, the largest groups first, on every processor: hashing needs them all.

    Args:
        groups: the members; those of a group one after the other.
        work: what to do, and an event that is set when the result is not wanted any more.
    """
    cancel = threading.Event()

    def work_all(members: Sequence[_Placed]) -> None:
        for one in members:
            work(one, cancel)

    if len(groups) == 1:
        work_all(groups[0])
        return
    import concurrent.futures  # noqa: PLC0415 - where all is known no threads are needed

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        largest_first = sorted(groups, key=lambda group: -sum(one.member.size for one in group))
        for done in concurrent.futures.as_completed([pool.submit(work_all, group) for group in largest_first]):
            done.result()
    except BaseException:
        cancel.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_Copy = Callable[[int, int, int, int, int], None]
"""Copies a stretch of a file: the file and where it begins there, the archive and the place there, and the length."""


def _put(file: int, one: _Placed, cancel: threading.Event, copy: _Copy) -> None:
    """Write a member at its place, and see that what is there then is the member.

    Args:
        file: the archive.
        one: the member.
        cancel: set when the result is not wanted any more.
        copy: copies what need not be looked at.
    """
    os.pwrite(file, one.head, one.start)
    source = one.member.source
    if isinstance(source, bytes):
        filecopy.write(file, source, one.content)
        _compare(file, one, cancel)
        return
    with _opened(source, os.O_RDONLY) as from_file:
        if one.member.known is not None:
            _copy_known(from_file, file, one, cancel, copy)
            return
        _compare(
            file,
            one,
            cancel,
            lambda start, count: filecopy.copy(
                from_file, one.member.offset + start, file, one.content + start, count, is_reserved=False
            ),
        )


def _compare(
    file: int, one: _Placed, cancel: threading.Event, before: Callable[[int, int], None] = lambda _start, _count: None
) -> None:
    """See that a member is what it is listed with.

    Args:
        file: the archive.
        one: the member.
        cancel: set when the result is not wanted any more.
        before: called with each stretch of the member, as start and length, before it is read.

    Raises:
        HashMismatchError: it is not.
    """
    found = hashlib.sha256()
    buffer = memoryview(bytearray(min(_CHUNK, one.member.size)))
    done = 0
    while done < one.member.size and not cancel.is_set():
        piece = buffer[: min(_CHUNK, one.member.size - done)]
        before(done, len(piece))
        count = os.preadv(file, [piece], one.content + done)
        if count == 0:
            break
        found.update(piece[:count])
        done += count
    if not cancel.is_set() and found.hexdigest() != one.member.sha256:
        raise damaged(one.member.path)


def _copy_known(source: int, file: int, one: _Placed, cancel: threading.Event, copy: _Copy) -> None:
    """Copy a member whose file was compared before.

    Raises:
        HashMismatchError: it is not that file any more.
    """
    done = 0
    while done < one.member.size and not cancel.is_set():
        count = min(_CHUNK_OF_KNOWN, one.member.size - done)
        copy(source, one.member.offset + done, file, one.content + done, count)
        done += count
    if stamp_of(source) != one.member.known:
        raise damaged(one.member.path)
