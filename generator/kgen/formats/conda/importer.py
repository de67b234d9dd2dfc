"""Locks of other tools that hold packages of conda: as projects of the Python index, and as these packages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kgen import files
from kgen.errors import MissingExtraError
from kgen.formats.conda.rattlertool import CondaRecord
from kgen.matrix.compatibility import CompatibilityMatrix

_FILE = re.compile(r"(?P<name>[^/]+)-(?P<version>[^-/]+)-(?P<build>[^-/]+)\.(?:conda|tar\.bz2)(?:[?#].*)?$")


def packages_in(path: Path, platform: str) -> tuple[CondaRecord, ...]:
    """The packages of conda that a lock of another tool has for a platform, each with its name, version and build.

    Without those of which it has several, as different environments do.

    Args:
        path: the file, which :func:`kgen.actions.foreign.versions_in` has read before.
        platform: conda's name of the platform.

    Returns:
        The packages; () of a lock that is of no packages of conda.
    """
    listed = _ADDRESSES.get(path.name)
    if listed is None:
        return ()
    found: dict[str, dict[tuple[str, ...], CondaRecord]] = {}
    for address in listed(_yaml(files.read_text(path, files.LARGE)), platform):
        named = _FILE.search(address)
        if named is not None:
            found.setdefault(named["name"], {})[named.groups()] = named.groupdict()
    return tuple(only for several in found.values() if len(several) == 1 for only in several.values())


def _addresses_of_conda_lock(data: Any, platform: str) -> Iterator[str]:  # noqa: ANN401 - whatever it holds
    for row in data["package"]:
        if row["platform"] == platform and row["manager"] == "conda":
            yield str(row["url"])


def _addresses_of_pixi(data: Any, platform: str) -> Iterator[str]:  # noqa: ANN401 - the same
    for environment in data["environments"].values():
        for one in environment["packages"].get(platform, ()):
            yield str(one.get("conda", ""))


def _of_conda_lock(text: str, platform: str, matrix: CompatibilityMatrix) -> Iterator[tuple[str, str]]:
    projects = _projects(matrix)
    for row in _yaml(text)["package"]:
        if row["platform"] == platform:
            name = row["name"]
            yield (projects.get(name, name) if row["manager"] == "conda" else name), str(row["version"])


def _of_pixi(text: str, platform: str, matrix: CompatibilityMatrix) -> Iterator[tuple[str, str]]:
    data, projects = _yaml(text), _projects(matrix)
    wheels = {one["pypi"]: one for one in data["packages"] if "pypi" in one}
    for environment in data["environments"].values():
        for one in environment["packages"].get(platform, ()):
            if "pypi" in one and "version" in wheels.get(one["pypi"], {}):
                yield wheels[one["pypi"]]["name"], str(wheels[one["pypi"]]["version"])
            found = _FILE.search(one.get("conda", ""))
            if found is not None:
                yield projects.get(found["name"], found["name"]), found["version"]


def _projects(matrix: CompatibilityMatrix) -> Mapping[str, str]:
    """Package of conda -> project of the index, of those with another name."""
    return {package: project for project, package in (*matrix.conda_names.items(), *matrix.conda.names.items())}


def _yaml(text: str) -> Any:  # noqa: ANN401 - whatever it holds
    try:
        import yaml  # noqa: PLC0415 - an extra brings it
    except ModuleNotFoundError:
        raise MissingExtraError(
            "locks of conda and pixi need PyYAML", hints=["pip install 'keras-kgen[conda]'"]
        ) from None
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


_ADDRESSES: Mapping[str, Callable[[Any, str], Iterator[str]]] = {
    "conda-lock.yml": _addresses_of_conda_lock,
    "pixi.lock": _addresses_of_pixi,
}

IMPORTS: Mapping[str, Callable[[str, str, CompatibilityMatrix], Iterator[tuple[str, str]]]] = {
    "conda-lock.yml": _of_conda_lock,
    "pixi.lock": _of_pixi,
}
"""See :class:`kgen.formats.interface.Importer`."""
