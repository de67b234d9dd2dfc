"""The project itself as a package: what its `pyproject.toml` declares about building it, and how it was installed.

Light: `kgen run` checks whether the project in an environment is still the one in the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kgen import __version__, files, replay
from kgen.project import PYPROJECT

RECORD = "share/kgen/project"
"""The record of the project in an environment: its name in the first line, then what it was built from."""

TREES = "share/kgen/trees"
"""The record of folders that were installed editable, and of their project, which may be moved with its environment."""

LEFT_OUT = "-"
"""The recorded name if the project was left out on purpose."""

LEGACY = ("setuptools", "wheel")
"""The build requirements of a project that declares none (PEP 517)."""

LEGACY_BACKEND = "setuptools.build_meta:__legacy__"

SETUPTOOLS_MODULE = "setuptools"
SETUP_CFG = "setup.cfg"
SETUPTOOLS = ("setup.py", SETUP_CFG)
"""The files that setuptools reads besides `pyproject.toml`."""

_BUILT_FROM = (PYPROJECT, *SETUPTOOLS)
_ALSO_NEEDS: Mapping[str, tuple[str, ...]] = {"hatchling.build": ("editables",)}
"""What a backend also needs for editable wheels, and states only while it builds: from hatchling's own `build.py`."""


class ProjectBuild(NamedTuple):
    """How the project is built.

    Attributes:
        name: the project.
        requires: its declared build requirements, and what its backend also needs for an editable wheel.
        backend: the object with the hooks of PEP 517.
        path: the folder of the backend in the project; empty for an installed one.
        dynamic: whether only building it tells everything, such as its version.
    """

    name: str
    requires: tuple[str, ...]
    backend: str
    path: str = ""
    dynamic: bool = False


def project_build(data: Mapping[str, Any], root: Path | None = None) -> ProjectBuild | None:
    """How a project is built; None if nothing declares that it is a package.

    A `build-system` table declares that; without one, setuptools' own files do.

    Args:
        data: the content of its `pyproject.toml`.
        root: its folder; without it, only the standard's tables count.

    Raises:
        ValueError: the declaration does not have the required form.
    """
    system, project = data.get("build-system"), data.get("project")
    if not isinstance(project, Mapping) or not isinstance(project.get("name"), str):
        project = None if root is None else _said_otherwise(data, root)
        if project is None:
            return None
    if not isinstance(system, Mapping):
        if root is None or not _reads_setuptools(root):
            return None
        system = {"requires": list(LEGACY)}
    requires, backend = system.get("requires"), system.get("build-backend", LEGACY_BACKEND)
    paths = system.get("backend-path", [])
    if not isinstance(requires, list) or not all(isinstance(one, str) for one in requires):
        raise ValueError("build-system.requires: should be an array of texts")
    if not isinstance(backend, str) or not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
        raise ValueError("build-system: `build-backend` should be text, `backend-path` an array of texts")
    wanted = (*requires, *_ALSO_NEEDS.get(backend, ()))
    # a backend of the project's own may look at anything
    dynamic = bool(project.get("dynamic")) or bool(paths)
    return ProjectBuild(project["name"], tuple(dict.fromkeys(wanted)), backend, paths[0] if paths else "", dynamic)


def finds_packages(data: Mapping[str, Any], build: ProjectBuild, root: Path) -> bool:
    """Whether setuptools searches the folder of a project for packages, because nothing names them.

    Args:
        data: the content of its `pyproject.toml`.
        build: how it is built.
        root: its folder.
    """
    tool = data.get("tool")
    table = tool.get("setuptools") if isinstance(tool, Mapping) else None
    named = isinstance(table, Mapping) and {"packages", "py-modules"} & set(table)
    for name in ("src", "setup.py"):
        replay.looked(root / name)
    return (
        build.backend.partition(".")[0] == SETUPTOOLS_MODULE
        and not named
        and not files.is_folder(root / "src")
        and not files.is_file(root / "setup.py")
        and setup_cfg(root, "options", "packages") is None
        and setup_cfg(root, "options", "py_modules") is None
    )


