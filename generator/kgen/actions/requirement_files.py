"""Files of requirements, as pip reads them: which there are, and what is in them, without running code of a package."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from kgen import files
from kgen.editable import setup_cfg
from kgen.errors import SettingsError
from kgen.model import grammar
from kgen.project import PYPROJECT

OWN = "this-project"
"""What the project itself is called where only its code tells its name."""

_INNER = re.compile(
    r"(?m)^(?P<flag>\s*(?:(?P<constraint>-c|--constraints?)|-r|--requirements?)\s*=?\s*)(?P<file>\S.*?)\s*$"
)
"""A line of a file of requirements that names another one."""

_FOLDER = re.compile(
    r"(?m)^[ \t]*(?P<typed>(?:(?:-e|--editable)[ \t]*=?[ \t]*(?![\w+.]*\+)|(?=\.{0,2}/|\.{1,2}[ \t]*(?:\[|;|$)|file:))"
    r"(?P<quote>[\"']?)(?P<place>[^\s\[;\"']+)(?P<extras>\[[^\]\n]*\])?(?P=quote))(?P<rest>(?!\s*@)[^\n]*)$"
)
"""A line of a file of requirements that names a folder or file of this machine, and no package."""


class RequirementFile(NamedTuple):
    """A file of requirements, besides its requirements.

    Attributes:
        path: the file, as it was named from the project's folder.
        text: what is in it, without comments and with its lines joined.
        constraints: the files of constraints that it names, from the project's folder.
    """

    path: str
    text: str
    constraints: tuple[str, ...]


def with_inner(path: str, root: Path) -> Iterator[RequirementFile]:
    """A file of requirements and those that it names with `-r`; one that cannot be read is left out.

    uv reads requirements through `-r` by itself, and says nothing of a `-c`.

    Args:
        path: the file, from the project's folder.
        root: the project's folder.
    """
    queue, seen = [path], set[Path]()
    for one in queue:
        place = files.resolved(root / one)
        if place in seen:
            continue
        seen.add(place)
        try:
            lines = files.read_text(root / one, files.LARGE, encoding="utf-8-sig").splitlines()
        except (OSError, ValueError):
            continue
        text = re.sub(r"\\\n", " ", "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in lines))
        constraints: list[str] = []
        for match in _INNER.finditer(text):
            (queue if match["constraint"] is None else constraints).append(_inner(one, match["file"]))
        yield RequirementFile(one, text, tuple(constraints))


def _inner(path: str, named: str) -> str:
    return os.path.normpath(Path(path).parent / named.strip("\"'"))  # uv has refused those at a URL


def requirements_in(path: str, root: Path, inner: Sequence[RequirementFile]) -> tuple[str, ...]:
    """The requirements in a file, as uv understands it: standard text, sorted.

    uv asks a folder without a name in its files for it, which runs its `setup.py`. kgen tells uv the name of the
    project itself, and refuses another such folder.

    Args:
        path: the file, from the project's folder.
        root: the project's folder, which paths in the file are relative to.
        inner: the file and those that it names, by :func:`with_inner`.

    Raises:
        SettingsError: it names a folder whose name only its code tells.
        OutsideError: it is not there, or uv cannot read it.
    """
    from kgen import storage, uvtool  # noqa: PLC0415 - few projects name such files

    # where a variable is part of a path, only uv knows which file it has read
    reads = None if any("${" in one.text for one in inner) else [root / one.path for one in inner]
    texts = {one.path: _FOLDER.sub(lambda match, of=one.path: _named(match, of, root), one.text) for one in inner}  # type: ignore[misc]
    if all(texts[one.path] == one.text for one in inner):
        return uvtool.requirements_in(uvtool.find(), root / path, root=root, reads=reads)
    with storage.scratch() as folder:
        copies = {one.path: folder / f"{number}.txt" for number, one in enumerate(inner)}
        by_place = {files.resolved(root / one): copy for one, copy in copies.items()}
        for one, text in texts.items():

            def absolute(match: re.Match[str], one: str = one) -> str:
                place = root / _inner(one, match["file"])
                return f"{match['flag']}{by_place.get(files.resolved(place), place)}"

            copies[one].write_text(_INNER.sub(absolute, text), encoding="utf-8")
        return uvtool.requirements_in(uvtool.find(), copies[path], root=root, reads=reads, named=root / path)


def _named(match: re.Match[str], of: str, root: Path) -> str:
    """The line of a folder with a name for the project itself, where it has none in its files.

    Raises:
        SettingsError: it is another folder without one.
    """
    place = match["place"]
    folder = root / re.sub(r"^file:(//(?=/))?", "", place)
    if "${" in place or not files.is_folder(folder) or _has_name(folder):
        return match[0]
    if files.resolved(folder) == files.resolved(root):
        return f"{OWN}{match['extras'] or ''} @ {files.resolved(root).as_uri()}{match['rest']}"
    typed = grammar.shown(match["typed"])
    raise SettingsError(
        f"{root / of}: `{typed}` has no name in {PYPROJECT} or setup.cfg: it is known only to its code, which kgen does"
        " not run while it locks",
        hints=[
            f"give it a [project] with name, version and dependencies: edit {files.typed(folder / PYPROJECT)}",
            f"or build a wheel of it, and name that: pip wheel --no-deps --wheel-dir wheels {shlex.quote(str(folder))}",
        ],
    )


def _has_name(folder: Path) -> bool:
    """Whether uv finds the name of a package in its files, without asking its code."""
    try:
        data: Mapping[str, Any] = tomli.loads(files.read(folder / PYPROJECT, files.SMALL).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        data = {}
    tool = data.get("tool")
    tables = (data.get("project"), tool.get("poetry") if isinstance(tool, Mapping) else None)
    said = [table.get("name") for table in tables if isinstance(table, Mapping)]
    name = setup_cfg(folder, "metadata", "name")
    return any(isinstance(one, str) for one in said) or (name is not None and ":" not in name)
