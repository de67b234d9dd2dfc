"""Room for a file, and stretches of other files copied into it, by the way that takes its filesystem least.

Imports nothing that a call with nothing to do can be spared.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Piece = tuple[int, "bytes | str", int, int]
"""A piece of a file to write: its place, its content or the path of the file that has it, where it begins in that, and
its length."""

_PIECE = 1024 * 1024
"""Bytes to copy at a time through memory: few enough to be in the processor's cache still."""

_RESERVING = frozenset({"ext4", "xfs"})
"""Filesystems of Linux that set room aside for a file without writing it."""

_NOT_BY_KERNEL = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


def reserve(file: int, size: int) -> bool:
    """Give a file its size, and room for all of it where the filesystem sets that aside without writing it.

    Writing into room that was found before takes two thirds of the time, and a disk that is too small says so before
    the first byte. Elsewhere the C library would write into each block, which takes longer than it saves.

    Args:
        file: an open file.
        size: in bytes.

    Returns:
        Whether room was set aside; :func:`copy` wants to know.

    Raises:
        OSError: there is not so much room.
    """
    if filesystem_of(file) in _RESERVING:
        os.posix_fallocate(file, 0, size)
        return True
    os.ftruncate(file, size)
    return False


def write_new(path: str, pieces: Iterable[Piece], size: int, is_wanted: Callable[[], bool]) -> bool:
    """Write a file that is not there; it has no name before it is whole, and so nothing is left of one that is not.

    Args:
        path: the file.
        pieces: what is to be in it; zeros between them.
        size: its bytes.
        is_wanted: asked when all is written whether the file is to be there.

    Returns:
        Whether it is there now; if not, another one may be.

    Raises:
        OSError: something cannot be read or written, or this filesystem has no files without a name.
    """
    if not hasattr(os, "O_TMPFILE"):
        return False
    folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - pathlib is slow to import
    file = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        is_reserved = reserve(file, size)
        for place, content, start, count in pieces:
            if isinstance(content, bytes):
                write(file, memoryview(content)[start : start + count], place)
                continue
            source = os.open(content, os.O_RDONLY | os.O_CLOEXEC)
            try:
                copy(source, start, file, place, count, is_reserved=is_reserved)
            finally:
                os.close(source)
        if is_wanted():
            # by its number: what has no name cannot be named otherwise. With a folder given, Python asks the system to
            # follow the link there; the path is absolute, so that any folder will do.
            os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
            return True
    finally:
        os.close(file)
    return False


def filesystem_of(file: int) -> str | None:
    """What the filesystem of an open file is called, as Linux names it; None where it is not listed."""
    device = os.fstat(file).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # noqa: PTH123 - slow to import
            for line in mounts:
                mount, _, filesystem = line.partition(" - ")
                if mount.split(maxsplit=3)[2] == wanted:
                    return filesystem.partition(" ")[0]
    except OSError:
        pass
    return None


def copy(source: int, start: int, file: int, place: int, count: int, *, is_reserved: bool) -> None:
    """Copy a stretch of a file into another one; less where the source ends before.

    Args:
        source: the open file to read.
        start: where the stretch begins in it.
        file: the open file to write.
        place: where it begins there.
        count: its bytes.
        is_reserved: whether :func:`reserve` set room aside.

    Raises:
        OSError: something cannot be read or written.
    """
    (_copy_aligned if is_reserved else _copy)(source, start, file, place, count)


def _copy(source: int, start: int, file: int, place: int, count: int) -> None:
    while count > 0:
        try:
            done = os.copy_file_range(source, file, count, start, place)
        except OSError as error:
            if error.errno not in _NOT_BY_KERNEL:
                raise
            piece = os.pread(source, min(count, _PIECE), start)
            write(file, piece, place)
            done = len(piece)
        if done == 0:
            return
        start, place, count = start + done, place + done, count - done


def _copy_aligned(source: int, start: int, file: int, place: int, count: int) -> None:
    """Copy a stretch into room that was set aside.

    Members of an archive begin at any multiple of 512. The kernel, left to itself, writes 64 KiB at a time from there,
    each across the borders of its pages; whole pieces between borders take two thirds of that, though they are copied
    twice.
    """
    buffer = memoryview(bytearray(min(_PIECE, count)))
    while count > 0:
        wanted = min(_PIECE - place % _PIECE, count, len(buffer))
        done = os.preadv(source, [buffer[:wanted]], start)
        if done == 0:
            return
        write(file, buffer[:done], place)
        start, place, count = start + done, place + done, count - done


def write(file: int, content: bytes | memoryview, place: int) -> None:
    """Write all of some bytes at a place of an open file.

    Raises:
        OSError: they cannot be written.
    """
    left = memoryview(content)
    while left:
        done = os.pwrite(file, left, place)
        left, place = left[done:], place + done
