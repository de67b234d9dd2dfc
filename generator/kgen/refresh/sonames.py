"""Which shared libraries NVIDIA's wheels have, read from their lists of files -> `sonames.toml`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import tomli
from packaging.version import Version

from kgen.index import NO_WHEEL, IndexFile
from kgen.matrix import writer
from kgen.refresh.fits import Target, platforms_of

FILE = "sonames.toml"
READ = ("linux-64", "win-64")
"""The platforms of whose wheels the names are read: on other Linux machines they are the same."""

_ROW = "[[provider]]"
_STABLE = re.compile(r"lib[A-Za-z0-9_]+\.so\.[0-9]{1,3}|[a-z_]+?(?:64)?_[0-9]{1,3}(?:_0)?\.dll")
"""A name that holds for a whole major. `libnvrtc-builtins.so.12.9` and `cupti64_2025.3.1.dll` belong to one release,
and are opened by the library beside them alone."""

_SYSTEMS = frozenset({"libOpenCL.so.1"})
"""What a wheel has a copy of, and the machine gives: Khronos's loader of OpenCL."""

Listed = Callable[[IndexFile], Iterable[str] | None]
"""The paths in a wheel; None where they cannot be had."""


class Changed(NamedTuple):
    """A row that is another now.

    Attributes:
        project: whose.
        version: the newest release that was read.
        detail: in words, what is new.
    """

    project: str
    version: str
    detail: str


def newest(files: Sequence[IndexFile], platform: str, targets: tuple[Target, ...]) -> dict[int, IndexFile]:
    """Major -> the wheel of its newest final release for a platform; what was yanked is left out."""
    found: dict[int, IndexFile] = {}
    for file in files:
        if file.tags == NO_WHEEL or file.yanked is not None or platform not in platforms_of(file.tags[2], targets):
            continue
        version = Version(file.version)
        known = found.get(version.major)
        if not version.is_prerelease and (known is None or Version(known.version) < version):
            found[version.major] = file
    return found


def _names(paths: Iterable[str], known: Iterable[str]) -> set[str]:
    names = {path.rpartition("/")[2] for path in paths}
    names |= {name.lower() for name in names if name.lower().endswith(".dll")}
    return {name for name in names if _STABLE.fullmatch(name) and name not in _SYSTEMS} | names.intersection(known)


def refreshed(
    text: str,
    pages: Mapping[str, Sequence[IndexFile]],
    targets: tuple[Target, ...],
    listed: Listed,
    *,
    today: dt.date,
    notes: list[str],
) -> tuple[str, list[Changed]]:
    """The file with what the newest release of each major has, and the rows that changed.

    A row whose releases are the newest still is left as it is, and no wheel of its project is asked for.

    Args:
        text: the file as it is.
        pages: project -> the files of its page.
        targets: the platforms, as tags of wheels name them.
        listed: gives the paths in a wheel.
        today: the day that is put into rows that change.
        notes: takes what could not be read.
    """
    head = text.partition(_ROW)[0]
    rows, changed = [], []
    for row in tomli.loads(text)["provider"]:
        found = _row(row, pages.get(row["project"], ()), targets, listed, notes)
        if found is not None:
            new = sorted({*found["sonames"]} - {*row["sonames"]})
            changed.append(Changed(row["project"], found["versions"][-1], f"has {', '.join(new)}" if new else ""))
            found |= {"source": _source(row["project"]), "checked": today}
        rows.append(found or row)
    return head + "\n".join(writer.row_text(_ROW, row) for row in rows), changed


def _source(project: str) -> str:
    return f"files in the wheels of {project} for {' and '.join(READ)}, the newest of each major"


def _row(
    row: Mapping[str, Any],
    files: Sequence[IndexFile],
    targets: tuple[Target, ...],
    listed: Listed,
    notes: list[str],
) -> dict[str, Any] | None:
    """A row as it has to be; None if it is so already, or a wheel could not be read."""
    wheels = {platform: newest(files, platform, targets) for platform in READ}
    majors = {major for found in wheels.values() for major in found}
    if not re.search(r"-cu\d+$", row["project"]):
        # the name of the project says nothing of the accelerator, so a new major of it may belong to another one
        majors &= {Version(text).major for text in row.get("versions", ())} or majors
    read = [wheels[platform][major] for platform in READ for major in sorted(majors) if major in wheels[platform]]
    versions = sorted({file.version for file in read}, key=Version)
    if not versions or versions == row.get("versions"):
        return None
    names: set[str] = set()
    for file in read:
        paths = listed(file)
        if paths is None:
            notes.append(f"the files in {file.filename} cannot be listed")
            return None
        names |= _names(paths, row["sonames"])
    kept = {name: value for name, value in row.items() if name not in {"sonames", "versions", "source", "checked"}}
    return {**kept, "versions": versions, "sonames": sorted(names, key=lambda name: (name.endswith(".dll"), name))}
