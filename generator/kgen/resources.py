"""Where kgen's data lies: packed beside the code in a wheel, in the repository otherwise.

Knows these folders and nothing of what is in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from kgen import files, replay
from kgen.errors import InstallationError

FolderName = Literal["matrix", "templates", "nix"]
FOLDERS: tuple[FolderName, ...] = get_args(FolderName)
"""Every folder of data files."""


def folder(name: FolderName) -> Path:
    """Find the folder of data files of this name.

    The place of this very file decides, never the import path: an editable install leaves a copy of the data
    in site-packages that grows stale, and must not be read.

    Raises:
        OutsideError: the installation has lost its data.
    """
    here = Path(__file__).resolve()
    packed = here.parent / "_data" / name
    if files.is_folder(packed):
        return packed
    in_repository = here.parents[2] / name
    replay.looked(in_repository)
    if files.is_folder(in_repository):
        return in_repository
    raise InstallationError(
        f"kgen's folder of data files `{name}` is missing: neither {packed} nor {in_repository} is there",
        hints=["uv tool install --reinstall keras-kgen"],
    )


def clone() -> Path | None:
    """The repository that this code is run from; None where it was installed, so that its version says what it is."""
    here = Path(__file__).resolve()
    return None if files.is_folder(here.parent / "_data") else here.parents[2]
