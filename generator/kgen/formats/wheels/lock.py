"""A lock of one environment on one platform, before it is text."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from packaging import tags
from packaging.pylock import Package, PackageWheel
from packaging.utils import BuildTag, InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from kgen.explain.reasons import reason_data, warning_text
from kgen.formats.outcome import Summary
from kgen.matrix.records import Platform
from kgen.model.direct import DYNAMIC
from kgen.model.lockfile import LockedTree
from kgen.model.resolution import Resolution

_LEGACY_MANYLINUX = {Version("2.17"): "manylinux2014", Version("2.12"): "manylinux2010", Version("2.5"): "manylinux1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedWheel:
    """The one file of a package that this environment installs: its wheel, or what one is built from.

    Attributes:
        name: the project's normalised name.
        version: its version, with the local label if it has one.
        filename: the file's name.
        url: where it was found; a `file://` URL if it came from a folder.
        sha256: its digest.
        size: its size in bytes; None where the index would not tell.
        requires_python: what the wheel says about Python.
        index: the framework's own index that it is from; None if from one that uv is configured for.
        licence: the licence that it declares; None where it declares none, or that could not be had.
        direct: whether it is from the place that the request names, and from no index.
        path: where it is, from the folder of the lock; None unless it lies in the project's repository.
    """

    name: str
    version: Version
    filename: str
    url: str
    sha256: str
    size: int | None
    requires_python: str | None
    index: str | None = None
    licence: str | None = None
    direct: bool = False
    path: str | None = None

    @property
    def is_source(self) -> bool:
        """Whether it is a source distribution."""
        return not self.filename.endswith(".whl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A closed environment: what was decided and every file of it, sorted by name.

    Attributes:
        resolution: what was decided.
        wheels: every file that is installed.
        build: what those of them that are no wheels are built with, and the trees.
        trees: what is built from source trees and installed besides, sorted by name.
    """

    resolution: Resolution
    wheels: tuple[LockedWheel, ...]
    build: tuple[LockedWheel, ...] = ()
    trees: tuple[LockedTree, ...] = ()

    @property
    def summary(self) -> Summary:
        """What kgen prints of it."""
        decided = self.resolution
        own = [name for name in decided.packages if name not in decided.parts]
        return Summary(
            frameworks={name: str(decided.packages[name]) for name in (*own[1:], *own[:1])},
            runtime=decided.runtime,
            cudnn=None if decided.cudnn is None else str(decided.cudnn),
            driver=None if decided.driver is None else str(decided.driver),
            packages={name: str(version) for name, version in decided.packages.items()},
            libraries={name: str(version) for name, version in decided.libraries.items()},
            versions={
                **{name: str(version) for name, version in self.versions.items()},
                **{tree.name: tree.version or DYNAMIC for tree in self.trees},
            },
            licences=self.licences,
            local=(
                *(wheel.filename for wheel in self.wheels if wheel.path is None and wheel.url.startswith("file:")),
                *(tree.name for tree in self.trees if tree.is_local),
            ),
            warnings=tuple(warning_text(one) for one in decided.warnings),
            why=tuple(reason_data(one, decided.request.cutoff_flag) for one in decided.why),
            solved=decided.request,
        )

    @property
    def size(self) -> int | None:
        """Bytes to download; None if the size of a file is not known."""
        sizes = [wheel.size for wheel in self.wheels]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def versions(self) -> Mapping[str, Version]:
        """Package -> version."""
        return {wheel.name: wheel.version for wheel in self.wheels}

    @property
    def licences(self) -> Mapping[str, str]:
        """Package -> the licence that it declares, of those that declare one."""
        return {wheel.name: wheel.licence for wheel in self.wheels if wheel.licence is not None}


def supported_tags(
    platform: Platform, python: str, glibc: Version | None, macos: Version | None = None
) -> Mapping[tags.Tag, int]:
    """The wheel tags that a target can install, each with its rank; the best has rank 0.

    Args:
        platform: the platform.
        python: the CPython minor.
        glibc: the oldest glibc of the target; None for that of the platform.
        macos: the oldest macOS, the same.
    """
    return _ranked(python, tuple(_platform_tags(platform, glibc, macos)))


@functools.lru_cache(maxsize=64)
def _ranked(python: str, platforms: tuple[str, ...]) -> Mapping[tags.Tag, int]:
    major, minor = (int(part) for part in python.split("."))
    ordered = [
        *tags.cpython_tags((major, minor), platforms=platforms),
        *tags.compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=platforms),
    ]
    return MappingProxyType({tag: rank for rank, tag in reversed(list(enumerate(ordered)))})


def _platform_tags(platform: Platform, glibc: Version | None, macos: Version | None) -> Sequence[str]:
    machine = platform.markers["platform_machine"].lower()
    floor = glibc or platform.glibc
    if floor is not None:
        names = []
        for minor in range(floor.minor, 4, -1):
            names.append(f"manylinux_{floor.major}_{minor}_{machine}")
            legacy = _LEGACY_MANYLINUX.get(Version(f"{floor.major}.{minor}"))
            names += [f"{legacy}_{machine}"] if legacy else []
        return [*names, f"linux_{machine}"]
    oldest = macos or platform.macos
    if oldest is not None:
        return list(tags.mac_platforms((oldest.major, oldest.minor), machine))
    return [f"win_{machine}"]


def has_wheel(filenames: Iterable[str], project: str, supported: Mapping[tags.Tag, int]) -> bool:
    """Whether one of these wheels is of a project, by its normalised name, and an installer on the target takes it."""
    named = (parsed(filename) for filename in filenames)
    return any(one is not None and one[0] == project and not supported.keys().isdisjoint(one[3]) for one in named)


@functools.lru_cache(maxsize=20_000)
def parsed(filename: str) -> tuple[str, Version, BuildTag, frozenset[tags.Tag]] | None:
    """The name, version, build and tags of a wheel; None of another file.

    Kept, as a project of thousands of files is asked for many targets.
    """
    try:
        return parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None


def best_wheel(package: Package, supported: Mapping[tags.Tag, int]) -> PackageWheel | None:
    """The wheel of a locked package that an installer on the target would take; None if none fits."""
    ranked = []
    for wheel in package.wheels or ():
        known = parsed(wheel.filename)
        if known is None:
            continue
        _, _, build, wheel_tags = known
        ranks = [supported[tag] for tag in wheel_tags if tag in supported]
        if ranks:
            # of equal tags the higher build number wins, and none is the lowest, as in the wheel specification
            ranked.append((-min(ranks), build, wheel))
    return max(ranked, key=lambda item: item[:2])[2] if ranked else None
