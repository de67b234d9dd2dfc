"""The wheels of kgen itself and its dependencies, which kgen keeps while nothing beside it is installed anew."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kgen import __version__, replay
from kgen.served import cache
from kgen.verified_files import SETTLED, stamp_of

_HEADER = "kgen-own 1"
_INDEX = "index"


class KeptWheel(NamedTuple):
    """A repacked wheel.

    Attributes:
        filename: its file name.
        sha256: its digest.
        size: its size in bytes.
        content: its content, or the file with it.
    """

    filename: str
    sha256: str
    size: int
    content: bytes | Path


def own_wheels(name: str, kept: Path, *, source: Mapping[str, Path], again: bool = False) -> tuple[KeptWheel, ...]:
    """The wheels of a project that is installed beside kgen, and of everything that it needs here, sorted by project.

    Finding out what these are takes as long as the rest of a small bundle. kgen repeats the last result while the
    folders of installed packages, and the files of `source`, are unchanged.

    Args:
        name: the project.
        kept: the folder with the repacked wheels.
        source: the folders with the code of an editable project, by their paths in the wheel.
        again: whether to look for everything again, and compare the kept wheels with their digests.

    Raises:
        OutsideError: a dependency is not installed, or is incomplete.
    """
    if not again and (there := kept_wheels(name, kept, source=source)):
        return there
    state = _state(name, source)
    from kgen.formats.wheels import repack  # noqa: PLC0415 - slow to import, and there may be nothing to make

    made = tuple(repack.kept_wheel_of(one, kept, source=source, again=again) for one in repack.closure(name))
    if state is not None and all(isinstance(one.content, Path) for one in made):
        rows = [(one.filename, one.sha256, one.size, str(one.content)) for one in made]
        with contextlib.suppress(OSError):  # it is as good without
            cache.keep(kept / _INDEX, _HEADER, json.dumps({"state": state, "wheels": rows}).encode())
    return made


def kept_wheels(name: str, kept: Path, *, source: Mapping[str, Path]) -> tuple[KeptWheel, ...]:
    """The same wheels as last time; empty if kgen has to look for them again.

    Args:
        name: the project.
        kept: the folder with the repacked wheels.
        source: as in :func:`own_wheels`.
    """
    state = _state(name, source)
    return () if state is None else tuple(_kept(kept, state))


def _kept(kept: Path, state: str) -> Iterator[KeptWheel]:
    """The wheels that were made in this state; nothing if one of them is gone."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        replay.looked(kept / _INDEX)
        said = json.loads(cache.kept(kept / _INDEX, _HEADER) or b"{}")
        rows = [(str(file), str(sha256), int(size), Path(path)) for file, sha256, size, path in said["wheels"]]
        for *_, path in rows:
            replay.looked(path)
        if said["state"] == state and all(path.stat().st_size == size for _, _, size, path in rows):
            yield from (KeptWheel(*row) for row in rows)


def _state(name: str, source: Mapping[str, Path]) -> str | None:
    """A digest of everything that the wheels depend on; None if a later change could have the same time stamp."""
    latest = 0
    found = hashlib.sha256(repr((__version__, name, sys.version, sys.prefix)).encode())
    for path in (*sys.path, *(file for top in source.values() for file in _files_below(top))):
        replay.looked(path or os.curdir)
        stamp = stamp_of(path or os.curdir)
        latest = max(latest, 0 if stamp is None else stamp.changed)
        found.update(f"{path}\0{stamp}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest() if latest + SETTLED < time.time_ns() else None


def _files_below(folder: str | Path) -> Iterator[str]:
    """The paths of all files in a folder; they are text, as there are many."""
    replay.looked(folder)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files_below(entry.path)
            else:
                yield entry.path
