"""Locks of other tools that hold packages of conda: as projects of the Python index, and as these packages."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kgen import files
from kgen.formats.conda.names import Names
from kgen.formats.conda.rattlertool import CondaRecord
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.requirement import canonical_name

_FILE = re.compile(r"(?P<name>[^/]+)-(?P<version>[^-/]+)-(?P<build>[^-/]+)\.(?:conda|tar\.bz2)(?:[?#].*)?$")
_EXPORTED = re.compile(r"(?P<name>[A-Za-z0-9_][\w.-]*)=(?P<version>[^=\s]+)=(?P<build>[^=\s]+)", re.ASCII)
_LISTED = re.compile(r"(?P<name>[A-Za-z0-9_][\w.-]*) +(?P<version>\S+) +(?P<build>\S+)(?: +\S+)?", re.ASCII)
_OF_PIP = frozenset({"pypi_0", "<pip>"})
"""What stands in the place of a build where pip has installed a package."""

_DEFAULT = "default"
"""The environment of pixi that is meant where none is named."""


class _Package(NamedTuple):
    """What a lock has of a package.

    Attributes:
        name: its name where it is from.
        version: its version.
        build: its build, of a package of conda; None where that is not told.
        conda: whether it is a package of conda, and no wheel.
    """

    name: str
    version: str
    build: str | None
    conda: bool


def packages_in(path: Path, platform: str) -> tuple[CondaRecord, ...]:
    """The packages of conda that a lock of another tool has for a platform, each with its name, version and build.

    Without those of which it has several, as different environments do.

    Args:
        path: the file, which :func:`kgen.actions.foreign.versions_in` has read before.
        platform: the platform, as a conda subdir.

    Returns:
        The packages; () of a lock that is of no packages of conda.
    """
    text = files.read_text(path, files.LARGE)
    signed = (pattern for pattern, sign in SIGNS.items() if sign.search(text))
    named = (pattern for pattern in _FORMS if fnmatch.fnmatchcase(path.name, pattern))
    pattern = next(itertools.chain(signed, named), None)
    if pattern is None:
        return ()
    found: dict[str, set[_Package]] = {}
    for one in _FORMS[pattern](text, platform):
        if one.build is not None:
            found.setdefault(one.name, set()).add(one)
    only = (next(iter(several)) for several in found.values() if len(several) == 1)
    return tuple({"name": one.name, "version": one.version, "build": one.build} for one in only)


def _package_at(address: str) -> _Package | None:
    """The package of conda that is at an address."""
    named = _FILE.search(address)
    return None if named is None else _Package(named["name"], named["version"], named["build"], conda=True)


def _in_conda_lock(text: str, platform: str) -> Iterator[_Package]:
    return _in_rows(_yaml(text)["package"], platform)


def _in_rows(rows: Any, platform: str) -> Iterator[_Package]:  # noqa: ANN401 - whatever a file holds
    for row in rows:
        if row["platform"] == platform:
            conda = row["manager"] == "conda"
            there = _package_at(str(row.get("url", ""))) if conda else None
            yield _Package(row["name"], str(row["version"]), None if there is None else there.build, conda)


def _in_pixi(text: str, platform: str) -> Iterator[_Package]:
    """Those of the default environment, and what only others have."""
    data = _yaml(text)
    if "packages" not in data and "package" in data:  # before version 4 the form was that of conda-lock
        yield from _in_rows(data["package"], platform)
        return
    wheels = {one.get("pypi", one.get("url")): one for one in data["packages"] if one.get("kind", "pypi") == "pypi"}
    environments = data["environments"]
    # since version 7 a platform may have a name of its own, and several may be of one kind
    named = [one["name"] for one in data.get("platforms", ()) if one.get("subdir", one["name"]) == platform]
    usual: set[str] = set()
    for environment in sorted(environments, key=lambda name: name != _DEFAULT):
        packages = environments[environment]["packages"]
        for one in itertools.chain.from_iterable(packages.get(name, ()) for name in named or [platform]):
            wheel = wheels.get(one["pypi"], {}) if "pypi" in one else {}
            found = (
                _Package(str(wheel["name"]), str(wheel["version"]), None, conda=False)
                if "version" in wheel  # a folder has none
                else _package_at(one.get("conda", ""))
            )
            if found is None or (environment != _DEFAULT and canonical_name(found.name) in usual):
                continue
            if environment == _DEFAULT:
                usual.add(canonical_name(found.name))
            yield found


def _in_explicit(text: str, platform: str) -> Iterator[_Package]:
    """The URLs of `conda list --explicit` and `conda-lock render`, and the wheels that the latter has as comments."""
    for line in text.splitlines():
        address = line.strip()
        wheel = re.match(r"# pip (?P<name>[^\s@]+) @ \S*/[^/\s-]+-(?P<version>[^-/\s]+)-[^/\s]*\.whl", address)
        if wheel is not None:
            yield _Package(wheel["name"], wheel["version"], None, conda=False)
        elif address.partition("#")[0].rpartition("/")[0].rpartition("/")[2] in {platform, "noarch"}:
            found = _package_at(address)
            if found is not None:
                yield found


def _in_list(text: str, platform: str) -> Iterator[_Package]:
    """The rows of `conda list --export`, and those of `conda list` itself."""
    named = re.search(r"^# platform: *(\S+) *$", text, re.MULTILINE)
    if named is not None and named[1] not in {platform, "noarch"}:
        return
    for line in text.splitlines():
        row = _EXPORTED.fullmatch(line.strip()) or _LISTED.fullmatch(line.strip())
        if row is not None:
            wheel = row["build"] in _OF_PIP
            yield _Package(row["name"], row["version"], None if wheel else row["build"], conda=not wheel)


def _versions(
    form: Callable[[str, str], Iterator[_Package]], text: str, platform: str, matrix: CompatibilityMatrix
) -> Iterator[tuple[str, str]]:
    """Each package of a form as the projects of the index that it is, with its version."""
    names = Names.of(matrix)
    for one in form(text, platform):
        for project in sorted(names.projects(one.name)) if one.conda else (one.name,):
            yield project, one.version


def _yaml(text: str) -> Any:  # noqa: ANN401 - whatever it holds
    import yaml  # noqa: PLC0415 - a lock of another tool is read once

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


_FORMS: Mapping[str, Callable[[str, str], Iterator[_Package]]] = {
    "*conda-lock.yml": _in_conda_lock,
    "pixi.lock": _in_pixi,
    "conda-*.lock": _in_explicit,
    "*explicit.txt": _in_explicit,
    "conda-list*.txt": _in_list,
}

IMPORTS: Mapping[str, Callable[[str, str, CompatibilityMatrix], Iterator[tuple[str, str]]]] = {
    pattern: partial(_versions, form) for pattern, form in _FORMS.items()
}
"""See :class:`kgen.formats.interface.Importer`."""

SIGNS: Mapping[str, re.Pattern[str]] = {
    "*explicit.txt": re.compile(r"^@EXPLICIT[ \t\r]*$", re.MULTILINE),
    "conda-list*.txt": re.compile(rf"^(?:# packages in environment at .*|{_EXPORTED.pattern}[ \t\r]*)$", re.MULTILINE),
}
"""See :func:`kgen.formats.interface.signs`."""
