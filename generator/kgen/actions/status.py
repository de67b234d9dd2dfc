"""What of a project is locked, on disk, proven and out of date; offline, and nothing is run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import files, host, lockfiles
from kgen.actions.check import check
from kgen.actions.sync import source_of
from kgen.errors import NotLockedError, SettingsError
from kgen.formats import environment as environments
from kgen.formats import interface
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats


class EnvironmentStatus(NamedTuple):
    """How an environment stands.

    Attributes:
        environment: its name on disk.
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
        for form in formats.known():
            platforms: tuple[str, ...] = ()
            with contextlib.suppress(SettingsError):  # its environment is out of order, and `kgen check` says why
                platforms = _platforms(one, form)
            if platforms:
                name = one.name + form.suffix
                on_disk = _on_disk(root, one, form) if host.subdir() in platforms else None
                found.append(EnvironmentStatus(name, platforms, lock, on_disk, _proven(one, name)))
    there = {one.environment for one in found}
    found += [EnvironmentStatus(name, (), "missing", None, {}) for name in result.faulty if name not in there]
    return tuple(found)


def _platforms(locked: lockfiles.LockedEnvironment, form: formats.Format) -> tuple[str, ...]:
    """The platforms that an environment is locked for in a form."""
    if form.is_default:
        return tuple(locked.platforms)
    path = lockfiles.lock_path(locked, form)
    return () if path is None else tuple(lock.platform for lock in interface.read_every(form, path))


def _on_disk(root: Path, locked: lockfiles.LockedEnvironment, form: formats.Format) -> str:
    source = source_of(root, locked, form)
    if environments.is_whole(source):
        return "as locked"
    return "not as locked" if files.is_folder(source.prefix) else "no"


def _proven(locked: lockfiles.LockedEnvironment, name: str) -> dict[str, str]:
    if not os.path.lexists(locked.folder / "receipts"):
        return {}
    from kgen.validation import receipts  # noqa: PLC0415 - slow to import, and most environments have none

    mine = (one for one in receipts.find(locked.folder) if one.environment == name)
    return {one.device: "stale" if one.stale else one.verdict for one in mine}


def packages(root: Path, names: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """What is locked for this machine, or else for the first platform of an environment.

    Args:
        root: the project's folder.
        names: the environments, as they are called on disk or among the locks; none for all.

    Returns:
        Environment as it is called on disk -> package -> version.

    Raises:
        UsageError: nothing is locked, or there is no such environment.
        SettingsError: a lock is none.
    """
    every = ((one, form) for one in lockfiles.environments(root) for form in formats.known() if _platforms(one, form))
    chosen = [lockfiles.choose_on_disk(root, name) for name in names] or list(every)
    if not chosen:
        raise NotLockedError(f"nothing is locked in {root}", hints=["kgen lock"])
    return {one.name + form.suffix: _versions(one, form) for one, form in chosen}


def _versions(locked: lockfiles.LockedEnvironment, form: formats.Format) -> dict[str, str]:
    """Package -> version, on this machine's platform, or else on the first one."""
    platforms = _platforms(locked, form)
    here = host.subdir()
    platform = here if here in platforms else platforms[0]
    path = lockfiles.lock_path(locked, form, platform)
    assert path is not None  # noqa: S101 - it is locked for this platform
    return dict(interface.read(form, path, platform).versions)
