"""What notes of earlier lockings have in common, whatever the form of the locks."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import kgen
from kgen import resources

KEPT = 64
"""So many notes are kept; one is about 20 KB for each of its locks."""


@functools.cache
def code_state() -> str:
    """What tells whether the code is another than before where the version does not: in a clone that is worked on."""
    clone = resources.clone()
    if clone is None:
        return ""
    folders = (Path(kgen.__file__).parent, resources.folder("templates"))
    return hashlib.sha256(repr([sorted(_stamps(str(folder))) for folder in folders]).encode()).hexdigest()


def _stamps(folder: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as found:
        for one in found:
            if one.is_file():
                stat = one.stat()
                yield one.path, stat.st_size, stat.st_mtime_ns
            elif one.name != "__pycache__":
                yield from _stamps(one.path)


def keep_few(folder: Path) -> None:
    """Delete the notes that were not used for longest."""
    stamps = sorted(((path.stat().st_mtime, path) for path in folder.iterdir()), reverse=True)
    for _, path in stamps[KEPT:]:
        path.unlink(missing_ok=True)
