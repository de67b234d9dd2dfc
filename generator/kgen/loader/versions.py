"""Which version a shared library is: from what was installed with it, or from what stands in it.

Never from the name of its file: the wheels of cuDNN have `libcudnn.so.9` and nothing longer, whatever release they are.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Sequence
from pathlib import Path

from kgen import files

_ABOVE = 7
"""So many folders above a library its distribution may be described: `nvidia/cudnn/lib` is three below."""


def of(path: Path, packages: Sequence[str], text: str | None = None) -> str | None:
    """The version of a library; None where nothing tells.

    Args:
        path: the file, as the loader finds it.
        packages: the packages of which one carries it, of the index or of conda.
        text: what stands in it before its version, as a pattern with one group; None if nothing does.
    """
    found = _installed(path, packages)
    return found if found is not None or text is None else _inside(path, text)


def _installed(path: Path, packages: Sequence[str]) -> str | None:
    places = dict.fromkeys((path, path.resolve()))
    for place in places:
        for folder in place.parents[:_ABOVE]:
            relative = place.relative_to(folder).as_posix()
            for package in packages:
                for info in folder.glob(f"{package.replace('-', '_')}-*.dist-info"):
                    if _owns(info / "RECORD", relative):
                        return info.name.removesuffix(".dist-info").rpartition("-")[2]
                for record in folder.glob(f"conda-meta/{package}-*.json"):
                    version = _of_conda(record, package, relative)
                    if version is not None:
                        return version
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
