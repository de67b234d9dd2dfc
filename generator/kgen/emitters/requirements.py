"""A lock in the form that pip has always had: pinned requirements, each with its hash.

Files are named by version and hash only; pip finds them on whatever index it is configured for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kgen.model.lockfile import LockedFile, Lockfile, from_project


def render(locks: Mapping[str, Lockfile], indexes: Sequence[str] = ()) -> str:
    """The requirements of one environment.

    Args:
        locks: the environment marker of a platform -> its lock; of a single one no line carries the marker.
        indexes: the frameworks' own indexes that pip is to ask besides; which file is taken, its hash says.

    Raises:
        ValueError: a value is none that a lock can have.
    """
    for lock in locks.values():
        lock.require_grammar()
    first = next(iter(locks.values()))
    platforms = ", ".join(lock.platform for lock in locks.values())
    lines = [
        f"# Made by kgen: {first.environment} for Python {first.python} on {platforms}.",
        "# pip install --require-hashes --no-deps -r FILE",
    ]
    if any(file.path is not None for lock in locks.values() for file in lock.files):
        lines.append("# in the project's folder, where its own files have their paths from")
    lines += [f"--extra-index-url {index}" for index in indexes]
    for marker, lock in locks.items():
        condition = f" ; {marker}" if len(locks) > 1 else ""
        lines += [f"{_pin(file)}{condition} --hash=sha256:{file.sha256}" for file in lock.files]
    return "\n".join(lines)


def _pin(file: LockedFile) -> str:
    """A file as pip takes it: one of the project by its path from there, as URLs of files would be this machine's."""
    if not file.direct:
        return f"{file.name}=={file.version}"
    if file.path is None:
        return f"{file.name} @ {file.url}"
    return from_project(file.path)
