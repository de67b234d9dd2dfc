"""Requirements of wheels -> requirements of a row: those on packages in the matrix, for one platform and its extras."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from kgen.matrix.records import Platform
from kgen.model.ranges import spell
from kgen.refresh.wheel_facts import PARSING

_PYTHON = re.compile(r"\bpython_(full_)?version\b")


@functools.cache
def parse(text: str) -> Requirement:
    """A requirement of a wheel; safe in any thread. Do not modify it.

    Raises:
        ValueError: it is not one.
    """
    try:
        with PARSING:
            return Requirement(text)
    except InvalidRequirement:
        raise ValueError(f"`{text}` is not a requirement") from None


@functools.cache
def _marker(text: str) -> Marker:
    with PARSING:
        return Marker(text)


def conjuncts(marker: str) -> list[str]:
    """The parts of a marker that must all hold; a single part if they are alternatives."""
    parts, depth, start, quote = [], 0, 0, ""
    position = 0
    while position < len(marker):
        letter = marker[position]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif depth == 0 and marker.startswith(" or ", position):
            return [marker]
        elif depth == 0 and marker.startswith(" and ", position):
            parts.append(marker[start:position])
            position += 4
            start = position + 1
        position += 1
    return [*parts, marker[start:]]


def _kept(marker: Marker, platform: Platform, pythons: Collection[str], extras: Collection[str]) -> str | None:
    """The rest of a marker for a known target with any Python; None if it never holds."""
    left = []
    for part in conjuncts(str(marker)):
        inner = _marker(part)
        holds = {
            python: any(inner.evaluate(platform.marker_environment(python, extra)) for extra in ("", *extras))
            for python in pythons
        }
        if not any(holds.values()):
            return None
        if _PYTHON.search(part):
            left.append(part)
    return " and ".join(left)


def row_requirements(
    requires: Iterable[str],
    *,
    platform: Platform,
    pythons: Collection[str],
    extras: Collection[str],
    followed: Collection[str],
) -> Iterator[tuple[str, str]]:
    """Name and text of the requirements that hold on a platform with these extras, in the form of rows.

    Args:
        requires: the requirements in METADATA.
        platform: the target.
        pythons: its CPython minors.
        extras: the requested extras of the distribution.
        followed: the projects that matter.

    Raises:
        ValueError: one of them is not a requirement.
    """
    for text in requires:
        requirement = parse(text)
        name = canonicalize_name(requirement.name)
        if name not in followed:
            continue
        marker = ""
        if requirement.marker is not None:
            try:
                kept = _kept(requirement.marker, platform, pythons, extras)
            except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName) as error:
                raise ValueError(f"`{text}` has a marker that says nothing: {error}") from None
            if kept is None:
                continue
            marker = f"; {kept}" if kept else ""
        asked = f"[{','.join(sorted(map(canonicalize_name, requirement.extras)))}]" if requirement.extras else ""
        yield name, f"{name}{asked}{spell(requirement.specifier)}{marker}"


def brought_by(
    requires: Iterable[str], *, platform: Platform, pythons: Collection[str], extras: Collection[str]
) -> Iterator[str]:
    """The requirements that extras add on a platform, for any project, without their markers."""
    for text in requires:
        requirement = parse(text)
        marker = requirement.marker
        if marker is None or "extra" not in str(marker):
            continue
        if any(marker.evaluate(platform.marker_environment(python, extra)) for extra in extras for python in pythons):
            yield f"{canonicalize_name(requirement.name)}{requirement.specifier}"


def asked_extras(
    requires: Iterable[str], extras: Collection[str], among: Mapping[str, set[str]], *, target: Platform, python: str
) -> None:
    """Note extras that a distribution requests from others: `jax[cuda12]` requests `jax-cuda12-plugin[with-cuda]`."""
    for text in requires:
        requirement = parse(text)
        name = canonicalize_name(requirement.name)
        if name not in among or not requirement.extras:
            continue
        wanted = requirement.marker is None or any(
            requirement.marker.evaluate(target.marker_environment(python, extra)) for extra in ("", *extras)
        )
        if wanted:
            among[name].update(requirement.extras)
