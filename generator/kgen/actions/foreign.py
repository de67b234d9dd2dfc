"""Locks of other tools, as far as a lock of kgen can start from them: package -> version."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli
from packaging.version import InvalidVersion, Version

from kgen import files
from kgen.errors import OutsideError, SettingsError, UsageError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import grammar
from kgen.model.requirement import canonical_name

_CONDA_FILE = re.compile(r"(?P<name>[^/]+)-(?P<version>[^-/]+)-[^-/]+\.(?:conda|tar\.bz2)(?:[?#].*)?$")
_PINNED = re.compile(r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*(?P<version>[A-Za-z0-9.+!]+)")


def versions_in(path: Path, platform: str, matrix: CompatibilityMatrix) -> Mapping[str, str]:
    """The versions that a lock of another tool has for a platform; without projects that it has several of.

    Understood are `pylock.toml`, `uv.lock`, `poetry.lock`, `pdm.lock`, `conda-lock.yml`, `pixi.lock`, and pinned
    requirements (`*.txt`).

    Args:
        path: the file.
        platform: conda's name of the platform, by which the locks of conda and pixi tell packages apart.
        matrix: the facts, for what conda calls projects of the index.

    Raises:
        OutsideError: it cannot be read.
        SettingsError: it is none of these.
        UsageError: what reads it is not installed.
    """
    read = _reader(path)
    try:
        text = files.read_text(path, files.LARGE)
    except OSError as error:
        raise OutsideError(f"{path} cannot be read: {error.strerror or error}", hints=[f"ls -l {path}"]) from None
    except ValueError as error:
        raise SettingsError(f"{path} is not text: {error}") from None
    projects = {package: project for project, package in (*matrix.conda_names.items(), *matrix.conda.names.items())}
    found: dict[str, set[str]] = {}
    try:
        for name, version, of_conda in read(text, platform):
            if _is_version(version):
                project = projects.get(name, name) if of_conda else name
                found.setdefault(canonical_name(project), set()).add(version)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = grammar.printable(str(error).partition("\n")[0])
        raise SettingsError(f"{path} is not a {_kind(path)} that kgen understands: {said}") from None
    if not found:
        raise SettingsError(
            f"{path} has no versions for {platform}", hints=["kgen lock --platform P, with one of its own"]
        )
    return {name: min(several) for name, several in found.items() if len(several) == 1}


_Row = tuple[str, str, bool]
"""Name, version, and whether the name is conda's."""


def _reader(path: Path) -> Callable[[str, str], Iterator[_Row]]:
    kinds: Mapping[str, Callable[[str, str], Iterator[_Row]]] = {
        "conda-lock.yml": _of_conda_lock,
        "pixi.lock": _of_pixi,
        "uv.lock": _of_toml,
        "poetry.lock": _of_toml,
        "pdm.lock": _of_toml,
    }
    found = kinds.get(path.name)
    if found is None and re.fullmatch(r"pylock(\..+)?\.toml", path.name):
        found = _of_toml
    if found is None and path.suffix == ".txt":
        found = _of_requirements
    if found is None:
        raise UsageError(
            f"`--from {path}`: kgen knows no lock of this name",
            hints=[
                f"give one of pylock.toml, {', '.join(sorted(kinds))}, or pinned requirements such as requirements.txt"
            ],
        )
    return found


def _kind(path: Path) -> str:
    return "pylock.toml" if path.name.startswith("pylock") else path.name if path.suffix != ".txt" else "file of pins"


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _of_toml(text: str, _platform: str) -> Iterator[_Row]:
    """The arrays of tables of PEP 751, uv, Poetry and PDM, which are alike in what matters."""
    data = tomli.loads(text)
    for row in data.get("packages", data.get("package", [])):
        if "version" in row:  # a folder or a repository has none
            yield row["name"], row["version"], False


def _of_requirements(text: str, _platform: str) -> Iterator[_Row]:
    for line in text.splitlines():
        found = _PINNED.match(line)
        if found is not None:
            yield found["name"], found["version"], False


def _of_conda_lock(text: str, platform: str) -> Iterator[_Row]:
    for row in _yaml(text)["package"]:
        if row["platform"] == platform:
            yield row["name"], str(row["version"]), row["manager"] == "conda"


def _of_pixi(text: str, platform: str) -> Iterator[_Row]:
    data = _yaml(text)
    rows = {one.get("conda") or one.get("pypi"): one for one in data["packages"]}
    for environment in data["environments"].values():
        for one in environment["packages"].get(platform, ()):
            where = one.get("conda") or one.get("pypi")
            if "conda" in one:
                found = _CONDA_FILE.search(where)
                if found is not None:
                    yield found["name"], found["version"], True
            elif "version" in rows.get(where, {}):
                yield rows[where]["name"], str(rows[where]["version"]), False


def _yaml(text: str) -> Any:  # noqa: ANN401 - whatever it holds
    try:
        import yaml  # noqa: PLC0415 - an extra brings it
    except ModuleNotFoundError:
        raise UsageError("locks of conda and pixi need PyYAML", hints=["pip install 'keras-kgen[conda]'"]) from None
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
