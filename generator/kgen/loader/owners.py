"""Files that several distributions of an environment own: whichever was installed last has won."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from kgen import files
from kgen.model.requirement import canonical_name

_ROW = re.compile(rb"([^,\r\n\"]+\.so[^,\r\n\"/]*),(sha256=[^,\r\n]*|),")
"""A row of a RECORD about a shared library: what breaks an environment silently, and is read in no time."""

_KEPT = 1024
"""So many RECORDs are remembered: environments of a project have most of their distributions in common."""


class SharedFile(NamedTuple):
    """A file with several owners that want different content.

    Attributes:
        path: the file, below `site-packages`.
        owners: the distributions, as `nvidia_nccl_cu12-2.29.3`.
    """

    path: str
    owners: tuple[str, ...]


class MissingFile(NamedTuple):
    """A file that a distribution brought and that is gone.

    Attributes:
        path: the file, below `site-packages`.
        owner: the distribution, as `nvidia_cudnn_cu12-9.10.2.21`.
    """

    path: str
    owner: str


class Ownership(NamedTuple):
    """What RECORDs say of the files of an environment.

    Attributes:
        shared: those that several distributions own, and want otherwise.
        missing: those that are gone.
    """

    shared: tuple[SharedFile, ...] = ()
    missing: tuple[MissingFile, ...] = ()


def shared(site: Path, allowed: Collection[tuple[str, str]] = ()) -> tuple[SharedFile, ...]:
    """The files in a folder of packages that several distributions own, as :func:`inspect` finds them."""
    return inspect(site, allowed).shared


def inspect(site: Path, allowed: Collection[tuple[str, str]] = ()) -> Ownership:
    """What RECORDs say of the shared libraries of an environment, and of the packages that are called as distributions.

    Args:
        site: the folder of packages, as `lib/python3.12/site-packages` of an environment.
        allowed: the pairs of packages that may own the same files.
    """
    owners: dict[str, dict[str, str]] = {}
    packages: dict[str, dict[str, str]] = {}
    missing: list[MissingFile] = []
    for record in sorted(site.glob("*.dist-info/RECORD")):
        try:
            content = files.read(record)
        except OSError:
            continue
        distribution = record.parent.name.removesuffix(".dist-info")
        for name, digest in _libraries(content):
            path = name.decode("utf-8", "replace")
            owners.setdefault(path, {})[distribution] = digest.decode("ascii", "replace")
            if not os.path.exists(f"{site}/{path}"):  # noqa: PTH110 - there are hundreds
                missing.append(MissingFile(path, distribution))
        for path, told in _packages(distribution, content):
            packages.setdefault(path, {})[distribution] = told
    # what many share a folder in, as `google` or `nvidia`, is called as none of them
    packages = {path: rows for path, rows in packages.items() if path.partition("/")[0] in map(_module, rows)}
    return Ownership(
        tuple(
            SharedFile(path, tuple(rows))
            for path, rows in sorted({**owners, **packages}.items())
            if _differ(rows) and not any({*map(_project, rows)} <= {*pair} for pair in allowed)
        ),
        tuple(missing),
    )


@functools.lru_cache(maxsize=_KEPT)
def _packages(distribution: str, content: bytes) -> tuple[tuple[str, str], ...]:
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


def _module(distribution: str) -> str:
    """What a distribution would be imported as, were it called so."""
    return _project(distribution).replace("-", "_")


def _project(distribution: str) -> str:
    return canonical_name(distribution.rpartition("-")[0])


def _differ(rows: Mapping[str, str]) -> bool:
    return len(rows) > 1 and len(set(rows.values())) > 1
