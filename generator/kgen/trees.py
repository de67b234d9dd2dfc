"""Source trees that a project depends on: what their `pyproject.toml` declares, read without running their code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import tomli

from kgen import files
from kgen.editable import LEGACY, LEGACY_BACKEND, ProjectBuild, project_build
from kgen.model import direct
from kgen.model.direct import DirectReference, Kind
from kgen.model.grammar import shown, version
from kgen.model.requirement import Requirement, canonical_name
from kgen.project import PYPROJECT
from kgen.workspace import uv_settings, workspace_in_commit, workspace_of

_OTHERS = ("setup.py", "setup.cfg")
_TABLES = ("project", "build-system")

Read = Callable[[str], "bytes | None"]
"""Reads a file of a tree by its path; None if it does not exist."""


class SourceTree(NamedTuple):
    """What a source tree declares about its package.

    Attributes:
        name: the package's normalised name.
        version: its version; :data:`kgen.model.direct.DYNAMIC` if only building it tells.
        requires: its requirements, those of its extras under their markers.
        build: how it is built.
        sha256: a digest of what its metadata is made from.
    """

    name: str
    version: str
    requires: tuple[Requirement, ...]
    build: ProjectBuild
    sha256: str


def reading(folder: Path) -> Read:
    """A function that reads files in a folder."""

    def read(path: str) -> bytes | None:
        try:
            return files.read(folder / path, files.LARGE)
        except (FileNotFoundError, NotADirectoryError):
            return None

    return read


def digest(read: Read) -> str:
    """A digest of what a tree's metadata is made from; settings of other tools do not count.

    Raises:
        ValueError: its `pyproject.toml` is not TOML.
    """
    data = _pyproject(read)
    tool = data.get("tool")
    sources = tool.get("uv") if isinstance(tool, Mapping) else None
    counted = {key: data.get(key) for key in _TABLES} | {
        "sources": sources.get("sources") if isinstance(sources, Mapping) else None
    }
    lines = [json.dumps(counted, sort_keys=True, default=str)]
    lines += [hashlib.sha256(content).hexdigest() for name in _OTHERS if (content := read(name)) is not None]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def source_tree(read: Read, *, extras: bool = True) -> SourceTree:
    """What a tree declares about its package.

    Args:
        read: reads its files.
        extras: whether its extras are wanted.

    Raises:
        ValueError: it does not declare it, or only in code that would have to be run.
    """
    data = _pyproject(read)
    table = data.get("project")
    project: Mapping[str, Any] = table if isinstance(table, Mapping) else {}
    if type(project.get("name")) is not str:
        raise ValueError(
            f"has no [project] with a name in {PYPROJECT}: what it requires is known only to its code, which kgen"
            " does not run while it locks"
        )
    dynamic = project.get("dynamic", [])
    unknown = ("dependencies", *(("optional-dependencies",) if extras else ()))
    for key in unknown:
        if isinstance(dynamic, list) and key in dynamic:
            raise ValueError(
                f"has dynamic {key}: they are known only to its code, which kgen does not run while it locks"
            )
    try:
        build = project_build(data) or ProjectBuild(project["name"], LEGACY, LEGACY_BACKEND)
        stated = version(project["version"]) if isinstance(project.get("version"), str) else direct.DYNAMIC
        requires = tuple(_requires(project))
        for text in build.requires:
            Requirement(text)
    except ValueError as error:
        raise ValueError(f"says in {PYPROJECT}: {error}") from None
    return SourceTree(canonical_name(project["name"]), stated, requires, build, digest(read))


def _requires(project: Mapping[str, Any]) -> Iterator[Requirement]:
    for text in _texts(project.get("dependencies", []), "project.dependencies"):
        yield Requirement(text)
    optional = project.get("optional-dependencies", {})
    if not isinstance(optional, Mapping):
        raise TypeError("project.optional-dependencies: should be a table")
    for extra, texts in optional.items():
        for text in _texts(texts, f"project.optional-dependencies.{shown(extra)}"):
            one = Requirement(text)
            inner = "" if one.marker is None else f"({one.marker}) and "
            head = str(one) if one.marker is None else str(one).rpartition(f"; {one.marker}")[0]
            yield Requirement(f'{head.rstrip()} ; {inner}extra == "{canonical_name(extra)}"')


def _texts(value: object, place: str) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{place}: should be an array of texts")
    return value


def _pyproject(read: Read) -> Mapping[str, Any]:
    content = read(PYPROJECT)
    try:
        return {} if content is None else tomli.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"has a {PYPROJECT} that is not valid TOML: {shown(str(error))}") from None


# -- where uv's settings say that packages are -------------------------------------------------------------------------


def sources(read: Read) -> Mapping[str, DirectReference]:
    """Where `[tool.uv.sources]` takes packages from, without those from indexes and those under markers.

    A path is relative to the folder of the tree.

    Raises:
        ValueError: a place cannot be locked.
    """
    found = {}
    for name, row in _uv(read).get("sources", {}).items():
        if not isinstance(row, Mapping) or "marker" in row:
            continue
        try:
            reference = _reference(row)
        except ValueError as error:
            raise ValueError(f"tool.uv.sources.{shown(name)}: {error}") from None
        if reference is not None:
            found[canonical_name(name)] = reference
    return found


def _reference(row: Mapping[str, Any]) -> DirectReference | None:
    for key in ("path", "url"):
        if isinstance(row.get(key), str):
            if row.get("subdirectory") is not None:
                raise ValueError("`subdirectory` of a file or folder: name the folder itself")
            return direct.parse(row[key])
    if isinstance(row.get("git"), str):
        revision = next((row[key] for key in ("rev", "tag", "branch") if isinstance(row.get(key), str)), None)
        at = "" if revision is None else f"@{revision}"
        below = f"#subdirectory={row['subdirectory']}" if isinstance(row.get("subdirectory"), str) else ""
        return direct.parse(f"git+{row['git'].removeprefix('git+')}{at}{below}")
    return None


def _rows(read: Read) -> Mapping[str, Any]:
    rows = _uv(read).get("sources", {})
    return {canonical_name(name): row for name, row in rows.items()}


def _uv(read: Read) -> Mapping[str, Any]:
    return {key: value for key, value in uv_settings(_pyproject(read)).items() if isinstance(value, Mapping)}


# -- which place a requirement is from ---------------------------------------------------------------------------------


class Above(NamedTuple):
    """The root of the workspace that a tree is in.

    Attributes:
        read: gives its files.
        seen: a place that it names, as one that the tree itself would name.
        members: gives the members: package -> the location of its folder, likewise.
    """

    read: Read
    seen: Callable[[DirectReference], DirectReference]
    members: Callable[[], Mapping[str, str]]


def above_in_commit(read: Read, listed: Iterable[str], folder: str) -> Above | None:
    """The root of the workspace that a folder of a commit is in; None where it is in none.

    Args:
        read: gives the files of the commit, from the top of its repository.
        listed: the paths of all of them.
        folder: the folder, from there; empty for the top.
    """
    found = workspace_in_commit(read, listed, folder)
    if found is None:
        return None

    def relative(path: str) -> str:
        return PurePosixPath(os.path.relpath(f"/{path}", f"/{folder}")).as_posix()

    def seen(reference: DirectReference) -> DirectReference:
        inside = f"{found.root}/{reference.location}"
        return reference._replace(location=relative(inside)) if reference.is_path else reference

    def read_root(path: str) -> bytes | None:
        return read(f"{found.root}/{path}".removeprefix("/"))

    return Above(read_root, seen, lambda: {name: relative(place) for name, place in found.members.items()})


def _above(folder: Path) -> Above | None:
    workspace = workspace_of(folder)
    if workspace is None:
        return None
    return Above(
        reading(workspace.root),
        lambda one: _seen_from_anywhere(one, workspace.root),
        lambda: {name: path.as_uri() for name, path in workspace.members().items()},
    )


class Places:
    """Where the requirements of a tree come from, according to the tree, and for folders also to uv's workspace."""

    def __init__(self, read: Read, folder: Path | None, above: Above | None = None) -> None:
        """Read what a tree declares, or the root of its workspace in its place.

        Args:
            read: reads its files.
            folder: its folder on this machine; None for a commit of a repository.
            above: the workspace in the commit; None for a folder, or without one.

        Raises:
            ValueError: it declares something other than a place.
        """
        rows = dict(_rows(read))
        self._sources = dict(sources(read))
        above = above if folder is None else _above(folder)
        if above is not None:
            self._sources |= {name: above.seen(one) for name, one in sources(above.read).items() if name not in rows}
            rows = {**_rows(above.read), **rows}
        tables = {name: row for name, row in rows.items() if isinstance(row, Mapping)}
        self._in_workspace = frozenset(name for name, row in tables.items() if row.get("workspace") is True)
        self._indexes = {name: tuple(_indexes_in(row)) for name, row in rows.items()}
        self._members = above.members() if above is not None and self._in_workspace else {}

    def indexes_of(self, name: str) -> Sequence[tuple[str, str | None]]:
        """The indexes that the tree takes a package from, by their names for uv, each with its marker."""
        return self._indexes.get(name, ())

    def every(self) -> Iterator[DirectReference]:
        """All places that the tree names, whether or not it requires the package there."""
        yield from self._sources.values()
        for name in self._in_workspace & self._members.keys():
            yield DirectReference(Kind.FOLDER, self._members[name])

    def of(self, requirement: Requirement) -> DirectReference | None:
        """The place of a requirement; None if it is on an index.

        Raises:
            ValueError: the place cannot be locked.
        """
        if requirement.url is not None:
            return direct.parse(requirement.url)
        name = requirement.name
        if name in self._in_workspace:
            if name not in self._members:
                raise ValueError(f"`{name}` is to come from uv's workspace, which has no member of that name")
            return DirectReference(Kind.FOLDER, self._members[name])
        return self._sources.get(name)


def _seen_from_anywhere(reference: DirectReference, base: Path) -> DirectReference:
    path = reference.path(base)
    return reference if path is None else reference._replace(location=path.as_uri())


def _indexes_in(rows: object) -> Iterator[tuple[str, str | None]]:
    """The indexes that an entry of `[tool.uv.sources]` names: it is a table, or a list of them with markers."""
    for row in rows if isinstance(rows, list) else [rows]:
        if isinstance(row, Mapping) and isinstance(row.get("index"), str):
            yield row["index"], row["marker"] if isinstance(row.get("marker"), str) else None
