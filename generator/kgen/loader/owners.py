"""Files that several distributions of an environment own: whichever was installed last has won."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kgen import files
from kgen.model.requirement import canonical_name
from kgen.served import cache
from kgen.verified_files import SETTLED, stamp_of

_ROW = re.compile(rb"([^,\r\n\"]+\.so[^,\r\n\"/]*),(sha256=[^,\r\n]*|),")
"""A row of a RECORD about a shared library: what breaks an environment silently, and is read in no time."""

_KEPT = 1024
"""So many RECORDs are remembered: environments of a project have most of their distributions in common."""

_HEADER = "kgen-records 1"
_MOST = 8192
"""So many RECORDs are remembered from run to run, the last ones."""

_Rows = tuple[tuple[str, str], ...]
"""Path and digest of files."""


class SharedFile(NamedTuple):
    """A file with several owners that want different content.

    Attributes:
        path: the file, below `site-packages`.
        owners: the distributions, such as `nvidia_nccl_cu12-2.29.3`.
    """

    path: str
    owners: tuple[str, ...]


class MissingFile(NamedTuple):
    """A file that a distribution brought and that is gone.

    Attributes:
        path: the file, below `site-packages`.
        owner: the distribution, such as `nvidia_cudnn_cu12-9.10.2.21`.
    """

    path: str
    owner: str


class DoubledProject(NamedTuple):
    """A project that is installed twice, by what is written of it.

    Attributes:
        name: the project.
        distributions: the folders of metadata, such as `numpy-1.26.4.dist-info`.
    """

    name: str
    distributions: tuple[str, ...]


class Ownership(NamedTuple):
    """What RECORDs say about the files of an environment.

    Attributes:
        shared: those that several distributions own, and want otherwise.
        missing: those that are gone.
        doubled: the projects with the metadata of two releases.
    """

    shared: tuple[SharedFile, ...] = ()
    missing: tuple[MissingFile, ...] = ()
    doubled: tuple[DoubledProject, ...] = ()


class RecordNotes:
    """What RECORDs say about the files that matter, kept for the next run: a RECORD of PyTorch has 12,000 rows.

    A RECORD that the system says something else of than when it was read is read again.

    Args:
        kept: the file that they are kept in; one that cannot be read, or is damaged, says nothing of any RECORD.
    """

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._noted: dict[str, object] = {}
        self._used: dict[str, object] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError, RecursionError):
            noted = json.loads(cache.kept(kept, _HEADER) or b"{}")
            self._noted = noted if isinstance(noted, dict) else {}

    def read(self, record: str, distribution: str) -> tuple[_Rows, _Rows]:
        """The shared libraries of a RECORD, and the files that make it a package called as the distribution.

        Raises:
            OSError: it cannot be read.
        """
        stamp = stamp_of(record)
        row: Any = self._noted.get(record)
        with contextlib.suppress(TypeError, ValueError, KeyError, IndexError):
            if stamp is not None and row[0] == [*stamp]:
                found = tuple((str(a), str(b)) for a, b in row[1]), tuple((str(a), str(b)) for a, b in row[2])
                self._used[record] = row
                return found
        now = time.time_ns()
        found = _read(record, distribution)
        if stamp is not None and stamp.changed + SETTLED < now:
            self._used[record] = [stamp, *found]
            self._changed = True
        return found

    def save(self) -> None:
        """Keep what was read; where that cannot be written, RECORDs are read again next time."""
        if self._changed:
            rows = {**{record: row for record, row in self._noted.items() if record not in self._used}, **self._used}
            with contextlib.suppress(OSError):
                cache.keep(self._kept, _HEADER, json.dumps(dict(list(rows.items())[-_MOST:])).encode())


def shared(site: Path, allowed: Collection[tuple[str, str]] = ()) -> tuple[SharedFile, ...]:
    """The files in a folder of packages that several distributions own, as :func:`inspect` finds them."""
    return inspect(site, allowed).shared


def inspect(site: Path, allowed: Collection[tuple[str, str]] = (), notes: RecordNotes | None = None) -> Ownership:
    """What RECORDs say about the shared libraries of an environment, and about packages named after distributions.

    Args:
        site: the folder of packages, as `lib/python3.12/site-packages` of an environment.
        allowed: the pairs of packages that may own the same files.
        notes: what RECORDs have said before.
    """
    read = _read if notes is None else notes.read
    owners: dict[str, dict[str, str]] = {}
    packages: dict[str, dict[str, str]] = {}
    missing: list[MissingFile] = []
    folder = str(site)
    names = _metadata(folder)
    for name in names:
        distribution = name.removesuffix(".dist-info")
        try:
            libraries, own = read(f"{folder}/{name}/RECORD", distribution)
        except OSError:
            continue
        for path, digest in libraries:
            owners.setdefault(path, {})[distribution] = digest
            if not os.path.exists(f"{folder}/{path}"):  # noqa: PTH110 - there are hundreds
                missing.append(MissingFile(path, distribution))
        for path, told in own:
            packages.setdefault(path, {})[distribution] = told
    # what many share a folder in, such as `google` or `nvidia`, is called as none of them
    packages = {path: rows for path, rows in packages.items() if path.partition("/")[0] in map(_module, rows)}
    for path, rows in packages.items():
        if not os.path.exists(f"{folder}/{path}"):  # noqa: PTH110 - as above
            missing += [MissingFile(path, distribution) for distribution in rows]
    return Ownership(
        tuple(
            SharedFile(path, tuple(rows))
            for path, rows in sorted({**owners, **packages}.items())
            if _differ(rows) and not any({*map(_project, rows)} <= {*pair} for pair in allowed)
        ),
        tuple(missing),
        tuple(_doubled(names)),
    )


def installed(site: Path) -> Mapping[str, str]:
    """Project -> its version, as its metadata in a folder is called; of one that is there twice the last."""
    names = (name.removesuffix(".dist-info") for name in _metadata(str(site)))
    return {_project(name): name.rpartition("-")[2] for name in names}


def _doubled(names: Iterable[str]) -> Iterator[DoubledProject]:
    """The projects that several of these folders of metadata are of."""
    projects: dict[str, list[str]] = {}
    for name in names:
        projects.setdefault(_project(name.removesuffix(".dist-info")), []).append(name)
    for project, found in projects.items():
        if len(found) > 1:
            yield DoubledProject(project, tuple(found))


def _metadata(folder: str) -> list[str]:
    """The folders of metadata in a folder of packages."""
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".dist-info"))  # noqa: PTH208 - names alone
    except OSError:
        return []


def _read(record: str, distribution: str) -> tuple[_Rows, _Rows]:
    """What a RECORD says, as :meth:`RecordNotes.read` gives it."""
    content = files.read(Path(record))
    libraries = tuple(
        (name.decode("utf-8", "replace"), digest.decode("ascii", "replace")) for name, digest in _libraries(content)
    )
    return libraries, _packages(distribution, content)


@functools.lru_cache(maxsize=_KEPT)
def _packages(distribution: str, content: bytes) -> _Rows:
    """The files of a RECORD that make a package of a folder called as the distribution, or as the beginning of that.

    `keras-nightly` brings `keras` as `keras` does, and `tensorflow-cpu` `tensorflow`.
    """
    words = _module(distribution).split("_")
    found = []
    for count in range(1, len(words) + 1):
        path = "_".join(words[:count]) + "/__init__.py"
        row = f"{path},".encode()
        at = 0 if content.startswith(row) else content.find(b"\n" + row) + 1
        if at or content.startswith(row):
            found.append((path, content[at + len(row) : content.find(b",", at + len(row))].decode("ascii", "replace")))
    return tuple(found)


@functools.lru_cache(maxsize=_KEPT)
def _libraries(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The shared libraries of a RECORD: name and digest. It has thousands of rows; a dozen of them matter."""
    found = []
    at = content.find(b".so")
    while at >= 0:
        start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at)
        match = _ROW.match(content, start)
        if match is not None:
            found.append((match[1], match[2]))
        at = content.find(b".so", end) if end >= 0 else -1
    return tuple(found)


@functools.lru_cache(maxsize=_KEPT)
def _module(distribution: str) -> str:
    """What a distribution would be imported as, were it called so."""
    return _project(distribution).replace("-", "_")


def _project(distribution: str) -> str:
    return canonical_name(distribution.rpartition("-")[0])


def _differ(rows: Mapping[str, str]) -> bool:
    return len(rows) > 1 and len(set(rows.values())) > 1
