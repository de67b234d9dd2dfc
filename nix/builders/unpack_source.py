"""Unpacks the sources of a project into a folder, and says beside it what builds them.

The sources are an archive or a folder, named by `source` in the environment. The file `build-system` beside the folder
has the backend in its first line and, in the second, the path in the project where that is. Needs a CPython from 3.11
on, and its standard library only.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import tomllib

if TYPE_CHECKING:
    from typing import NoReturn

SETUPTOOLS = "setuptools.build_meta:__legacy__"
"""What builds a project that does not say what does (PEP 517)."""


def main(given: dict[str, str], target: str) -> None:
    """Unpack what the environment describes to the folder."""
    source, owner = given["source"], given["project"]
    try:
        if os.path.isdir(source):
            _copy(source, target)
        else:
            _unpack(source, target, owner)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        _fail(owner, f"cannot be unpacked: {error}")
    backend, paths = _build_system(target, owner)
    with open(os.path.join(os.path.dirname(target), "build-system"), "w", encoding="utf-8") as file:
        file.write(f"{backend}\n{paths[0] if paths else ''}\n")


def _copy(source: str, target: str) -> None:
    """Copy a folder of the store so that a build may write into it."""
    shutil.copytree(source, target, symlinks=True)
    for folder, _, files in os.walk(target):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode | 0o200)


def _unpack(source: str, target: str, owner: str) -> None:
    """Unpack an archive, all of which lies in one folder."""
    inside = target + ".unpacked"
    os.mkdir(inside)
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            archive.extractall(inside)  # noqa: S202 - takes nothing out of the folder
    else:
        with tarfile.open(source) as archive:
            for member in archive.getmembers():
                if member.name.startswith("/") or ".." in member.name.split("/") or not _is_plain(member):
                    _fail(owner, f"holds what leads out of it: {member.name!r}")
            archive.extractall(inside)  # noqa: S202 - looked at
    found = os.listdir(inside)
    if len(found) != 1 or not os.path.isdir(os.path.join(inside, found[0])):
        _fail(owner, "has not all that is in it in one folder")
    os.rename(os.path.join(inside, found[0]), target)


def _is_plain(member: tarfile.TarInfo) -> bool:
    """Whether it is a file, a folder, or a link that stays inside."""
    if member.issym() or member.islnk():
        beside = os.path.dirname(member.name) if member.issym() else ""
        goal = os.path.normpath(os.path.join(beside, member.linkname))
        return not goal.startswith(("/", ".."))
    return member.isfile() or member.isdir()


def _build_system(folder: str, owner: str) -> tuple[str, list[str]]:
    """The backend, and where in the project it is."""
    try:
        with open(os.path.join(folder, "pyproject.toml"), "rb") as file:
            system = tomllib.load(file).get("build-system", {})
    except FileNotFoundError:
        return SETUPTOOLS, []
    except ValueError as error:
        _fail(owner, f"has a pyproject.toml that cannot be read: {error}")
    backend, paths = system.get("build-backend", SETUPTOOLS), system.get("backend-path", [])
    texts = [backend, *paths]
    if not all(isinstance(one, str) and "\n" not in one for one in texts):
        _fail(owner, "does not say in its pyproject.toml what builds it")
    return backend, paths


def _fail(owner: str, what: str) -> NoReturn:
    sys.exit(f"kgen: the sources of {owner} {what}")


if __name__ == "__main__":
    main(dict(os.environ), sys.argv[1])
