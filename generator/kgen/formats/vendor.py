"""The files of locks that lie in the project itself, where a bundle has brought them: by hash, then by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from kgen import files, host, replay
from kgen.model import grammar
from kgen.model.lockfile import LockedFile, Lockfile

FOLDER = Path(".kgen")
"""The folder, in the project's own, in which the folders of a bundle are."""

WHEELS = "wheels"
"""The folder of wheels and source distributions, in a bundle and in that folder."""

PACKAGES = "packages"
"""The folder of conda packages, the same."""

PYTHONS = FOLDER / "pythons"
"""Where interpreters are that a bundle has brought, one for each minor."""

MARK = ".kgen-sha256"
"""The file in such an interpreter with the digest of the archive that it is from."""


def interpreter(root: Path, minor: str) -> Path | None:
    """The interpreter of a minor that a bundle has brought; None if none has.

    Args:
        root: the project's folder.
        minor: the CPython minor, such as `3.12`.
    """
    prefix = root / PYTHONS / minor
    found = prefix / f"bin/python{minor}"
    return found if files.is_file(prefix / MARK) and files.is_file(found) else None


def path_of(root: Path, file: LockedFile) -> Path:
    """Where a locked file is, if it was brought along.

    Args:
        root: the project's folder.
        file: the file.
    """
    return root / FOLDER / place_of(file)


def place_of(file: LockedFile) -> str:
    """Where a locked file is in a bundle, and in the folder of what bundles brought."""
    return f"{PACKAGES if is_package(file) else WHEELS}/{file.sha256}/{file.filename}"


def here(root: Path, file: LockedFile, lock: Lockfile) -> Iterator[Path]:
    """Where a locked file may be in folders of this machine, which are no cache, the nearest first.

    Args:
        root: the project's folder.
        file: the file.
        lock: its lock.
    """
    local = [Path(folder) / file.filename for folder in host.find_links() if "://" not in folder]
    yield from filter(_is_there, (path_of(root, file), *local))
    location = file.location(lock.path)
    if location is not None and location.startswith("file:"):
        from kgen.served.file import local_path  # noqa: PLC0415 - what asks servers is slow to import

        named = local_path(location)
        if named is not None and _is_there(named):
            yield named


def _is_there(path: Path) -> bool:
    replay.looked(path)
    return files.is_file(path)


def is_package(file: LockedFile) -> bool:
    """Whether a file is a conda package, which no Python index has."""
    return re.fullmatch(grammar.CONDA_FILE, file.filename) is not None


def lacking(root: Path, lock: Lockfile) -> list[LockedFile]:
    """The files of a lock that were not brought along; what is built from source takes what builds it."""
    return [file for file in _files(lock) if not files.is_file(path_of(root, file))]


def complete(root: Path, lock: Lockfile) -> bool:
    """Whether all files of a lock were brought along, so that nothing else is to be asked for them."""
    return bool(lock.files) and all(files.is_file(path_of(root, file)) for file in _files(lock))


def laid_out(root: Path, lock: Lockfile, folder: Path) -> Path:
    """A new folder with links to a lock's files by their names alone, as an installer wants it.

    Args:
        root: the project's folder.
        lock: the lock; all of its files are there.
        folder: the folder to make.
    """
    folder.mkdir()
    for file in _files(lock):
        if not is_package(file):
            (folder / file.filename).symlink_to(path_of(root, file))
    return folder


def _files(lock: Lockfile) -> Iterable[LockedFile]:
    return dict.fromkeys((*lock.files, *(lock.build if any(file.is_source for file in lock.files) else ())))
