"""Files that several distributions of an environment own: whichever was installed last has won."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from kgen import files
from kgen.model.requirement import canonical_name

_ROW = re.compile(rb"^([^,\r\n\"]+\.so[^,\r\n\"/]*),(sha256=[^,\r\n]*|),", re.MULTILINE)
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
        for name, digest in _ROW.findall(content):
            rows = owners.setdefault(name.decode("utf-8", "replace"), {})
            rows[record.parent.name.removesuffix(".dist-info")] = digest.decode("ascii", "replace")
    return tuple(
        SharedFile(path, tuple(rows))
        for path, rows in sorted(owners.items())
        if _differ(rows) and not any({*map(_project, rows)} <= {*pair} for pair in allowed)
    )


def _project(distribution: str) -> str:
    return canonical_name(distribution.rpartition("-")[0])


def _differ(rows: Mapping[str, str]) -> bool:
    return len(rows) > 1 and len(set(rows.values())) > 1
