"""Does what is on disk equal the lock, file by file?

A wheel's RECORD names each of its files with its sha256, and kgen's own record has the digest of each RECORD from the
moment of the sync, so that a file cannot be changed together with its line.
"""

from __future__ import annotations

import base64
import concurrent.futures
import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from kgen import files
from kgen.formats.conda.condafiles import CondaPlatform
from kgen.formats.environment import RECORD, SOURCE, Record, Source, installed, read_record, site_packages
from kgen.model.lockfile import LockedFile, Lockfile

Kind = Literal["added", "changed", "removed"]

_BLOCK = 1 << 20
_NORMAL = re.compile(r"[-_.]+")
_BYTECODE = "__pycache__"
_IN_PREFIX = re.compile(r"\{prefix\}/([^,:;\s]+)")
_STANDARD = re.compile(r"python[0-9.]*|pydoc\.bat|(?:de)?activate(?:\.[a-z0-9]+|_this\.py)?", re.IGNORECASE)
"""What uv puts into `bin` of an empty environment."""


class Difference(NamedTuple):
    """Something on disk that is not as locked.

    Attributes:
        kind: what happened to it.
        path: the file, relative to the environment.
        package: whose it is, as `jax 0.12.0.1`; None if no package's.
    """

    kind: Kind
    path: str
    package: str | None


def differences(of: Source, lock: Lockfile) -> tuple[Difference, ...]:
    """Everything in the environment that is not as locked, sorted by path.

    What Python itself leaves behind (`__pycache__`) is no difference, nor what is in a folder that a variable of the
    environment names for what is made at run time, such as Theano's compiled modules.
    """
    prefix = of.prefix
    record, site = read_record(prefix), site_packages(prefix)
    if site is None:
        return (Difference("removed", ".", None),)
    found = {*_packages(prefix, site, lock, record), *changed_files(prefix)}
    own = {} if record is None else record.own
    found |= set(_own_differences(prefix, own))
    known = {*_expected(prefix, site), *own, RECORD, SOURCE}
    filled = tuple(f"{place}/" for text in lock.places.values() for place in _IN_PREFIX.findall(text))
    found |= {
        Difference("added", path, None) for path in _files(prefix) if path not in known and not path.startswith(filled)
    }
    return tuple(sorted(found, key=lambda one: (one.path, one.kind)))


def differences_of_conda(of: Source, locked: CondaPlatform) -> tuple[Difference, ...]:
    """The same of an environment of conda's: each package's file in `conda-meta` names its files with their digests."""
    prefix = of.prefix
    record, site = read_record(prefix), site_packages(prefix)
    if site is None:
        return (Difference("removed", ".", None),)
    wanted = {
        f"{one['name']}-{one['version']}-{one['build']}": f"{one['name']} {one['version']}" for one in locked.packages
    }
    found: set[Difference] = set()
    known: dict[str, tuple[str, str]] = {}
    present = {path.stem: path for path in sorted((prefix / "conda-meta").glob("*.json"))}
    for stem in wanted.keys() - present.keys():
        found.add(Difference("removed", f"conda-meta/{stem}.json", wanted[stem]))
    for stem in present.keys() - wanted.keys():
        found.add(Difference("added", f"conda-meta/{stem}.json", None))
    for stem in wanted.keys() & present.keys():
        known |= {path: (sha, wanted[stem]) for path, sha in _linked(present[stem])}
    for stem in (wanted.keys() & present.keys()) if record is not None else ():
        sha = record.installed.get(f"conda-meta/{stem}.json", ("", 0, 0))[0] if record else ""
        actual = _sha256(present[stem])
        if actual is not None and actual.hex() != sha:
            found.add(Difference("changed", f"conda-meta/{stem}.json", wanted[stem]))
    wheels = {path: row for path, row in _expected(prefix, site).items() if path not in known}
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        compared = [
            *pool.map(lambda item: _compare_linked(prefix, item[0], *item[1]), known.items()),
            *pool.map(lambda item: _compare(prefix, item[0], *item[1]), wheels.items()),
        ]
    found |= {difference for difference in compared if difference is not None}
    own = {} if record is None else record.own
    found |= set(_own_differences(prefix, own))
    expected = {*known, *wheels, *own, RECORD, SOURCE}
    inside = site.relative_to(prefix).as_posix()
    found |= {
        Difference("added", path, None) for path in _files(prefix) if path not in expected and path.startswith(inside)
    }
    return tuple(sorted(found, key=lambda one: (one.path, one.kind)))


def damaged_in_cache(prefix: Path) -> dict[str, Path]:
    """The packages whose files are not what they say right after they were linked: name -> where the cache has them.

    Environments are made of links to rattler's cache, which is changed by who changes a file in one of them.
    """
    found = {}
    for metadata in sorted((prefix / "conda-meta").glob("*.json")):
        if any(_compare_linked(prefix, path, sha, metadata.stem) for path, sha in _linked(metadata)):
            found[metadata.stem] = Path(str(json.loads(files.read(metadata)).get("extracted_package_dir", "")))
    return found


