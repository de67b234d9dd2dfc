"""The wheels of kgen itself and of what it needs, kept while nothing is installed anew beside it."""

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
    """A wheel that was made.

    Attributes:
        filename: its name.
        sha256: what identifies it.
        size: its bytes.
        content: its content, or the file that has it.
    """

    filename: str
    sha256: str
    size: int
    content: bytes | Path


def own_wheels(name: str, kept: Path, *, source: Mapping[str, Path], again: bool = False) -> tuple[KeptWheel, ...]:
    """The wheels of a project that is installed beside kgen, and of all that it needs here, sorted by project.

    To see what that is, and what of it was made before, takes as long as all the rest of a small bundle: what was
    found is taken again while the folders that packages are installed in, and the files of `source`, are as they were.

    Args:
        name: the project.
        kept: the folder of what was made.
        source: which folders stand for the code of one that is installed editable: path in the wheel -> folder.
        again: look for all of that again, and compare what is kept with its digests.

    Raises:
        OutsideError: something of that is not installed, or is not whole.
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
    """The same as they were found before; none where they must be looked for again.

    Args:
        name: the project.
        kept: the folder of what was made.
        source: as there.
    """
    state = _state(name, source)
    return () if state is None else tuple(_kept(kept, state))


def _kept(kept: Path, state: str) -> Iterator[KeptWheel]:
    """What was made in this state of things; nothing where something of it is gone."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        replay.looked(kept / _INDEX)
        said = json.loads(cache.kept(kept / _INDEX, _HEADER) or b"{}")
        rows = [(str(file), str(sha256), int(size), Path(path)) for file, sha256, size, path in said["wheels"]]
        for *_, path in rows:
            replay.looked(path)
        if said["state"] == state and all(path.stat().st_size == size for _, _, size, path in rows):
            yield from (KeptWheel(*row) for row in rows)


def _state(name: str, source: Mapping[str, Path]) -> str | None:
    """A digest of all that the wheels depend on; None where a change of just now could not be told from the next."""
    latest = 0
    found = hashlib.sha256(repr((__version__, name, sys.version, sys.prefix)).encode())
    for path in (*sys.path, *(file for top in source.values() for file in _files_below(top))):
        replay.looked(path or os.curdir)
        stamp = stamp_of(path or os.curdir)
        latest = max(latest, 0 if stamp is None else stamp.changed)
        found.update(f"{path}\0{stamp}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest() if latest + SETTLED < time.time_ns() else None


def _files_below(folder: str | Path) -> Iterator[str]:
    """The paths of all files of a folder: as text, as there are many."""
    replay.looked(folder)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files_below(entry.path)
            else:
                yield entry.path
