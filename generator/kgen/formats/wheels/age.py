"""Finds dependencies that the user names and that a lock has in an older version than their newest, with the reason."""

from __future__ import annotations

import datetime
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from kgen import uvsettings
from kgen.errors import KgenError
from kgen.formats.wheels.lock import parsed, supported_tags
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution

if TYPE_CHECKING:
    from kgen.index import Index, IndexFile


_AT_A_TIME = 8

_RECENT = datetime.timedelta(days=548)
"""A release that is older than the newest one by more than this is an answer that few users would accept."""


class Aged(NamedTuple):
    """A package that the user named, in an older version than its newest.

    Attributes:
        name: its normalised name.
        locked: the locked version.
        newest: the newest release that the request allows.
        reason: why that release itself does not work for the target; empty if it would.
        built: whether it has no wheel at all, and could be built from source.
        following: why the first release after the locked one does not work for the target; empty if it would.
        glibc: the oldest glibc for which the newest release, or else the first after the locked one, has a wheel; None
            if glibc is not the obstacle.
    """

    name: str
    locked: Version
    newest: Version
    reason: str
    built: bool
    following: str = ""
    glibc: Version | None = None


class _Obstacle(NamedTuple):
    """Why no file of a release works for a target.

    Attributes:
        text: the reason; empty if a file works.
        built: whether there are only source distributions.
        glibc: the oldest glibc for which it has a wheel, if glibc is the obstacle.
    """

    text: str = ""
    built: bool = False
    glibc: Version | None = None


