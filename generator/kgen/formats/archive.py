"""Writes tar archives of many large files in parallel, and compares what was written with its digests.

The layout is that of :mod:`tarfile`. Sizes are known in advance, so each member has its offset before the first one is
copied. The kernel does the copying where it can, and the result is read back for the digest while it is in memory. A
file that was compared before and has not changed is copied without reading it back.
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
"""Bytes that are copied, and then hashed, at a time: few enough to stay in the processor's cache."""

_CHUNK_OF_KNOWN = 64 * 1024 * 1024
"""Bytes that are copied at a time without inspection: few enough that ctrl-C acts at once."""


Report = Callable[[int, int], None]
"""Called with the number of bytes done, and in total."""


@dataclass(kw_only=True)
class Progress:
    """Counts bytes from several threads.

    Attributes:
        report: called with each change.
        total: the total number of bytes, as far as it is known.
        done: the number of bytes done.
    """

    report: Report
    total: int
    done: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        """Add to the bytes done; negative to take some back."""
        with self.guard:
            self.done += count
            self.report(self.done, max(self.total, self.done))


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        path: its path in the archive.
        sha256: its digest.
        size: its size in bytes.
        source: its content, or the file that contains it.
        offset: the offset in that file.
        known: the state of that file when its bytes were compared with the digest; it is then copied without reading.
    """

    path: str
    sha256: str
    size: int
    source: bytes | Path
    offset: int = 0
    known: Stamp | None = None


def damaged(path: str) -> HashMismatchError:
    """The error that a member of an archive does not match the archive's list.

    Args:
        path: its path in the archive.
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
    """Write an archive beside its place, compare it with its digests, and then move it there.

    Writes nothing if the existing file has exactly these members; compares them all the same, unless they are known. A
    member whose file is known is copied without reading, and must still be the same file afterwards.

    Args:
        output: the file.
        members: its members, in order.
        known: whether the existing file was compared before, with the digests of these members.

    Returns:
        Whether it was written; if not, every byte of the existing file has been compared, now or before.

    Raises:
        HashMismatchError: a member has another digest; the existing file is unchanged.
        OSError: something cannot be read or written; the existing file is unchanged.
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
            # The kernel lets only one thread at a time write to a file. So members that are only copied share a thread:
            # with a thread for each, waiting made it take half as long again. Members in memory are small, and starting
            # a thread for one would take longer than writing it.
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
    """The pieces that :func:`write` writes for members, and the total size."""
    placed, size = _layout(members)
    found: list[filecopy.Piece] = []
    for one in placed:
        member = one.member
        found.append((one.start, one.head, 0, len(one.head)))
        content = member.source if isinstance(member.source, bytes) else str(member.source)
        found.append((one.content, content, member.offset, member.size))
    return found, size


def require_writable(output: Path) -> None:
    """Check that an archive can be created in this place; leaves nothing behind.

    Raises:
        OSError: the system does not allow it.
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
    """The offset of each member, and the total size."""
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
    """Whether a file has these members at their offsets, by name and size."""
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
    """Process each member, the largest groups first, on every processor: hashing needs them all.

    Args:
        groups: the members; those in a group are processed one after the other.
        work: processes a member; its event is set when the result is no longer wanted.
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
"""Copies a range of a file; arguments: the file, the offset there, the archive, the offset there, the length."""


def _put(file: int, one: _Placed, cancel: threading.Event, copy: _Copy) -> None:
    """Write a member at its offset, and verify it.

    Args:
        file: the archive.
        one: the member.
        cancel: set when the result is no longer wanted.
        copy: copies what need not be inspected.
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
    """Check that a member matches its digest.

    Args:
        file: the archive.
        one: the member.
        cancel: set when the result is no longer wanted.
        before: called with each range of the member, as offset and length, before it is read.

    Raises:
        HashMismatchError: it does not.
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
        HashMismatchError: the file has changed since.
    """
    done = 0
    while done < one.member.size and not cancel.is_set():
        count = min(_CHUNK_OF_KNOWN, one.member.size - done)
        copy(source, one.member.offset + done, file, one.content + done, count)
        done += count
    if stamp_of(source) != one.member.known:
        raise damaged(one.member.path)
