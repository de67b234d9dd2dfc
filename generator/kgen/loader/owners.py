"""Files that several distributions of an environment own: whichever was installed last has won."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kgen import files
from kgen.model.requirement import canonical_name

_ROW = re.compile(rb"([^,\r\n\"]+\.so[^,\r\n\"/]*),(sha256=[^,\r\n]*|),")
"""A row of a RECORD about a shared library: what breaks an environment silently, and is read in no time."""


class SharedFile(NamedTuple):
    """A file with several owners that want different content.

    Attributes:
        path: the file, below `site-packages`.
        owners: the distributions, as `nvidia_nccl_cu12-2.29.3`.
    """

    path: str
    owners: tuple[str, ...]


def shared(site: Path, allowed: Collection[tuple[str, str]] = ()) -> tuple[SharedFile, ...]:
    """The shared libraries in a folder of packages that several distributions own, by their RECORDs.

    Args:
        site: the folder, as `lib/python3.12/site-packages` of an environment.
        allowed: the pairs of packages that may own the same files.
    """
    owners: dict[str, dict[str, str]] = {}
    for record in sorted(site.glob("*.dist-info/RECORD")):
        try:
            content = files.read(record)
        except OSError:
            continue
        for name, digest in _libraries(content):
            rows = owners.setdefault(name.decode("utf-8", "replace"), {})
            rows[record.parent.name.removesuffix(".dist-info")] = digest.decode("ascii", "replace")
    return tuple(
        SharedFile(path, tuple(rows))
        for path, rows in sorted(owners.items())
        if _differ(rows) and not any({*map(_project, rows)} <= {*pair} for pair in allowed)
    )


def _libraries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The shared libraries of a RECORD: name and digest. It has thousands of rows, of which a dozen are looked at."""
    at = content.find(b".so")
    while at >= 0:
        start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at)
        match = _ROW.match(content, start)
        if match is not None:
            yield match[1], match[2]
        at = content.find(b".so", end) if end >= 0 else -1


def _project(distribution: str) -> str:
    return canonical_name(distribution.rpartition("-")[0])


def _differ(rows: Mapping[str, str]) -> bool:
    return len(rows) > 1 and len(set(rows.values())) > 1
