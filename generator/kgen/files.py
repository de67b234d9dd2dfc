"""Reads files that somebody else may have put there: regular files only, and only up to a size limit.

A link may lead to an endless device, a FIFO without a writer, or a folder; a file may be larger than the memory. kgen
reads whatever a lock, a receipt, settings or a RECORD points to through this module.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from kgen import replay
from kgen.errors import FileError

SMALL = 4 << 20
"""Size limit in bytes for hooks and for what people write: settings, `.python-version`, `.condarc`, matrix files."""

LARGE = 64 << 20
"""Size limit in bytes for what programs write: locks, receipts, RECORDs and the metadata of conda packages."""


def read(path: Path, limit: int = LARGE) -> bytes:
    """The content of a regular file.

    Args:
        path: the file; a link is followed, and must lead to a regular file.
        limit: the largest size in bytes.

    Raises:
        OSError: the file does not exist, cannot be read, is not a regular file, or is larger than the limit. Its text
            says which.
    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit >> 20} MiB", str(path))
    return content


def sha256(path: Path) -> str:
    """The digest of a regular file of any size, in hexadecimal.

    Raises:
        OSError: the file does not exist, cannot be read, or is not a regular file.
    """
    import hashlib  # noqa: PLC0415 - loads OpenSSL

    digest = hashlib.sha256()
    with open_regular(path) as file:
        while piece := file.read(SMALL):
            digest.update(piece)
    return digest.hexdigest()


def read_text(path: Path, limit: int = SMALL, *, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The content of a regular file as text, with universal newlines.

    Raises:
        OSError: see :func:`read`.
        UnicodeDecodeError: the content is not text in this encoding.
    """
    return read(path, limit).decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def resolved(path: Path) -> Path:
    """The path without links; a circular link stays, on which `Path.resolve` fails before Python 3.13."""
    return Path(os.path.realpath(path))


def exists(path: Path) -> bool:
    """Whether there is something that this user may see; `Path` itself raises in a shut folder before Python 3.14."""
    return os.path.exists(path)  # noqa: PTH110 - the one place


def is_file(path: Path) -> bool:
    """Whether there is a regular file that this user may see."""
    return os.path.isfile(path)  # noqa: PTH113 - as above


def is_folder(path: Path) -> bool:
    """Whether there is a folder that this user may see."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def is_link(path: Path) -> bool:
    """Whether there is a symbolic link that this user may see."""
    return os.path.islink(path)  # noqa: PTH114 - as above


def matching(folder: Path, pattern: str) -> list[Path]:
    """What of a folder this user may see and a pattern names, sorted; nothing in a folder that is shut."""
    with contextlib.suppress(OSError, ValueError):  # the second of a name that no file can have, on some Pythons
        return sorted(folder.glob(pattern))
    return []


def may_write(folder: Path) -> bool:
    """Whether this process may create files in a folder."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def refusal(folder: Path) -> OSError | None:
    """The error that creating a file in this folder would raise; None if this process may."""
    if may_write(folder):
        return None
    number = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
    return OSError(number, os.strerror(number), str(folder))


def typed(path: str | os.PathLike[str]) -> str:
    """A path, quoted for a shell command."""
    import shlex  # noqa: PLC0415 - only a mistake pays for it

    return shlex.quote(os.fspath(path))


def unreadable(path: Path, error: OSError, *, hints: Iterable[str] = ()) -> FileError:
    """The error for a file or folder that kgen cannot read.

    Args:
        path: the file or folder.
        error: the system's error.
        hints: hints of the caller; without any, the hint is the command that shows who may read the path.
    """
    return _fault(path, "cannot be read", error, list(hints) or [_look_at(path)])


def unwritable(path: Path, error: OSError, *, what: str = "cannot be written", hints: Iterable[str] = ()) -> FileError:
    """The error for a file or folder that kgen cannot write, with the command that shows why.

    Args:
        path: the file or folder.
        error: the system's error.
        what: the predicate of the message, whose subject is the path.
        hints: hints of the caller; without any, the hint depends on the system's error.
    """
    import shlex  # noqa: PLC0415 - only a fault pays for it

    folder = shlex.quote(str(path.parent))
    # parents that kgen was about to create do not exist, and no command can show anything about them
    there = next((one for one in path.parents if is_folder(one)), path.parent)
    disk = shlex.quote(str(there))
    commands = {
        errno.ENOENT: f"mkdir -p {folder}",
        errno.ENOSPC: f"df -h {shlex.quote(str(path)) if os.path.ismount(path) else disk}",
        errno.EDQUOT: "quota --human-readable",
        errno.EPERM: f"{_look_at(path)}; lsattr -d {folder}",
        errno.EROFS: f"findmnt --target {disk}",
    }
    return _fault(path, what, error, list(hints) or [commands.get(error.errno or 0, _look_at(path))])


def _look_at(path: Path) -> str:
    import shlex  # noqa: PLC0415 - only a fault pays for it

    return f"ls -ld {shlex.quote(str(path.parent))} {shlex.quote(str(path))}"


def _fault(path: Path, what: str, error: OSError, hints: list[str]) -> FileError:
    where = next((str(name) for name in (error.filename, error.filename2) if name is not None), str(path))
    detail = "" if where == str(path) else f" ({where})"
    return FileError(f"{path} {what}: {error.strerror or error}{detail}", hints=hints)


class open_regular:  # noqa: N801 - used as the function `open` is
    """A regular file, open for reading within a `with` block; raises what :func:`read` raises."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Reader:
        replay.looked(self._path)
        try:
            # checked before it is opened, because opening a device may have effects, and again after, for races
            _refuse_other(self._path.stat(), self._path)
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except ValueError:  # the name contains NUL, or a character that the file system encoding does not have
            raise OSError(errno.EINVAL, "there can be no file of this name", repr(str(self._path))) from None
        try:
            _refuse_other(os.fstat(handle), self._path)
        except BaseException:
            os.close(handle)
            raise
        self._reader = _Reader(handle)
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()


class _Reader:
    def __init__(self, handle: int) -> None:
        self._handle = handle

    def read(self, size: int) -> bytes:
        """This many bytes, fewer only at the end of the file."""
        blocks = []
        while size > 0 and (block := os.read(self._handle, min(size, 1 << 20))):
            blocks.append(block)
            size -= len(block)
        return b"".join(blocks)

    def close(self) -> None:
        os.close(self._handle)


def _refuse_other(facts: os.stat_result, path: Path) -> None:
    if stat.S_ISREG(facts.st_mode):
        return
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))
