"""The version of a shared library, from its package or from text in the file.

The file's name does not have it: the wheels of cuDNN have `libcudnn.so.9` in every release.
"""

from __future__ import annotations

import functools
import json
import mmap
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from kgen import files, process
from kgen.errors import KgenError

_PATIENCE = 10
"""How long a distribution's own tool may take, in seconds."""

_ABOVE = 7
"""The number of folders above a library where its package may be described; `nvidia/cudnn/lib` is three below."""


def of(path: Path, packages: Sequence[str], text: str | None = None) -> str | None:
    """The version of a library; None if nothing tells it.

    Args:
        path: the file, as the loader finds it.
        packages: packages of the index or of conda that may contain the library.
        text: a pattern for the text in the file, with one group for the version; None if the file has no such text.
    """
    found = _installed(path, packages)
    if found is None and text is not None:
        found = _inside(path, text)
    return found or of_dpkg(path) or of_rpm(path) or of_pacman(path)


def _installed(path: Path, packages: Sequence[str]) -> str | None:
    stems = {package.replace("-", "_"): package for package in packages}
    places = dict.fromkeys((path, files.resolved(path)))
    for place in places:
        for folder in place.parents[:_ABOVE]:
            relative = place.relative_to(folder).as_posix()
            for info in _described(folder, ".dist-info"):
                name, _, version = info.removesuffix(".dist-info").rpartition("-")
                if name in stems and _owns(folder / info / "RECORD", relative):
                    return version
            for record in _described(folder / "conda-meta", ".json"):
                for package in packages:
                    if record.startswith(f"{package}-"):
                        told = _of_conda(folder / "conda-meta" / record, package, relative)
                        if told is not None:
                            return told
    return None


def _described(folder: Path, ending: str) -> tuple[str, ...]:
    """The names in a folder that describe installed packages."""
    try:
        return _listed(str(folder), ending, folder.stat().st_mtime_ns)
    except OSError:
        return ()


@functools.lru_cache(maxsize=1024)
def _listed(folder: str, ending: str, _modified: int) -> tuple[str, ...]:
    """The names with this ending; listed once while the folder is unchanged, as each library below it asks."""
    return tuple(sorted(name for name in os.listdir(folder) if name.endswith(ending)))  # noqa: PTH208 - names alone


def of_dpkg(path: Path, database: Path = Path("/var/lib/dpkg")) -> str | None:
    """The upstream version of the Debian package that owns a library; None if no package does.

    NVIDIA's packages for Debian and Ubuntu have the versions of its wheels and a revision.

    Args:
        path: the file, as the loader finds it.
        database: dpkg's database.
    """
    match = re.match(r"lib([A-Za-z0-9]+)", path.name)
    if match is None:
        return None
    # what has been merged into /usr is listed as it was packed
    real = {str(path), str(files.resolved(path))}
    names = {one.encode() for text in real for one in (text, text.removeprefix("/usr"), f"/usr{text}")}
    for listing in _described(database / "info", ".list"):
        if match[1].lower() not in listing:
            continue
        try:
            if names.isdisjoint(files.read(database / "info" / listing).splitlines()):
                continue
            status = files.read(database / "status")
        except OSError:
            continue
        package = re.escape(listing.removesuffix(".list").partition(":")[0].encode())
        version = re.search(rb"^Package: " + package + rb"\n(?:.+\n)*?Version: (?:\d+:)?(\S+)$", status, re.MULTILINE)
        if version is not None:
            told = version[1].decode("ascii", "replace")
            return told.rpartition("-")[0] or told
    return None


@functools.lru_cache(maxsize=256)
def of_rpm(path: Path) -> str | None:
    """The version of the RPM that owns a library; None if no package does, or rpm is not installed.

    The form of rpm's database depends on the distribution, so rpm itself reads it.
    """
    if shutil.which("rpm") is None:
        return None
    try:
        done = process.run(["rpm", "-q", "--queryformat", "%{VERSION}\\n", "-f", str(path)], timeout=_PATIENCE)
    except KgenError:
        return None
    version, _, more = done.stdout.partition("\n")
    return version if done.status == 0 and version and not more else None


def of_pacman(path: Path, database: Path = Path("/var/lib/pacman/local")) -> str | None:
    """The upstream version of the Arch Linux package that owns a library; None if no package does.

    Args:
        path: the file, as the loader finds it.
        database: pacman's database: a folder for each package, as `cudnn-9.10.2.21-1`.
    """
    names = {str(one).removeprefix("/").encode() for one in (path, files.resolved(path))}
    for folder in sorted(database.glob("*-*-*")):
        try:
            rows = files.read(folder / "files").splitlines()
        except OSError:
            continue
        if not names.isdisjoint(rows):
            # a number before a colon goes before all versions without
            return folder.name.rsplit("-", 2)[1].rpartition(":")[2]
    return None


def _owns(record: Path, relative: str) -> bool:
    try:
        content = files.read(record)
    except OSError:
        return False
    return any(line.startswith(f"{relative},".encode()) for line in content.splitlines())


def _of_conda(record: Path, package: str, relative: str) -> str | None:
    try:
        data = json.loads(files.read(record))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("name") != package or relative not in data.get("files", ()):
        return None
    version = data.get("version")
    return version if isinstance(version, str) else None


def _inside(path: Path, text: str) -> str | None:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            match = re.search(text.encode(), content)
            return None if match is None else match[1].decode("ascii", "replace")
    except (OSError, ValueError):
        return None
