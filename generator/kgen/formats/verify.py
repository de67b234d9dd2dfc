"""Does what is on disk equal the lock, file by file?

A wheel's RECORD names each of its files with its sha256, and kgen's own record has the digest of each RECORD from the
moment of the sync, so that a file cannot be changed together with its line.
"""

from __future__ import annotations

import base64
import concurrent.futures
import csv
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from kgen import files
from kgen.formats.environment import site_packages

Kind = Literal["added", "changed", "removed"]

_BLOCK = 1 << 20
_NORMAL = re.compile(r"[-_.]+")
BYTECODE = "__pycache__"
_STANDARD = re.compile(r"python[0-9.]*|pydoc\.bat|(?:de)?activate(?:\.[a-z0-9]+|_this\.py)?", re.IGNORECASE)
"""What uv puts into `bin` of an empty environment."""


class Difference(NamedTuple):
    """Something on disk that is not as locked.

    Attributes:
        kind: what happened to it.
        path: the file, relative to the environment.
        package: whose it is, such as `jax 0.12.0.1`; None if no package's.
    """

    kind: Kind
    path: str
    package: str | None


def own_differences(prefix: Path, own: Mapping[str, str]) -> Iterator[Difference]:
    """The files beside the packages that are gone, or not what kgen wrote: path in the environment -> digest."""
    for path, sha in own.items():
        actual = sha256(prefix / path)
        if actual is None or actual.hex() != sha:
            yield Difference("removed" if actual is None else "changed", path, None)


def changed_files(prefix: Path) -> tuple[Difference, ...]:
    """The files of packages that are missing, or are not what the RECORD of their package says."""
    site = site_packages(prefix)
    if site is None:
        return ()
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        compared = pool.map(lambda item: _compare_any(prefix, *item), _owners(prefix, site).items())
        return tuple(difference for difference in compared if difference is not None)


def _owners(prefix: Path, site: Path) -> dict[str, list[tuple[str, str]]]:
    """Every file of every package: path -> the digest that each owner of it has."""
    found: dict[str, list[tuple[str, str]]] = {}
    for folder, name in folders_of(site).items():
        for path, sha in recorded(prefix, site, folder):
            found.setdefault(path, []).append((sha, name))
    return found


def _compare_any(prefix: Path, path: str, owners: Sequence[tuple[str, str]]) -> Difference | None:
    """What is wrong with a file; nothing if it is as one of its owners has it: their order is the installer's."""
    found: Difference | None = None
    for sha, package in owners:
        found = compare(prefix, path, sha, package)
        if found is None:
            break
    return found


def expected_files(prefix: Path, site: Path) -> dict[str, tuple[str, str]]:
    """Every file of every package: path -> its digest, if there is one, and the package."""
    return {
        path: (sha, name) for folder, name in folders_of(site).items() for path, sha in recorded(prefix, site, folder)
    }


def folders_of(site: Path) -> dict[str, str]:
    """Folder of metadata -> the package, as `name version`."""
    named = {}
    for folder in sorted(site.glob("*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        named[folder.name] = label(name, version)
    return named


def label(name: str, version: str) -> str:
    """What a package is called in a difference."""
    return f"{_NORMAL.sub('-', name).lower()} {version}"


def recorded(prefix: Path, site: Path, folder: str) -> Iterator[tuple[str, str]]:
    """The files that a package's RECORD names, relative to the environment, each with its digest or nothing."""
    try:
        lines = list(csv.reader(files.read_text(site / folder / "RECORD", files.LARGE).splitlines()))
    except (OSError, ValueError, csv.Error):
        return
    inside = site.relative_to(prefix)
    for row in lines:
        if row and "\0" not in row[0]:
            path = os.path.normpath(inside / PurePosixPath(row[0]))
            yield path, row[1] if len(row) > 1 else ""


def compare(prefix: Path, path: str, sha: str, package: str) -> Difference | None:
    """What is wrong with a file that a RECORD names.

    Args:
        prefix: the environment.
        path: the file, relative to it.
        sha: its digest as a RECORD has it; empty where it has none.
        package: whose it is.
    """
    if PurePosixPath(path).parent.name == BYTECODE:
        return None
    actual = sha256(prefix / path) if sha or not os.path.exists(prefix / path) else b""  # noqa: PTH110 - `Path.exists` raises for names that are too long
    if actual is None:
        return Difference("removed", path, package)
    algorithm, _, value = sha.partition("=")
    if algorithm != "sha256":
        return None
    same = base64.urlsafe_b64encode(actual).rstrip(b"=").decode() == value
    return None if same else Difference("changed", path, package)


def sha256(path: Path) -> bytes | None:
    """The digest of a regular file; None if there is none, or it cannot be read."""
    hashed = hashlib.sha256()
    try:
        with files.open_regular(path) as file:
            while block := file.read(_BLOCK):
                hashed.update(block)
    except OSError:
        return None
    return hashed.digest()


def files_in(prefix: Path) -> Iterator[str]:
    """Every file of packages and programs, but for those that a virtual environment has by itself."""
    for top in ("lib", "bin", "share", "etc", "include"):
        for folder, folders, names in os.walk(prefix / top):
            if BYTECODE in folders:
                folders.remove(BYTECODE)
            inside = Path(folder).relative_to(prefix).as_posix()
            for name in names:
                if inside != "bin" or not _STANDARD.fullmatch(name):
                    yield f"{inside}/{name}"


def summary(found: tuple[Difference, ...]) -> Mapping[str, int]:
    """How many differences of each kind."""
    return {kind: sum(one.kind == kind for one in found) for kind in ("added", "changed", "removed")}
