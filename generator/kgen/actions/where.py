"""Where a project stands, and what comes next; offline, and nothing is run."""

from __future__ import annotations

import enum
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kgen import __version__, host, lockfiles, settings, uvtool
from kgen.actions.check import check
from kgen.errors import OutsideError, UsageError
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.project import find_root


class Stage(enum.Enum):
    """How far a project is."""

    NEW = "no settings of kgen, and nothing locked"
    UNLOCKED = "settings, and nothing locked"
    STALE = "locks that are out of order"
    READY = "locks that are in order"


class Standing(NamedTuple):
    """Where a project stands.

    Attributes:
        root: its folder.
        stage: how far it is.
        environments: what is locked; where that is out of order, what is at fault.
    """

    root: Path
    stage: Stage
    environments: tuple[str, ...]


def where(folder: Path, matrix: CompatibilityMatrix) -> Standing:
    """Where the project of a folder stands.

    Args:
        folder: a folder of the project.
        matrix: the facts.

    Raises:
        SettingsError: its settings are wrong.
    """
    root = find_root(folder)
    locked = tuple(one.name for one in lockfiles.environments(root))
    if not locked:
        has_settings = settings.read(root, matrix).file is not None
        return Standing(root, Stage.UNLOCKED if has_settings else Stage.NEW, ())
    try:
        faulty = check(root, matrix).faulty
    except UsageError:
        faulty = ()
    return Standing(root, Stage.STALE if faulty else Stage.READY, faulty or locked)


def versions() -> Mapping[str, str]:
    """What a report of a fault should have: the version of each part, and where the facts are from."""
    revision, source = origin.current().revision, origin.texts_in_use()[1]
    return {
        "kgen": __version__,
        "Python": f"{platform.python_version()} ({sys.implementation.name})",
        "platform": host.subdir() or f"{platform.system()} {platform.machine()}",
        "matrix": f"{revision} ({source.kind})",
        "uv": _uv(),
    }


def _uv() -> str:
    try:
        done = uvtool.run([uvtool.find(), "--version"], timeout=10)
    except OutsideError as error:
        return error.message
    return done.stdout.strip().removeprefix("uv ")
