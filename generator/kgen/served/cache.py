"""Cache files: each is written atomically, and contains a checksum of its content."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import zlib
from pathlib import Path

_PART = ".part"
_ABANDONED = 3600
"""Seconds after which kgen takes a temporary file of the cache for abandoned: writing one takes a moment."""


def keep(file: Path, header: str, body: bytes) -> None:
    """Write a cache file atomically, with a checksum.

    Raises:
        OSError: the cache cannot be written.
    """
    import tempfile  # noqa: PLC0415 - most calls only read what is kept

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
    """What :func:`keep` wrote; None if it has another form, or is damaged.

    Raises:
        OSError: it cannot be read.
        ValueError: its header is not text.
    """
    first, _, body = file.read_bytes().partition(b"\n")
    return body if first.decode() == f"{header} {zlib.crc32(body):08x}" else None
