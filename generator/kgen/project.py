"""Finds a project and the file with its settings, which it reads without checking them.

Light: `kgen run` needs nothing else to find an environment.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kgen import files, host, replay
from kgen.errors import FileError, SettingsError
from kgen.model.grammar import is_line, printable

KGEN_TOML = "kgen.toml"
PYPROJECT = "pyproject.toml"
LOCKS = "locks"
ENVS = Path(".kgen/envs")
"""The folder of the environments on disk, unless the settings name another."""

SHARE = "share/kgen"
"""The folder in an environment for files from kgen."""

ENVS_MARK = ".kgen-envs"
"""A file that marks a folder outside the project which a user has named with `--envs`."""


_REPOSITORIES = (".git", ".hg", ".jj", ".svn", ".sl", ".bzr", "_darcs", ".pijul")
"""Entries that show that a folder is the top of a repository, for various version control systems."""


def find_root(start: Path) -> Path:
    """The project's folder: the nearest one, from `start` upwards, that contains settings or locks, or else a package.

    The search does not leave the repository or the home folder. It ends at a file that may contain settings but is
    invalid, so that :func:`load` reports that file. If nothing is found, the result is `start` itself.
    """
    start = files.resolved(start)
    home = host.home()
    package = None
    for folder in (start, *start.parents):
        if _may_hold_settings(folder) or _holds_locks(folder):
            return folder
        package = package or (folder if _holds_package(folder) else None)
        if folder == home or _is_repository(folder):
            break
    return package or start


def repository(root: Path) -> Path | None:
    """The top folder of what is shared: of the project's repository, or of uv's workspace; None if unknown.

    A copy may lack its repository, for example in an image whose build omits `.git`. Folders that the project's locks
    name by a path were shared with it.

    Args:
        root: the project's folder.
    """
    from kgen.workspace import workspace_of  # noqa: PLC0415 - few projects are in no repository

    found = next((folder for folder in (root, *root.parents) if _is_repository(folder)), None)
    if found is not None:
        return found
    workspace = workspace_of(root)
    tops = [] if workspace is None else [workspace.root]
    for path in _locks_in(root):
        with contextlib.suppress(OSError):
            text = files.read(path, files.LARGE).decode("utf-8", "replace")
            tops += [Path(os.path.normpath(path.parent / named)) for named in _LOCKED_FOLDER.findall(text)]
    return Path(os.path.commonpath([root, *tops])) if tops else None


_LOCKED_FOLDER = re.compile(r'(?m)^directory = \{ path = "([^"/][^"]*)"')
"""A folder that a lock names by a path."""


def locate(root: Path) -> Path | None:
    """The file in this folder that contains the settings; None if there is none.

    Raises:
        OutsideError: a file that might contain them cannot be read.
        SettingsError: two files contain settings, or one is invalid.
    """
    return load(root)[0]


def load(root: Path) -> tuple[Path | None, Mapping[str, Any]]:
    """The file in this folder that contains the settings, and its whole content.

    Raises:
        OutsideError: a file that might contain them cannot be read.
        SettingsError: two files contain settings, or one is invalid.
    """
    own, project = root / KGEN_TOML, root / PYPROJECT
    own_data, project_data = _read(own), _read(project)
    in_project = project_data is not None and _has_table(project_data)
    if own_data is not None:
        if in_project:
            raise SettingsError(
                f"there are settings in {own} and in [tool.kgen] of {project}; kgen reads one of the two",
                hints=[f"remove [tool.kgen] from {PYPROJECT}, or remove {KGEN_TOML}"],
            )
        return own, own_data
    if project_data is not None and in_project:
        return project, project_data
    return None, {}


def torch_index(root: Path) -> str | None:
    """The setting for PyTorch's own index: `true`, the URL of a mirror, or None.

    Raises:
        SettingsError: the settings cannot be read.
    """
    file, data = load(root)
    table = data if file is None or file.name == KGEN_TOML else data["tool"]["kgen"]
    named = table.get("torch-index") if isinstance(table, Mapping) else None
    return "true" if named is True else named.rstrip("/") if isinstance(named, str) else None


def is_package(root: Path) -> bool:
    """Whether the settings allow the project itself to be installed; `project = false` does not.

    Raises:
        SettingsError: the settings cannot be read.
    """
    file, data = load(root)
    table = data if file is None or file.name == KGEN_TOML else data["tool"]["kgen"]
    return not isinstance(table, Mapping) or table.get("project") is not False


def envs(root: Path) -> Path:
    """The folder of the project's environments, absolute.

    Settings may come from a stranger, with the rest of a repository. A folder outside the project only counts if this
    machine's user has once named it with `--envs`, which leaves a mark in it.

    Raises:
        SettingsError: the settings cannot be read, or name a folder that cannot contain environments.
    """
    file, data = load(root)
    table = data if file is None or file.name == KGEN_TOML else data["tool"]["kgen"]
    named = table.get("envs") if isinstance(table, Mapping) else None
    try:
        folder = root / (ENVS if named is None else parse_envs(named))
        _refuse_place(root, folder)
    except ValueError as error:
        if named is None:
            raise SettingsError(
                f"the folder of the environments: {error}",
                hints=["name another with `--envs`, or `envs` in the settings"],
            ) from None
        raise SettingsError(f"{file}: envs: {error}", hints=[f"edit {files.typed(file or root)}"]) from None
    folder = Path(os.path.normpath(folder))
    if not folder.is_relative_to(root) and not files.is_file(folder / ENVS_MARK):
        raise SettingsError(
            f"{file}: envs: {printable(str(folder))} is outside of the project; settings may name such a folder only"
            " after you have named it yourself",
            hints=[f"kgen sync --all --envs {shlex.quote(printable(str(folder)))}"],
        )
    return folder


def chosen_envs(root: Path, text: str) -> Path:
    """The folder that `--envs` names, absolute; anywhere, unless it would conflict with the project.

    Raises:
        ValueError: it cannot contain environments.
    """
    folder = Path.cwd() / parse_envs(text)
    _refuse_place(root, folder)
    return Path(os.path.normpath(folder))


def _refuse_place(root: Path, folder: Path) -> None:
    """Check that this folder may contain environments: kgen replaces folders in it.

    Raises:
        ValueError: the folder is the project's own, one above it, one with another purpose, or elsewhere than its path
            says.
    """
    # `..` after a link leads elsewhere than the path suggests; for such a path the system's own answer counts
    place, real = Path(os.path.normpath(folder)), Path(os.path.realpath(folder))
    shown = printable(str(folder))
    for one in (place, real):
        for base in (root, Path(os.path.realpath(root))):
            if base.is_relative_to(one):
                raise ValueError(f"{shown} is the project's own folder, or above it")
            for taken in (LOCKS, ".git"):
                if one.is_relative_to(base / taken):
                    raise ValueError(f"{shown} is in {taken}/ of the project, which has another purpose")
    if place.is_relative_to(root) and real != Path(os.path.realpath(root)) / place.relative_to(root):
        raise ValueError(
            f"{shown} leads through a symbolic link to {printable(str(real))}; name that folder itself with `--envs`"
        )


def parse_envs(text: object) -> Path:
    """The folder of the environments; `~` is the home folder.

    Raises:
        ValueError: the value is not a folder.
    """
    if not isinstance(text, str) or not text.strip() or not is_line(text):
        raise ValueError(f"should be a folder, such as {ENVS}")
    path = Path(text)
    if path.parts[:1] == ("~",):
        home = host.home()
        if home is None:
            raise ValueError("`~` stands for no folder here: there is no home folder")
        path = home.joinpath(*path.parts[1:])
    return path


def _has_table(data: Mapping[str, Any]) -> bool:
    """Whether `tool.kgen` exists; its type is checked when it is read."""
    tool = data.get("tool")
    return isinstance(tool, dict) and "kgen" in tool


def _read(path: Path) -> dict[str, Any] | None:
    """The content of the TOML file; None if there is no file."""
    try:
        content = files.read(path, files.SMALL)
    except FileNotFoundError:
        # a dangling link means that there should be settings
        if not files.is_link(path):
            return None
        raise FileError(
            f"{path} cannot be read: it is a link to nothing", hints=[f"ls -l {shlex.quote(str(path))}"]
        ) from None
    except OSError as error:
        raise files.unreadable(path, error) from error
    try:
        return _read_toml(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path} is not UTF-8 text (at line {line})", hints=[f"edit {files.typed(path)}"]) from None
    except (ValueError, RecursionError) as error:
        # Also raised for numbers of thousands of digits, and for arrays nested hundreds of levels deep.
        begins = content.find(b"\n<<<<<<< ") + 1 or (1 if content.startswith(b"<<<<<<< ") else 0)
        if begins and b"\n>>>>>>> " in content:
            line = content.count(b"\n", 0, begins) + 1
            raise SettingsError(
                f"{path} is in conflict after a merge (at line {line})",
                hints=[f"edit {files.typed(path)}", "kgen lock --merge   # then solves the locks again"],
            ) from None
        raise SettingsError(
            f"{path} is not valid TOML: {printable(str(error))}", hints=[f"edit {files.typed(path)}"]
        ) from None


def _read_toml(content: bytes) -> dict[str, Any]:
    import tomli  # noqa: PLC0415 - a project without settings needs none

    return tomli.loads(content.decode("utf-8-sig"))


def _may_hold_settings(folder: Path) -> bool:
    if _exists(folder / KGEN_TOML):
        return True
    project = folder / PYPROJECT
    try:
        content = files.read(project, files.SMALL)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    if b"kgen" not in content:
        return False
    try:
        return _has_table(_read_toml(content))
    except (ValueError, RecursionError):
        return b"tool.kgen" in content


def _holds_locks(folder: Path) -> bool:
    return next(_locks_in(folder), None) is not None


def _locks_in(folder: Path) -> Iterator[Path]:
    replay.looked(folder / LOCKS)
    for inside in files.matching(folder / LOCKS, "*"):
        replay.looked(inside)
        yield from files.matching(inside, "pylock.*.toml")


def _is_repository(folder: Path) -> bool:
    return any(_exists(folder / name) for name in _REPOSITORIES)


def _holds_package(folder: Path) -> bool:
    try:
        content = files.read(folder / PYPROJECT, files.SMALL)
    except OSError:
        return False
    return re.search(rb"(?m)^\s*\[(project|build-system|tool\.poetry)\]", content) is not None


def _exists(path: Path) -> bool:
    replay.looked(path)
    try:
        path.lstat()
    except OSError:
        return False
    return True
