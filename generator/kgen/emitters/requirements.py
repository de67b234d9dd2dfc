"""A lock in the form that pip has always had: pinned requirements, each with its hash.

Files are named by version and hash only; pip finds them on whatever index it is configured for.
"""

from __future__ import annotations

from collections.abc import Mapping

from kgen.model.lockfile import Lockfile


def render(locks: Mapping[str, Lockfile]) -> str:
    """The requirements of one environment.

    Args:
        locks: the environment marker of a platform -> its lock; of a single one no line carries the marker.

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
    for marker, lock in locks.items():
        condition = f" ; {marker}" if len(locks) > 1 else ""
        lines += [f"{file.name}=={file.version}{condition} --hash=sha256:{file.sha256}" for file in lock.files]
    return "\n".join(lines)