def _linked(metadata: Path) -> Iterator[tuple[str, str]]:
    """The files of a package of conda, each with its digest in this environment, or nothing for a link."""
    try:
        data = json.loads(files.read(metadata))
        rows = [(str(row["_path"]), row) for row in data["paths_data"]["paths"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    for path, row in rows:
        linked = row.get("path_type") == "softlink" or PurePosixPath(path).parent.name == _BYTECODE
        yield path, "" if linked else str(row.get("sha256_in_prefix") or row.get("sha256") or "")


def _compare_linked(prefix: Path, path: str, sha: str, package: str) -> Difference | None:
    if PurePosixPath(path).parent.name == _BYTECODE:
        return None
    actual = _sha256(prefix / path)
    if actual is None:
        return Difference("removed", path, package)
    return None if not sha or actual.hex() == sha else Difference("changed", path, package)


def _own_differences(prefix: Path, own: Mapping[str, str]) -> Iterator[Difference]:
    for path, sha in own.items():
        actual = _sha256(prefix / path)
        if actual is None or actual.hex() != sha:
            yield Difference("removed" if actual is None else "changed", path, None)


def changed_files(prefix: Path) -> tuple[Difference, ...]:
    """The files of packages that are missing, or are not what the RECORD of their package says."""
    site = site_packages(prefix)
    if site is None:
        return ()
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        compared = pool.map(lambda item: _compare(prefix, item[0], *item[1]), _expected(prefix, site).items())
        return tuple(difference for difference in compared if difference is not None)


def _expected(prefix: Path, site: Path) -> dict[str, tuple[str, str]]:
    """Every file of every package: path -> its digest, if there is one, and the package."""
    return {
        path: (sha, name) for folder, name in _folders(site).items() for path, sha in _recorded(prefix, site, folder)
    }


def _folders(site: Path) -> dict[str, str]:
    """Folder of metadata -> the package, as `name version`."""
    named = {}
    for folder in sorted(site.glob("*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        named[folder.name] = _label(name, version)
    return named


def _spelled(file: LockedFile) -> tuple[str, str]:
    if file.is_source:
        name, _, version = re.sub(r"\.(?:tar\.gz|zip)$", "", file.filename).rpartition("-")
    else:
        name, version = file.filename.split("-")[:2]
    return name, version


def _label(name: str, version: str) -> str:
    return f"{_NORMAL.sub('-', name).lower()} {version}"


def _packages(prefix: Path, site: Path, lock: Lockfile, record: Record | None) -> Iterator[Difference]:
    """Packages that are there and should not be, or the other way round, or whose RECORD has changed."""
    # as the file spells them, which is how the folder of metadata is called
    wanted = {_label(*_spelled(file)) for file in lock.files}
    present = _folders(site)
    inside = site.relative_to(prefix).as_posix()
    for folder, name in present.items():
        if name not in wanted:
            yield Difference("added", f"{inside}/{folder}", name)
    for name in sorted(wanted - set(present.values())):
        yield Difference("removed", inside, name)
    if record is not None:
        now = installed(site)
        for folder, (sha, _, _) in record.installed.items():
            if folder in now and now[folder][0] != sha:
                yield Difference("changed", f"{inside}/{folder}/RECORD", present[folder])


def _recorded(prefix: Path, site: Path, folder: str) -> Iterator[tuple[str, str]]:
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


def _compare(prefix: Path, path: str, sha: str, package: str) -> Difference | None:
    if PurePosixPath(path).parent.name == _BYTECODE:
        return None
    actual = _sha256(prefix / path) if sha or not os.path.exists(prefix / path) else b""  # noqa: PTH110 - `Path.exists` raises for names that are too long
    if actual is None:
        return Difference("removed", path, package)
    algorithm, _, value = sha.partition("=")
    if algorithm != "sha256":
        return None
    same = base64.urlsafe_b64encode(actual).rstrip(b"=").decode() == value
    return None if same else Difference("changed", path, package)


def _sha256(path: Path) -> bytes | None:
    """The digest of a regular file; None if there is none, or it cannot be read."""
    hashed = hashlib.sha256()
    try:
        with files.open_regular(path) as file:
            while block := file.read(_BLOCK):
                hashed.update(block)
    except OSError:
        return None
    return hashed.digest()


def _files(prefix: Path) -> Iterator[str]:
    """Every file of packages and programs, but for those that a virtual environment has by itself."""
    for top in ("lib", "bin", "share", "etc", "include"):
        for folder, folders, names in os.walk(prefix / top):
            if _BYTECODE in folders:
                folders.remove(_BYTECODE)
            inside = Path(folder).relative_to(prefix).as_posix()
            for name in names:
                if inside != "bin" or not _STANDARD.fullmatch(name):
                    yield f"{inside}/{name}"


def summary(found: tuple[Difference, ...]) -> Mapping[str, int]:
    """How many differences of each kind."""
    return {kind: sum(one.kind == kind for one in found) for kind in ("added", "changed", "removed")}
