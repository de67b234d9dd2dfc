"""Names of wheels -> the platforms and Pythons that they support."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from kgen.index import IndexFile
from kgen.matrix.records import Platform

_LEGACY = {"manylinux1": Version("2.5"), "manylinux2010": Version("2.12"), "manylinux2014": Version("2.17")}
"""PEP 600: the glibc that older names stand for."""

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(.+)|(manylinux1|manylinux2010|manylinux2014)_(.+)")
_MACOS = re.compile(r"macosx_\d+_\d+_(.+)")

Fit = dict[str, dict[str, Version | None]]
"""Platform -> CPython minor -> the glibc that its wheels need, None where glibc does not apply."""


class Target(NamedTuple):
    """A platform in the terms of wheel tags."""

    name: str
    system: str
    machine: str


def targets(platforms: Mapping[str, Platform]) -> tuple[Target, ...]:
    """The platforms in the terms of wheel tags."""
    return tuple(
        Target(name, platform.markers["sys_platform"], platform.markers["platform_machine"].lower())
        for name, platform in platforms.items()
    )


@functools.lru_cache(8192)
def platforms_of(tag: str, platforms: tuple[Target, ...]) -> Mapping[str, Version | None]:
    """The platforms of a wheel's platform tag, with the glibc that it needs there."""
    found: dict[str, Version | None] = {}
    for one in tag.split("."):
        if one == "any":
            return dict.fromkeys(target.name for target in platforms)
        linux, macos = _MANYLINUX.fullmatch(one), _MACOS.fullmatch(one)
        for name, system, machine in platforms:
            if system == "linux" and linux and machine == (linux[3] or linux[5]):
                glibc = _LEGACY[linux[4]] if linux[4] else Version(f"{linux[1]}.{linux[2]}")
                known = found.get(name)
                found[name] = glibc if known is None else min(known, glibc)
            elif (system == "darwin" and macos and macos[1] in {machine, "universal2"}) or (
                system == "win32" and one == f"win_{machine}"
            ):
                found[name] = None
    return found


@functools.lru_cache(8192)
def pythons_of(tags: tuple[str, str, str], requires_python: str, minors: tuple[str, ...]) -> tuple[str, ...]:
    """The CPython minors of a wheel's tag, among the known ones."""
    pythons, abis, _ = tags[0].split("."), set(tags[1].split(".")), tags[2]
    found = []
    for minor in minors:
        number = int(minor.partition(".")[2])
        exact = f"cp3{number}"
        fits = any(
            python == exact if python.startswith("cp") and "abi3" not in abis else _at_least(python, number)
            for python in pythons
        )
        if fits and abis & {exact, "abi3", "none", f"{exact}m"}:
            found.append(minor)
    return tuple(_allowed(requires_python, found))


def _at_least(python: str, minor: int) -> bool:
    match = re.fullmatch(r"(?:py|cp)3(\d*)", python)
    return match is not None and int(match[1] or 0) <= minor


def _allowed(requires: str, minors: Iterable[str]) -> list[str]:
    try:
        wanted = SpecifierSet(requires)
    except InvalidSpecifier:
        return list(minors)
    # a late patch release: `>=3.9.2` does not shut out 3.9
    return [minor for minor in minors if not requires or wanted.contains(f"{minor}.99", prereleases=True)]


def is_for_any_python(file: IndexFile) -> bool:
    """Whether a wheel supports every Python 3."""
    pythons, abis, _ = file.tags
    return abis == "none" and not pythons.startswith("cp")


def fit_of(files: Iterable[IndexFile], platforms: tuple[Target, ...], minors: tuple[str, ...]) -> Fit:
    """What the wheels of one release support; of several for one target, the lowest glibc counts. Do not modify it."""
    return _fit(frozenset((file.tags, file.requires_python) for file in files), platforms, minors)


@functools.lru_cache(8192)
def _fit(
    kinds: frozenset[tuple[tuple[str, str, str], str]], platforms: tuple[Target, ...], minors: tuple[str, ...]
) -> Fit:
    """The same, cached: most releases of a library have the same kinds of wheels."""
    found: Fit = {}
    for tags, requires_python in kinds:
        for platform, glibc in platforms_of(tags[2], platforms).items():
            serves = found.setdefault(platform, {})
            for minor in pythons_of(tags, requires_python, minors):
                known = serves.get(minor)
                serves[minor] = glibc if known is None or glibc is None else min(known, glibc)
    ordered = ((target.name, found.get(target.name, {})) for target in platforms)
    return {name: {minor: serves[minor] for minor in minors if minor in serves} for name, serves in ordered if serves}


def chosen(
    files: Iterable[IndexFile], platform: str, python: str, platforms: tuple[Target, ...], minors: tuple[str, ...]
) -> IndexFile | None:
    """The wheel of a release for one platform and Python; None if there is none."""
    fitting = [
        file
        for file in files
        if platform in platforms_of(file.tags[2], platforms)
        and python in pythons_of(file.tags, file.requires_python, minors)
    ]
    return min(fitting, key=lambda file: (file.tags[2] == "any", file.filename), default=None)


def glibc_text(serves: Mapping[str, Version | None]) -> str:
    """The glibc that a platform's wheels need, as a row has it: the highest that one of them needs, or empty."""
    needed = [glibc for glibc in serves.values() if glibc is not None]
    return str(max(needed)) if needed else ""
