"""Locks of other tools that hold packages of conda, as projects of the Python index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kgen.errors import UsageError
from kgen.matrix.compatibility import CompatibilityMatrix

_FILE = re.compile(r"(?P<name>[^/]+)-(?P<version>[^-/]+)-[^-/]+\.(?:conda|tar\.bz2)(?:[?#].*)?$")


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
        raise UsageError("locks of conda and pixi need PyYAML", hints=["pip install 'keras-kgen[conda]'"]) from None
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


IMPORTS: Mapping[str, Callable[[str, str, CompatibilityMatrix], Iterator[tuple[str, str]]]] = {
    "conda-lock.yml": _of_conda_lock,
    "pixi.lock": _of_pixi,
}
"""See :class:`kgen.formats.interface.Importer`."""
