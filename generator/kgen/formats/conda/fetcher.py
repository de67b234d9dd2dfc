"""Fetches conda packages as files, from where rattler would: by the mirrors and with the logins that it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kgen.formats.conda.rattlertool import opened as opened_rattler
from kgen.model.lockfile import LockedFile


def opened() -> Callable[[LockedFile, Path], None]:
    """What fetches a package; see :class:`kgen.formats.interface.Fetcher`."""
    rattler = opened_rattler()

    def fetch(file: LockedFile, target: Path) -> None:
        rattler.download(str(file.url), target)

    return fetch
