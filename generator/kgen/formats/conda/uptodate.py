"""Tells whether a conda lock is what locking again would make: without rattler, and without asking a channel."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kgen import __version__, fields, lockfiles
from kgen.formats.conda import RECORDS, condafiles
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.lockfile import Lockfile
from kgen.model.request import EnvironmentRequest
from kgen.settings import Settings

_INDEXES = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")
"""What a channel in a folder is described by, in the folder of a platform."""
_NOARCH = "noarch"


def surroundings(matrix: CompatibilityMatrix, settings: Settings, platforms: Collection[str]) -> str:
    """What else shapes a lock; see :class:`kgen.formats.interface.Standing`.

    That is which names conda has for projects, and what channels in folders have. What other channels have got since is
    a question for `--upgrade`, as with wheels; and how conda is configured says where they are, not what they have.
    """
    local = [list(folder_states(channel, platforms)) for channel in settings.channels]
    return lockfiles.digest(json.dumps([matrix.conda_names_revision, local]).encode())


def folder_states(channel: str, platforms: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """The files that describe a channel in a folder: their names, sizes and times; nothing for any other channel."""
    parts = urlsplit(channel)
    folder = Path(unquote(parts.path) if parts.scheme == "file" else channel)
    if not folder.is_absolute():
        return
    for subdir in sorted({*platforms, _NOARCH}):
        for name in _INDEXES:
            try:
                found = (folder / subdir / name).stat()
            except (OSError, ValueError):
                continue
            yield f"{subdir}/{name}", found.st_size, found.st_mtime_ns


def made_for(
    folder: Path, request: EnvironmentRequest, matrix: CompatibilityMatrix, settings: Settings, *, every: bool
) -> Lockfile | None:
    """The lock of a request; see :class:`kgen.formats.interface.Standing`."""
    path = folder / RECORDS
    file = condafiles.read(path)
    asked = (settings.channels, settings.conda, request.python, dict(settings.conda_names))
    if (file.channels, file.mode, file.python, file.names) != asked:
        return None
    if (file.kgen, file.matrix) != (__version__, matrix.revision):
        return None
    locked = file.platforms.get(request.platform)
    others = file.platforms.keys() - {*(settings.platforms or ()), request.platform}
    if locked is None or (every and others):
        return None
    if fields.lock_data(condafiles.request_of(file, request.platform, locked)) != fields.lock_data(request):
        return None
    return condafiles.lockfile(file, path, request.platform)
