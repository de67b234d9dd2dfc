"""uv's workspace that a folder is in, found as uv finds it: a member has the root's sources and settings."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        settings: `[tool.uv]` there.
    """

    root: Path
    settings: Mapping[str, Any]

    def members(self) -> Mapping[str, Path]:
        """The members: package -> its folder.

        Raises:
            ValueError: what one of them says of itself is not TOML.
        """
        found: dict[str, Path] = {}
        for path in (self.root, *_folders(self.root, self.settings)):
            project = _pyproject(path).get("project")
            if isinstance(project, Mapping) and isinstance(project.get("name"), str):
                found.setdefault(canonical_name(project["name"]), path)
        return found


def workspace_of(folder: Path) -> Workspace | None:
    """The workspace that a folder is the root or a member of, or is in a member of; None if there is none.

    Args:
        folder: the folder, absolute.
    """
    nearest = next((one for one in (folder, *folder.parents) if _has_pyproject(one)), None)
    if nearest is None:
        return None
    data = _pyproject_if_valid(nearest)
    own = uv_settings(data)
    if own.get("managed") is False:
        return None
    if isinstance(own.get("workspace"), Mapping):
        return Workspace(nearest, own)
    if not isinstance(data.get("project"), Mapping):
        return None
    for above in nearest.parents:
        settings = uv_settings(_pyproject_if_valid(above))
        if isinstance(settings.get("workspace"), Mapping):
            return Workspace(above, settings) if nearest in _folders(above, settings) else None
    return None


class CommittedWorkspace(NamedTuple):
    """A workspace in a commit of a repository.

    Attributes:
        root: its folder, from the top of the repository; empty for the top itself.
        members: package -> its folder, likewise.
    """

    root: str
    members: Mapping[str, str]


def workspace_in_commit(
    read: Callable[[str], bytes | None], listed: Iterable[str], folder: str
) -> CommittedWorkspace | None:
    """The workspace that a folder of a commit is the root or a member of; None if there is none.

    Args:
        read: gives a file by its path from the top of the repository; None where there is none.
        listed: the paths of all files.
        folder: the folder, from the top; empty for the top itself.
    """

    def pyproject(of: str) -> Mapping[str, Any]:
        path = f"{of}/{_PYPROJECT}".removeprefix("/")
        content = read(path)
        try:
            return {} if content is None else _parsed(content, path)
        except ValueError:
            return {}  # a template, perhaps; what is wrong with the folder's own is said elsewhere

    data = pyproject(folder)
    if uv_settings(data).get("managed") is False:
        return None
    above = [] if folder == "" else ["" if str(one) == "." else str(one) for one in PurePosixPath(folder).parents]
    for root in (folder, *above):
        workspace = uv_settings(pyproject(root)).get("workspace")
        if not isinstance(workspace, Mapping):
            continue
        inside = f"{root}/" if root else ""
        folders = {path.rpartition("/")[0] for path in listed if path.rpartition("/")[2] == _PYPROJECT}
        members = {
            one
            for one in folders
            if one.startswith(inside)
            and _matches(one.removeprefix(inside), workspace, "members")
            and not _matches(one.removeprefix(inside), workspace, "exclude")
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


def _matches(path: str, workspace: Mapping[str, Any], key: str) -> bool:
    for text in filter(_is_pattern, _listed(workspace, key)):
        pattern = text.rstrip("/")
        if "**" in pattern:
            if fnmatch.fnmatchcase(path, pattern):
                return True
        elif path.count("/") == pattern.count("/") and PurePosixPath(path).match(pattern):
            return True
    return False


def uv_settings(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """`[tool.uv]` of what is in a `pyproject.toml`; nothing where it says none."""
    tool = data.get("tool")
    uv = tool.get("uv") if isinstance(tool, Mapping) else None
    return uv if isinstance(uv, Mapping) else {}


def _folders(root: Path, settings: Mapping[str, Any]) -> Iterator[Path]:
    workspace = settings["workspace"]
    patterns = {key: [text for text in _listed(workspace, key) if _is_pattern(text)] for key in ("members", "exclude")}
    for text in patterns["members"]:
        for above in PurePosixPath(text).parents:
            if not re.search(r"[*?\[]", str(above)):
                replay.looked(root / above)  # where another member may come
    for path in (path for text in patterns["members"] for path in sorted(root.glob(text))):
        place = PurePosixPath(path.relative_to(root).as_posix())
        if path != root and not any(place.match(text) for text in patterns["exclude"]):
            yield path


def _listed(workspace: Mapping[str, Any], key: str) -> list[str]:
    found = workspace.get(key)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _is_pattern(text: str) -> bool:
    return bool(text) and not text.startswith("/") and ".." not in text.split("/")


def _has_pyproject(folder: Path) -> bool:
    replay.looked(folder / _PYPROJECT)
    return (folder / _PYPROJECT).is_file()


def _pyproject(folder: Path) -> Mapping[str, Any]:
    """What is in the `pyproject.toml` of a folder; nothing where it cannot be read.

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
    """The same; nothing where it is not TOML either, of which uv says what is wrong."""
    try:
        return _pyproject(folder)
    except ValueError:
        return {}