def _said_otherwise(data: Mapping[str, Any], root: Path) -> Mapping[str, Any] | None:
    """What replaces a missing `project` table, as far as it can be read; None if it is not a package."""
    poetry = tool.get("poetry") if isinstance(tool := data.get("tool"), Mapping) else None
    name = poetry.get("name") if isinstance(poetry, Mapping) else None
    if isinstance(data.get("build-system"), Mapping) and isinstance(name, str):
        return {"name": name}
    if not _reads_setuptools(root):
        return None
    return {"name": _name_in_setup_cfg(root) or files.resolved(root).name, "dynamic": ["dependencies"]}


def _reads_setuptools(root: Path) -> bool:
    """Whether setuptools finds a package in a folder by its own files; other tools also read `setup.cfg`."""
    replay.looked(root / "setup.py")
    return files.is_file(root / "setup.py") or _name_in_setup_cfg(root) is not None


def _name_in_setup_cfg(root: Path) -> str | None:
    return setup_cfg(root, "metadata", "name")


def setup_cfg(root: Path, section: str, option: str) -> str | None:
    """A value in setuptools' `setup.cfg`; None if it is missing, or cannot be read.

    Args:
        root: the folder of the project.
        section: the section of the file.
        option: the name of the value.
    """
    return setup_cfg_section(root, section).get(option, "").strip() or None


def setup_cfg_section(root: Path, section: str) -> Mapping[str, str]:
    """A section of setuptools' `setup.cfg`, in its order; empty if it is missing, or cannot be read.

    Args:
        root: the folder of the project.
        section: the section.
    """
    path = root / SETUP_CFG
    replay.looked(path)
    if not files.is_file(path):
        return {}
    import configparser  # noqa: PLC0415 - few projects have such a file

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(files.read_text(path, encoding="utf-8-sig"))
    except (OSError, ValueError, configparser.Error):
        return {}
    return dict(parser[section]) if parser.has_section(section) else {}


def built_from(root: Path) -> bytes:
    """What the project is built from, without its code, which an editable installation always follows."""
    found = [f"kgen {__version__} {root}".encode("utf-8", "surrogateescape")]
    for name in _BUILT_FROM:
        try:
            found.append(files.read(root / name))
        except OSError:
            continue
    return b"\n\n".join(found)


def trees_record(root: Path) -> bytes:
    """The text of the record of trees."""
    return f"kgen {root}\n".encode("utf-8", "surrogateescape")


def has_moved(prefix: Path, root: Path) -> bool:
    """Whether folders were installed editable for a project that has since moved."""
    try:
        return files.read(prefix / TREES) != trees_record(root)
    except OSError:
        return False


def record(name: str, root: Path) -> bytes:
    """The text of the record; `name` is that of its metadata folder, without the suffix."""
    return name.encode() + b"\n" + built_from(root)


def metadata_name(wheel: Path) -> str:
    """The name of the metadata folder of a wheel, without the suffix."""
    return "-".join(wheel.name.split("-")[:2])


def installed_name(prefix: Path) -> str | None:
    """The project's metadata folder in an environment, without the suffix; None if none was installed."""
    try:
        name = files.read(prefix / RECORD).partition(b"\n")[0].decode("utf-8", "replace")
    except OSError:
        return None
    return None if name == LEFT_OUT else name


def is_left_out(prefix: Path) -> bool:
    """Whether the project was left out of an environment on purpose."""
    try:
        return files.read(prefix / RECORD).partition(b"\n")[0] == LEFT_OUT.encode()
    except OSError:
        return False


def is_installed(prefix: Path, root: Path, metadata: str) -> bool:
    """Whether the project in an environment is that of this folder, in its current state.

    Args:
        prefix: the environment.
        root: the project.
        metadata: the suffix of metadata folders.
    """
    try:
        name, _, rest = files.read(prefix / RECORD).partition(b"\n")
    except OSError:
        return False
    there = next(prefix.glob(f"lib/python3*/site-packages/{name.decode('utf-8', 'replace')}{metadata}"), None)
    return there is not None and rest == built_from(root)
