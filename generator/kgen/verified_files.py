"""Remembers which files matched their sha256 and have not changed since, so that kgen need not read them again.

kgen recognises a file by device, inode, size, and the times at which its content and its inode changed. Writing to a
file changes these, and the change time of the inode cannot be set back. A disk that returns other bytes than were
written goes unnoticed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from kgen import replay
from kgen.served import cache

_HEADER = "kgen-verified 1"
_MOST = 4096
"""So many files are remembered, the last ones."""

SETTLED = 2_000_000_000
"""Nanoseconds that a file must have been left alone before it was read: filesystems count in steps, of two seconds the
longest, and a change in the same step as another cannot be seen."""


class Stamp(NamedTuple):
    """What the system says about a file; another one after each change."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def stamp_of(file: str | Path | int) -> Stamp | None:
    """The stamp of a file, or of an open one; None if there is none."""
    try:
        found = os.stat(file)  # noqa: PTH116 - of open files too
    except OSError:
        return None
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class VerifiedFiles:
    """The files that were compared, kept for the next call.

    Args:
        kept: the file that they are kept in; one that cannot be read, or is damaged, says nothing of any file.
    """

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._rows: dict[str, tuple[str, Stamp]] = {}
        self._changed = False
        replay.looked(kept)
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            rows = json.loads(cache.kept(kept, _HEADER) or b"{}")
            self._rows = {str(path): (str(sha256), Stamp(*map(int, stamp))) for path, (sha256, stamp) in rows.items()}

    def known(self, path: Path, sha256: str) -> Stamp | None:
        """The stamp of a file that is known to have a sha256; None if it must be compared.

        Args:
            path: the file.
            sha256: in hexadecimal.
        """
        said, stamp = self._rows.get(_name_of(path), ("", None))
        return stamp if said == sha256 and stamp is not None and stamp == stamp_of(path) else None

    def add(self, path: Path, sha256: str, read: int) -> None:
        """Say that a file was compared; one that changed since, or shortly before, is compared again next time.

        Args:
            path: the file.
            sha256: what it has, in hexadecimal.
            read: when reading it began, in nanoseconds since the epoch, as :func:`time.time_ns` counts them.
        """
        stamp = stamp_of(path)
        if stamp is not None and stamp.changed + SETTLED < read:
            self._rows.pop(_name_of(path), None)  # so that it is the last one
            self._rows[_name_of(path)] = (sha256, stamp)
            self._changed = True

    def save(self) -> None:
        """Keep what was added; where that cannot be written, files are compared again next time."""
        if self._changed:
            rows = dict(list(self._rows.items())[-_MOST:])
            with contextlib.suppress(OSError):
                cache.keep(self._kept, _HEADER, json.dumps(rows).encode())


def _name_of(path: Path) -> str:
    return str(path.absolute())
