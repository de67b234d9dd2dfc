"""Which package of an environment needs which, from the metadata of the installed packages, offline."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement

from kgen import files, host, lockfiles
from kgen.actions import sync
from kgen.errors import KgenError, NotSyncedError, UsageError
from kgen.formats import environment as environments
from kgen.formats import interface
from kgen.formats.environment import METADATA, Source
from kgen.model import format as formats
from kgen.model.grammar import is_line, shown
from kgen.model.requirement import canonical_name
from kgen.tables import nearest


class Need(NamedTuple):
    """A package's requirement on another.

    Attributes:
        name: the other package.
        extras: the requested extras.
        range: the required versions; empty for any.
    """

    name: str
    extras: frozenset[str] = frozenset()
    range: str = ""


class Tree(NamedTuple):
    """The packages of an environment.

    Attributes:
        environment: the environment's name on disk.
        versions: the version of each package.
        needs: each package's requirements on other installed packages, with the extras that others request of it.
    """

    environment: str
    versions: Mapping[str, str]
    needs: Mapping[str, Sequence[Need]]

    @property
    def needed_by(self) -> Mapping[str, Sequence[Need]]:
        """The packages that need each package, with their ranges."""
        found: dict[str, list[Need]] = {name: [] for name in self.versions}
        for name, needs in self.needs.items():
            for need in needs:
                found[need.name].append(Need(name, need.extras, need.range))
        return found

    @property
    def roots(self) -> tuple[str, ...]:
        """The packages that no other needs, and one package of each circle that nothing else leads into."""
        roots = [name for name, by in self.needed_by.items() if not by]
        reached: set[str] = set()
        for name in (*roots, *sorted(self.versions)):
            if name not in reached and name not in roots:
                roots.append(name)
            reached |= self._below(name)
        return tuple(sorted(roots))

    def _below(self, name: str) -> set[str]:
        found, waiting = {name}, [name]
        while waiting:
            new = {need.name for need in self.needs[waiting.pop()]} - found
            found |= new
            waiting += new
        return found


def tree(root: Path, name: str, envs: str | None = None) -> Tree:
    """The packages of an environment on disk, and their requirements on each other.

    Args:
        root: the project's folder.
        name: the environment.
        envs: the folder of the environments; None for the settings' folder.

    Raises:
        UsageError: there is no such environment.
        SettingsError: its lock cannot be read.
        OutsideError: the environment on disk is not as locked, or a package's metadata cannot be read.
    """
    source = sync.find(root, name, envs)
    if not environments.is_whole(source):
        raise NotSyncedError(
            f"{source.name} is not on disk as locked, and only the packages themselves say what they need",
            hints=[f"kgen sync {source.name}"],
        )
    return _read(source)


def holding(root: Path, package: str) -> str | None:
    """The first environment whose lock has a package; None if none has it, or no lock can be read.

    Args:
        root: the project's folder.
        package: the package's name in any spelling.
    """
    name = canonical_name(package)
    for one in lockfiles.environments(root):
        with contextlib.suppress(KgenError):
            lock = interface.read(
                formats.default(), lockfiles.lock_of(one, formats.default(), host.subdir()), host.subdir()
            )
            if any(canonical_name(file.name) == name for file in lock.files):
                return one.name
    return None


def needing(root: Path, package: str) -> str | None:
    """The command that shows what needs a package; None if no lock has it.

    Args:
        root: the project's folder.
        package: the package's name in any spelling.
    """
    holder = holding(root, package)
    if holder is None:
        return None
    return shlex.join(["kgen", "tree", holder, "--invert", "--package", package]) + "   # what needs it"


def require(found: Tree, package: str) -> str:
    """The normalised name of a package in an environment.

    Raises:
        UsageError: the environment does not have it.
    """
    name = canonical_name(package)
    if name in found.versions:
        return name
    near = nearest(name, found.versions)
    raise UsageError(
        f"{found.environment} has no package `{shown(package)}`",
        hints=[f"did you mean `{near}`?" if near else f"kgen list {found.environment}"],
    )


def _read(source: Source) -> Tree:
    said = packages(source)
    return Tree(source.name, said.versions, _needs(said))


class Packages(NamedTuple):
    """The metadata of an environment's packages.

    Attributes:
        versions: the version of each package.
        required: all requirements of each package, with and without markers.
        markers: the values of markers, which decide which of these count.
    """

    versions: Mapping[str, str]
    required: Mapping[str, Sequence[Requirement]]
    markers: Mapping[str, str]

    def active(self) -> Mapping[str, Sequence[Requirement]]:
        """The requirements of each package that count, with all extras that other packages request."""
        extras: dict[str, set[str]] = {name: set() for name in self.versions}
        found: dict[str, list[Requirement]] = {}
        waiting = list(self.versions)
        while waiting:
            name = waiting.pop()
            found[name] = [
                one
                for one in self.required[name]
                if one.marker is None
                or any(one.marker.evaluate({**self.markers, "extra": extra}) for extra in ("", *extras[name]))
            ]
            for one in found[name]:
                other = canonical_name(one.name)
                if other in extras and not one.extras <= extras[other]:
                    extras[other] |= one.extras
                    waiting.append(other)
        return found


def packages(source: Source) -> Packages:
    """The metadata of the packages of an environment on disk.

    Raises:
        OutsideError: a package's metadata cannot be read.
        SettingsError: its lock cannot be read.
    """
    lock = interface.read(source.form, source.lock, host.subdir())
    site = environments.site_packages(source.prefix)
    versions: dict[str, str] = {}
    required: dict[str, list[Requirement]] = {}
    for folder in sorted(site.glob(f"*{METADATA}")) if site is not None else ():
        try:
            headers = HeaderParser().parsestr(files.read_text(folder / "METADATA", files.LARGE))
        except OSError as error:
            raise files.unreadable(folder / "METADATA", error) from error
        named, version = headers["Name"], headers["Version"]
        if isinstance(named, str) and isinstance(version, str) and is_line(named) and is_line(version):
            name = canonical_name(named)
            versions[name] = version
            required[name] = list(requirements(headers.get_all("Requires-Dist") or []))
    return Packages(versions, required, markers_of(lock.python))


def markers_of(python: str) -> Mapping[str, str]:
    """The values of markers on this machine, for an environment with this Python minor."""
    values = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    return {key: str(value) for key, value in values.items()}


def requirements(texts: Sequence[object]) -> Iterator[Requirement]:
    """The valid requirements in these texts; installers ignore invalid ones too."""
    for text in texts:
        try:
            yield Requirement(str(text))
        except InvalidRequirement:
            continue


def _needs(said: Packages) -> dict[str, tuple[Need, ...]]:
    """Each package's requirements on other installed packages."""
    found = {}
    for name, needed in said.active().items():
        needs = {
            other: Need(other, frozenset(one.extras), str(one.specifier))
            for one in needed
            if (other := canonical_name(one.name)) in said.versions
        }
        found[name] = tuple(needs[other] for other in sorted(needs))
    return found