class Releases:
    """The releases of projects on indexes, each queried once; safe to use from several threads.

    Args:
        open_index: returns the indexes; called when the first project is queried.

    Attributes:
        pages: project -> a digest of its page; empty if no index has the project.
        complete: whether every index has answered.
    """

    def __init__(self, open_index: Callable[[], Index]) -> None:
        self._open = open_index
        self._guard = threading.Lock()
        self._index: Index | None = None
        self._found: dict[str, Mapping[Version, Sequence[IndexFile]]] = {}
        self.pages: dict[str, str] = {}
        self.complete = True

    def ask(self, names: Sequence[str]) -> None:
        """Query several projects concurrently."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            self._found.update(zip(names, pool.map(self._read, names), strict=True))

    def of(self, name: str) -> Mapping[Version, Sequence[IndexFile]]:
        """Version -> its files; {} if no index has the project, for example because it comes from a folder."""
        if name not in self._found:
            self.ask([name])
        return self._found[name]

    def _read(self, name: str) -> Mapping[Version, Sequence[IndexFile]]:
        found: dict[Version, list[IndexFile]] = {}
        try:
            with self._guard:
                self._index = index = self._index or self._open()
            listed = index.project(name)
            self.pages[name] = "" if listed is None else listed.digest
            files = () if listed is None else listed.files
        except KgenError:  # what is locked is locked: this is about what might be said of it besides
            self.complete = False
            return {}
        for file in files:
            try:
                found.setdefault(Version(file.version), []).append(file)
            except InvalidVersion:
                continue
        return found


def aged(
    matrix: CompatibilityMatrix, resolution: Resolution, versions: Mapping[str, Version], releases: Releases
) -> Iterator[Aged]:
    """The packages that the user names and that are older than their newest.

    Args:
        matrix: the facts.
        resolution: the solver's decision, which itself explains why frameworks are not newer.
        versions: package -> the locked version.
        releases: the releases on the indexes.
    """
    request = resolution.request
    held = {wish.name: wish for wish in request.held}
    for name in dict.fromkeys(wish.name for wish in matrix.applying(request) if wish.url is None):
        locked = versions.get(name)
        kept = name in held and locked is not None and locked in held[name].specifier
        if locked is None or kept or name in resolution.packages:
            continue
        allowed = _allowed(request, name, releases)
        newest = max(allowed, default=None)
        early = locked.is_prerelease and not _asks_early(request, name) and not _is_early(newest)
        if newest is not None and (early or newest > Version(locked.public)):
            companion = _companion(matrix, resolution, name, newest)
            of_newest = _Obstacle(companion) if companion else _obstacle(matrix, request, newest, allowed[newest])
            after = min((one for one in allowed if one > Version(locked.public)), default=newest)
            of_next = of_newest if after == newest else _obstacle(matrix, request, after, allowed[after])
            glibc = of_newest.glibc or of_next.glibc
            yield Aged(name, locked, newest, of_newest.text, of_newest.built, of_next.text, glibc)


def floor_of_recent(request: EnvironmentRequest, one: Aged, releases: Releases) -> Version | None:
    """The first release that is not years older than the newest; None where the locked one is none such itself."""
    published = {
        version: min(days)
        for version, files in _allowed(request, one.name, releases).items()
        if (days := [file.uploaded for file in files if file.uploaded is not None])
    }
    if one.newest not in published:
        return None
    since = published[one.newest] - _RECENT
    recent = [version for version, day in published.items() if day >= since and version > Version(one.locked.public)]
    was = published.get(Version(one.locked.public))
    # a pre-release, which nobody asked for, stands among none that may be had
    return min(recent, default=None) if was is None or was < since else None


def _companion(matrix: CompatibilityMatrix, resolution: Resolution, name: str, version: Version) -> str:
    """Which framework of the environment a release does not belong to; empty if to all, or that is not known."""
    for row in matrix.companions:
        has = resolution.packages.get(row.framework)
        if row.project == name and has is not None:
            fitting = [of_companion for of_framework, of_companion in row.releases if has in of_framework]
            if fitting and not any(version in one for one in fitting):
                return f"{version} is for another release of {row.framework} than {has}"
    return ""


def unasked_prereleases(resolution: Resolution, versions: Mapping[str, Version], releases: Releases) -> Iterator[str]:
    """What the user names and is locked as a pre-release, where no word of theirs is about one, and why it is."""
    request = resolution.request
    for wish in (one for one in request.dependencies if one.url is None and one.name not in resolution.packages):
        version = versions.get(wish.name)
        if version is None or not version.is_prerelease or _asks_early(request, wish.name):
            continue
        early = all(one.is_prerelease for one in releases.of(wish.name))
        why = "as all of its releases are" if early else "which nothing asks for"
        yield f"{wish.name} {version} is a pre-release, {why}"


def _asks_early(request: EnvironmentRequest, name: str) -> bool:
    """Whether a word of the user's about a package is about a pre-release of it, or uv's settings ask for all."""
    if "prerelease: allow" in request.uv:
        return True
    bounds = (bound for wish in request.dependencies if wish.name == name for bound in wish.specifier)
    return any(Version(bound.version.removesuffix(".*")).is_prerelease for bound in bounds)


def _allowed(request: EnvironmentRequest, name: str, releases: Releases) -> Mapping[Version, Sequence[IndexFile]]:
    """The releases that what is asked for does not exclude; pre-releases only of a project that has nothing else."""
    every = releases.of(name)
    cutoff = uvsettings.days_of_packages(request.uv).get(name, request.cutoff)
    stable = {version: files for version, files in every.items() if not version.is_prerelease}
    return {
        version: files
        for version, files in (stable or every).items()
        if _is_allowed(request, name, version, files, cutoff)
    }


def _is_early(version: Version | None) -> bool:
    return version is not None and version.is_prerelease


def _is_allowed(
    request: EnvironmentRequest, name: str, version: Version, files: Sequence[IndexFile], cutoff: datetime.date | None
) -> bool:
    """Whether what is asked for does not exclude a release."""
    days = [file.uploaded for file in files if file.uploaded is not None]
    return (
        not all(file.yanked is not None for file in files)
        and is_within_bounds(request, name, version)
        and (cutoff is None or not days or min(days) <= cutoff)
    )


def is_within_bounds(request: EnvironmentRequest, name: str, version: Version) -> bool:
    """Whether the bounds of the user allow a version of a project."""
    wishes = (*request.dependencies, *request.requirements, *request.constraints)
    return all(version in wish.specifier for wish in wishes if wish.name == name)


def _obstacle(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, version: Version, files: Sequence[IndexFile]
) -> _Obstacle:
    """Why no file of a release fits the target."""
    wheels = [file for file in files if file.filename.endswith(".whl")]
    fitting = [file for file in files if _takes_python(file, request.python)]
    if not fitting:
        return _Obstacle(f"{version} requires Python {files[0].requires_python}")
    if not wheels:
        return _Obstacle(f"{version} has no wheel", built=True)
    if _fits(matrix, request, wheels):
        return _Obstacle()
    labels = sorted({file.variant for file in wheels if file.variant})
    if labels and all(file.variant for file in wheels):
        return _Obstacle(
            f"{version} has nothing but wheel variants ({', '.join(labels)}), which uv writes into no lock"
        )
    elsewhere = [row.version for row in matrix.pythons if fits_on(matrix, request, wheels, row.version)]
    if elsewhere:
        return _Obstacle(f"{version} has no wheel for Python {request.python}, only for {', '.join(elsewhere)}")
    return _of_target(matrix, request, version, wheels)


def _of_target(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, version: Version, wheels: Sequence[IndexFile]
) -> _Obstacle:
    """That no wheel is for the platform with its glibc, and the first newer glibc that one is for."""
    platform = matrix.platforms[request.platform]
    floor = request.glibc or platform.glibc
    if floor is None:
        return _Obstacle(f"{version} has no wheel for {request.platform}")
    newer = (one for one in platform.uv_glibc if one > floor and _fits(matrix, request._replace(glibc=one), wheels))
    first = next(newer, None)
    instead = "" if first is None else f", only for {first}"
    return _Obstacle(f"{version} has no wheel for {request.platform} with glibc {floor}{instead}", glibc=first)


def _takes_python(file: IndexFile, python: str) -> bool:
    return _holds(file.requires_python, python)


@functools.lru_cache(maxsize=1024)
def _holds(requires_python: str, python: str) -> bool:
    try:
        return Version(f"{python}.99") in SpecifierSet(requires_python)
    except InvalidSpecifier:
        return True


def _fits(matrix: CompatibilityMatrix, request: EnvironmentRequest, files: Sequence[IndexFile]) -> bool:
    return fits_on(matrix, request, files, request.python)


def fits_on(matrix: CompatibilityMatrix, request: EnvironmentRequest, files: Sequence[IndexFile], python: str) -> bool:
    """Whether a wheel among files can be installed on a Python, on the platform of a request."""
    supported = supported_tags(matrix.platforms[request.platform], python, request.glibc)
    wheels = (parsed(file.filename) for file in files if _takes_python(file, python))
    return any(one is not None and not supported.keys().isdisjoint(one[3]) for one in wheels)
