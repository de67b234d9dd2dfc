"""Whether every file of the environments on disk is what the locks say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import files, host, lockfiles
from kgen.actions import sync
from kgen.errors import NotLockedError
from kgen.formats import interface
from kgen.formats.environment import Source
from kgen.formats.verify import Difference
from kgen.model import format as formats


class InstalledEnvironment(NamedTuple):
    """An environment on disk, and where its files are not as locked."""

    source: Source
    differences: Sequence[Difference]


def compare(root: Path, names: Sequence[str] = (), envs: str | None = None) -> tuple[InstalledEnvironment, ...]:
    """Compare what is on disk with the locks, file by file.

    Args:
        root: the project's folder.
        names: environments; none for all that are on disk.
        envs: the folder of the environments; None for that of the settings.

    Raises:
        UsageError: there is no such environment, or none is on disk.
        SettingsError: a lock cannot be read.
    """
    known = lockfiles.environments(root)
    every = [one.name for one in known if (host.subdir() or "") in one.platforms]
    every += [
        f"{one.name}{form.suffix}"
        for form in formats.others()
        for one in known
        if lockfiles.lock_path(one, form) is not None
    ]
    sources = [sync.find(root, name, envs) for name in names or sorted(every)]
    if not names:
        sources = [source for source in sources if files.is_folder(source.prefix)]
    if not sources:
        raise NotLockedError("no environment is on disk", hints=["kgen sync --all"])
    return tuple(
        InstalledEnvironment(source, interface.installer(source.form).differences(source)) for source in sources
    )
