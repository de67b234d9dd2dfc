"""uv's workspace around a folder, found as uv finds it. Its members use the sources and settings of its root."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from kgen import files, replay
from kgen.model.grammar import shown
from kgen.model.requirement import canonical_name

_PYPROJECT = "pyproject.toml"


class Workspace(NamedTuple):
    """A workspace.

    Attributes:
        root: its folder.
        settings: `[tool.uv]` in its `pyproject.toml`.
    """

    root: Path
    settings: Mapping[str, Any]

    def members(self) -> Mapping[str, Path]:
        """The members: package -> its folder.

        Raises:
            ValueError: the `pyproject.toml` of one is not TOML, or uv refuses a pattern.
        """
        found: dict[str, Path] = {}
        for path in (self.root, *_folders(self.root, self.settings)):
            project = _pyproject(path).get("project")
            if isinstance(project, Mapping) and isinstance(project.get("name"), str):
                found.setdefault(canonical_name(project["name"]), path)
        return found


def workspace_of(folder: Path) -> Workspace | None:
    """The workspace that a folder is the root, a member or inside a member of; None if there is none.

    Args:
        folder: the folder, absolute.
    """
    nearest = next((one for one in (folder, *folder.parents) if _has_pyproject(one)), None)
    if nearest is None:
        return None
    data = _pyproject_if_valid(nearest)
    own = uv_settings(data)
    is_managed = own.get("managed") is not False
    if is_managed and isinstance(own.get("workspace"), Mapping):
        return Workspace(nearest, own)
    if not is_managed or not isinstance(data.get("project"), Mapping):
        return None
    for above in nearest.parents:
        settings = uv_settings(_pyproject_if_valid(above))
        if isinstance(settings.get("workspace"), Mapping):
            return Workspace(above, settings) if _is_member(nearest, above, settings) else None
    return None


def _is_member(folder: Path, root: Path, settings: Mapping[str, Any]) -> bool:
    try:
        return folder in _folders(root, settings)
    except ValueError:  # uv reports the pattern
        return False


class CommittedWorkspace(NamedTuple):
    """A workspace in a commit of a repository.

    Attributes:
        root: the root's folder in the repository; empty for its top.
        members: the folder of each member's package in the repository.
    """

    root: str
    members: Mapping[str, str]


def workspace_in_commit(
    read: Callable[[str], bytes | None], listed: Iterable[str], folder: str
) -> CommittedWorkspace | None:
    """The workspace that a folder of a commit is the root or a member of; None if there is none.

    Args:
        read: returns the content of a file in the repository; None if there is no such file.
        listed: the paths of all files.
        folder: the folder in the repository; empty for its top.
    """

    def pyproject(of: str) -> Mapping[str, Any]:
        path = f"{of}/{_PYPROJECT}".removeprefix("/")
        content = read(path)
        try:
            return {} if content is None else _parsed(content, path)
        except ValueError:
            return {}  # it may be a template; other code reports an invalid file of the folder itself

    data = pyproject(folder)
    if uv_settings(data).get("managed") is False:
        return None
    folders = {path.rpartition("/")[0] for path in listed if path.rpartition("/")[2] == _PYPROJECT}
    above = [] if folder == "" else ["" if str(one) == "." else str(one) for one in PurePosixPath(folder).parents]
    for root in (folder, *above):
        workspace = uv_settings(pyproject(root)).get("workspace")
        if not isinstance(workspace, Mapping):
            continue
        inside = f"{root}/" if root else ""
        try:
            included, excluded = tuple(_patterns(workspace, "members")), tuple(_patterns(workspace, "exclude"))
        except ValueError:  # uv reports the pattern
            return None
        members = {
            one
            for one in folders
            if one.startswith(inside)
            and any(_is_globbed(one.removeprefix(inside), pattern) for pattern in included)
            and not any(_is_matched(one.removeprefix(inside), pattern) for pattern in excluded)
        }
        if folder not in {root, *members}:
            return None
        named = ((pyproject(one).get("project"), one) for one in sorted({root, *members}))
        found = {
            canonical_name(project["name"]): one
            for project, one in named
            if isinstance(project, Mapping) and isinstance(project.get("name"), str)
        }
        return CommittedWorkspace(root, found)
    return None


def uv_settings(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """`[tool.uv]` in the content of a `pyproject.toml`; empty if there is none."""
    tool = data.get("tool")
    uv = tool.get("uv") if isinstance(tool, Mapping) else None
    return uv if isinstance(uv, Mapping) else {}


def _folders(root: Path, settings: Mapping[str, Any]) -> Iterator[Path]:
    """The folders of the members besides the root.

    Raises:
        ValueError: uv refuses a pattern.
    """
    workspace = settings["workspace"]
    excluded = tuple(_patterns(workspace, "exclude"))
    for text in _patterns(workspace, "members"):
        for above in PurePosixPath(text).parents:
            if not re.search(r"[*?\[]", str(above)):
                replay.looked(root / above)  # where another member may appear
        for path in sorted(root.glob(text)):
            place = path.relative_to(root).as_posix()
            if path != root and not any(_is_matched(place, one) for one in excluded):
                yield path


def _patterns(workspace: Mapping[str, Any], key: str) -> Iterator[str]:
    """The patterns of paths below the workspace, normalised, because Pythons differ in how they read other forms.

    Raises:
        ValueError: uv refuses a pattern.
    """
    written = workspace.get(key, [])
    for text in written if isinstance(written, list) else ():
        if not isinstance(text, str) or text.startswith("/") or "\0" in text:
            continue
        pattern = posixpath.normpath(text)
        if any("**" in part and part != "**" for part in pattern.split("/")):
            raise ValueError(f"tool.uv.workspace.{key}: `**` in `{shown(text)}` is not all that stands between slashes")
        if pattern != "." and pattern.partition("/")[0] != "..":
            yield pattern


def _is_globbed(place: str, pattern: str) -> bool:
    """Whether a path is one that globbing a pattern finds: `*` matches no slash, and `**` any number of folders."""
    return _fits(place.split("/"), pattern.split("/"))


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_fits(parts[skipped:], patterns[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])


def _is_matched(place: str, pattern: str) -> bool:
    """Whether uv excludes a path: `*` also matches slashes, and `**/` also matches no folder."""
    return any(fnmatch.fnmatchcase(place, one) for one in (pattern, pattern.replace("**/", "")))


def _has_pyproject(folder: Path) -> bool:
    replay.looked(folder / _PYPROJECT)
    return files.is_file(folder / _PYPROJECT)


def _pyproject(folder: Path) -> Mapping[str, Any]:
    """The content of the `pyproject.toml` in a folder; empty if it cannot be read.

    Raises:
        ValueError: it is not TOML.
    """
    try:
        content = files.read(folder / _PYPROJECT, files.SMALL)
    except OSError:
        return {}
    return _parsed(content, str(folder / _PYPROJECT))


def _parsed(content: bytes, path: str) -> Mapping[str, Any]:
    import tomli  # noqa: PLC0415 - not every folder has one

    try:
        return tomli.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid TOML: {shown(str(error))}") from None


def _pyproject_if_valid(folder: Path) -> Mapping[str, Any]:
    """The same, but also empty if it is not TOML, which uv reports."""
    try:
        return _pyproject(folder)
    except ValueError:
        return {}
