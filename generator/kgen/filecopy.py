"""Allocates a file and copies ranges of other files into it, in the way that is cheapest on its filesystem.

Imports nothing slow: `kgen.replay` uses this module.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Piece = tuple[int, "bytes | str", int, int]
"""A piece of a file to write: offset, content or the path of a file that contains it, the offset there, length."""

_PIECE = 1024 * 1024
"""Bytes that are copied through memory at a time: few enough to stay in the processor's cache."""

_RESERVING = frozenset({"ext4", "xfs"})
"""Linux filesystems that allocate a file without writing it."""

_NOT_BY_KERNEL = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


def reserve(file: int, size: int) -> bool:
    """Set the size of a file, and allocate it if the filesystem can do that without writing.

    Writing into allocated space takes two thirds of the time, and a full disk is noticed before the first byte. On
    other filesystems the C library would write into each block, which takes longer than it saves.

    Args:
        file: an open file.
        size: in bytes.

    Returns:
        Whether the space was allocated, which :func:`copy` needs to know.

    Raises:
        OSError: there is not enough space.
    """
    if filesystem_of(file) in _RESERVING:
        os.posix_fallocate(file, 0, size)
        return True
    os.ftruncate(file, size)
    return False


def write_new(path: str, pieces: Iterable[Piece], size: int, is_wanted: Callable[[], bool]) -> bool:
    """Write a file that does not exist yet. It gets its name only when complete; an interrupted call leaves nothing.

    Args:
        path: the file.
        pieces: its content; the gaps between them are zeros.
        size: its size in bytes.
        is_wanted: asked when everything is written: whether to give the file its name.

    Returns:
        Whether the file now exists; if not, another file of this name may.

    Raises:
        OSError: something cannot be read or written, or the filesystem does not support unnamed files.
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
            # an unnamed file can be linked by its descriptor only. Given a directory descriptor, Python has the system
            # follow the link in /proc; which one does not matter, because the path is absolute.
            os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
            return True
    finally:
        os.close(file)
    return False


def filesystem_of(file: int) -> str | None:
    """The Linux name of an open file's filesystem; None if it is not listed."""
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
    """Copy a range of one file into another; less if the source ends earlier.

    Args:
        source: the open file to read.
        start: the offset in it.
        file: the open file to write.
        place: the offset there.
        count: the number of bytes.
        is_reserved: the result of :func:`reserve`.

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
    """Copy a range into allocated space.

    Members of an archive begin at any multiple of 512. From there the kernel would write 64 KiB at a time, each across
    the borders of its pages. Writing whole pages takes two thirds of that time, although the bytes are then copied
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
    """Write all of these bytes at an offset of an open file.

    Raises:
        OSError: they cannot be written.
    """
    left = memoryview(content)
    while left:
        done = os.pwrite(file, left, place)
        left, place = left[done:], place + done
