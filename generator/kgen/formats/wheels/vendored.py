"""The files of locks that lie in the project itself, where a bundle has brought them: by hash, then by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kgen.model.lockfile import LockedFile, Lockfile

FOLDER = Path(".kgen/wheels")
"""Where they are, in the project's folder."""


def path_of(root: Path, file: LockedFile) -> Path:
    """Where a locked file is, if it was brought along.

    Args:
        root: the project's folder.
        file: the file.
    """
    return root / FOLDER / file.sha256 / file.filename


def lacking(root: Path, lock: Lockfile) -> list[LockedFile]:
    """The files of a lock that were not brought along; what is built from source takes what builds it."""
    return [file for file in _files(lock) if not path_of(root, file).is_file()]


def complete(root: Path, lock: Lockfile) -> bool:
    """Whether all files of a lock were brought along, so that nothing else is to be asked for them."""
    return (root / FOLDER).is_dir() and bool(lock.files) and not lacking(root, lock)


def laid_out(root: Path, lock: Lockfile, folder: Path) -> Path:
    """A new folder with links to a lock's files by their names alone, as an installer wants it.

    Args:
        root: the project's folder.
        lock: the lock; all of its files are there.
        folder: the folder to make.
    """
    folder.mkdir()
    for file in _files(lock):
        (folder / file.filename).symlink_to(path_of(root, file))
    return folder


def _files(lock: Lockfile) -> Iterable[LockedFile]:
    return dict.fromkeys((*lock.files, *(lock.build if any(file.is_source for file in lock.files) else ())))
