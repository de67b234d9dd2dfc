"""What of a project is locked, on disk, proven and out of date; offline, and nothing is run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import host, lockfiles
from kgen.actions.check import check
from kgen.actions.sync import source_of
from kgen.errors import NotLockedError
from kgen.formats import environment as environments
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats


class EnvironmentStatus(NamedTuple):
    """How an environment stands.

    Attributes:
        environment: its name.
        platforms: the platforms that it is locked for; () where the settings ask for it and it is not locked.
        lock: `in order`, `out of order` or `missing`.
        on_disk: `as locked`, `not as locked`, or `no`; None where it is not locked for this machine.
        proven: device -> its verdict; `stale` where the lock has changed since.
    """

    environment: str
    platforms: tuple[str, ...]
    lock: str
    on_disk: str | None
    proven: Mapping[str, str]


def status(root: Path, matrix: CompatibilityMatrix) -> tuple[EnvironmentStatus, ...]:
    """How each environment of a project stands: those that are locked, then those that are to be.

    Args:
        root: the project's folder.
        matrix: the facts.

    Raises:
        UsageError: nothing is locked, and nothing is asked for.
        SettingsError: the settings are wrong.
    """
    result = check(root, matrix)
    faulty = set(result.faulty)
    found = []
    for one in lockfiles.environments(root):
        lock = "out of order" if one.name in faulty else "in order"
        found.append(EnvironmentStatus(one.name, tuple(one.platforms), lock, _on_disk(root, one), _proven(one)))
    there = {one.environment for one in found}
    found += [EnvironmentStatus(name, (), "missing", None, {}) for name in result.faulty if name not in there]
    return tuple(found)


def _on_disk(root: Path, locked: lockfiles.LockedEnvironment) -> str | None:
    if host.subdir() not in locked.platforms:
        return None
    source = source_of(root, locked, formats.default())
    if environments.is_whole(source):
        return "as locked"
    return "not as locked" if source.prefix.is_dir() else "no"


def _proven(locked: lockfiles.LockedEnvironment) -> dict[str, str]:
    if not os.path.lexists(locked.folder / "receipts"):
        return {}
    from kgen.validation import receipts  # noqa: PLC0415 - slow to import, and most environments have none

    return {one.device: "stale" if one.stale else one.verdict for one in receipts.find(locked.folder)}


def packages(root: Path, names: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """What is locked for this machine, or else for the first platform of an environment.

    Args:
        root: the project's folder.
        names: the environments; none for all.

    Returns:
        Environment -> package -> version.

    Raises:
        UsageError: nothing is locked, or there is no such environment.
        SettingsError: a lock is none.
    """
    chosen = [lockfiles.choose(root, name) for name in names] or list(lockfiles.environments(root))
    if not chosen:
        raise NotLockedError(f"nothing is locked in {root}", hints=["kgen lock"])
    here = host.subdir() or ""
    return {
        one.name: dict(lockfiles.read(one.platforms.get(here, next(iter(one.platforms.values())))).versions)
        for one in chosen
    }
