"""Reads uv's explanation of why there is no solution: which packages, which bounds. Decides nothing."""

from __future__ import annotations

import re

from packaging.version import Version

from kgen.model.ranges import VersionRange
from kgen.model.requirement import canonical_name

_ABSENT = re.compile(
    r"there (?:is|are) no versions? of ([A-Za-z0-9][A-Za-z0-9._-]*)(?![A-Za-z0-9._\[=<>!~-])|"
    r"([A-Za-z0-9._-]+) was not found in the package registry"
)
"""What uv says about a package that the index does not have."""

_UNMATCHED = re.compile(r"there (?:is|are) no versions? of ([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?[=<>!~]")
"""What uv says about a bound that no version on the index fulfils."""

_DEPENDS = re.compile(r"depends on (?P<name>[a-z0-9-]+)(?P<bound>[=<>!~][^ ;,)]*)")

_CLAUSE = (
    r"(?P<who>[a-z0-9][a-z0-9._-]*)(?P<of>[^\s;]*) depends? on (?:one of: )?(?P<wanted>(?:{one}(?: +|(?=[;.)]|$)))+)"
)
_BOUND = r"{name}(?![A-Za-z0-9_.-])(?:\[[^\]]*\])?(?:\{{[^}}]*\}})?([=<>!~][^\s;]*)?"
"""How uv says what a package requires: `vllm>=0.33.0 depends on torch{{sys_platform == 'linux'}}==2.14.0`."""

_HEAD = re.compile("[a-z0-9._-]*")

_NO_WHEEL = re.compile(
    r"(?<![\w.<>=!~\[\]-])([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\[[^\]\s]*\])?(?:[<>=!~]+[^\s]+)?"
    r" (?:has|have) no (?:usable )?wheels"
)
"""What uv says about a package that it has only source distributions, or wheels for others, of."""

_NONE_USABLE = re.compile(r"\ball versions of ([A-Za-z0-9][A-Za-z0-9._-]*) have no (?:usable )?wheels")

_SOURCE_ONLY = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)(?:[^\s;]*[<=]=(?P<newest>[^\s;,]+))? (?:has|have) no usable wheels"
)
"""What uv says about releases of which there are source distributions alone, the newest of them last: `all of: a<=0.2.2
a==0.3.2 have no usable wheels`. Of a release that has wheels for others it names the tag that is wanting."""

_YANKED = re.compile(r"\b([a-z0-9][a-z0-9-]*)==([0-9][^\s;,]*) was yanked")
"""What uv says about a release that its maker has withdrawn: `t5x==0.0.0 was yanked (reason: dummy version)`."""


def absent(reason: str) -> list[str]:
    """The packages that no index has, normalised."""
    return [canonical_name(name) for names in _ABSENT.findall(reason) for name in names if name]


def unmatched(reason: str) -> list[str]:
    """The packages that are on the index, in no version that is asked for, normalised."""
    return list(dict.fromkeys(map(canonical_name, _UNMATCHED.findall(reason))))


def without_wheels(reason: str) -> list[str]:
    """The packages that have no wheel for the target, normalised, each once."""
    return list(dict.fromkeys(canonical_name(name) for name in _NO_WHEEL.findall(reason)))


def nowhere_usable(reason: str) -> list[str]:
    """The packages of which no version at all has a wheel for the target, normalised."""
    return [canonical_name(name) for name in _NONE_USABLE.findall(reason)]


def source_only(reason: str) -> dict[str, str | None]:
    """The packages of which there are only source distributions, normalised, and the newest of these if uv says it."""
    return {canonical_name(one["name"]): one["newest"] for one in _SOURCE_ONLY.finditer(reason)}


def yanked(reason: str) -> list[tuple[str, str]]:
    """The releases that uv leaves out because their makers withdrew them: package and version, each once."""
    return list(dict.fromkeys(_YANKED.findall(reason)))


def bounds(reason: str) -> list[tuple[str, str]]:
    """Every package that something depends on with a bound, and the bound, each pair once."""
    return list(dict.fromkeys(_DEPENDS.findall(reason)))


def depended_on(name: str, reason: str) -> list[tuple[str, VersionRange]]:
    """Which packages require which versions of a package, by uv's explanation.

    Empty where something requires it without a bound in all its releases that uv names: any version might do for that.

    Args:
        name: the package, normalised.
        reason: uv's words.
    """
    one = _BOUND.format(name=re.escape(name))
    found: dict[str, list[tuple[str, VersionRange]]] = {}
    for clause in re.finditer(_CLAUSE.format(one=one.replace("([=", "(?:[=")), reason):
        ranges = found.setdefault(clause["who"], [])
        for bound in re.findall(one, clause["wanted"]):
            try:
                wanted = VersionRange(bound.rstrip(",."))
            except ValueError:
                return []
            if wanted:
                ranges.append((clause["who"] + clause["of"], wanted))
    return [] if not all(found.values()) else [one for ranges in found.values() for one in ranges]


def excluding(name: str, version: Version, reason: str) -> list[str]:
    """The packages that require other versions of a package in every release that uv's explanation names of them.

    Args:
        name: the package, normalised.
        version: the version that they are to exclude.
        reason: uv's words.
    """
    ranges = depended_on(name, reason)
    owners = dict.fromkeys(name for who, _ in ranges for name in _HEAD.findall(who)[:1])
    return [] if any(version in bound for _, bound in ranges) else list(owners)
