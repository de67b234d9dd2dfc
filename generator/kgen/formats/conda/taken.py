"""Takes the versions that the lock of another tool has of projects, as many of them as fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from kgen.formats.conda import judge, rattlertool
from kgen.formats.conda.rattlertool import CondaRecord, Query
from kgen.formats.conda.target import MatchSpec, Target
from kgen.model.causes import Origin


class TakenVersions(NamedTuple):
    """What the lock of another tool has.

    Attributes:
        source: the name of its file.
        of: platform -> project of the Python index -> version.
    """

    source: str = ""
    of: Mapping[str, Mapping[str, str]] = MappingProxyType({})


Solver = Callable[[Query], object]
"""Gives the packages of a query, or why there are none."""


def wished(asked: Target, records: Sequence[CondaRecord], versions: Mapping[str, str]) -> dict[str, str]:
    """Package of conda -> the version that is to be taken, of the packages for Python that come in.

    Args:
        asked: what is asked; what an older lock has of it counts for more.
        records: what the solver chose without them.
        versions: project -> version; what of it is no version of conda's has no say.
    """
    held = {one["name"] for one in asked.locked}
    packages = judge.packages_of(asked.names, {one["name"]: one for one in records})
    return {
        package: version
        for project, package in packages.items()
        if package not in held
        # conda's builds have no local label
        and (version := versions.get(project, "").partition("+")[0])
        and rattlertool.is_version(version)
    }


def with_most(
    asked: Target, records: Sequence[CondaRecord], wishes: Mapping[str, str], solve: Solver
) -> Sequence[CondaRecord]:
    """The packages with as many of the versions as fit: what contradicts the others is left out, the last first.

    Args:
        asked: what is asked.
        records: what the solver chose without them.
        wishes: package -> version.
        solve: the solver.
    """
    has = {one["name"]: one["version"] for one in records}
    if all(_alike(has[name], version) for name, version in wishes.items()):
        return records
    # frameworks first: what they need goes with them
    first = {name for name, _ in asked.carriers}
    specs = tuple(
        MatchSpec(f"{name} =={version}", Origin.LOCK, asked=False)
        for name, version in sorted(wishes.items(), key=lambda one: (one[0] not in first, one[0]))
    )
    best: Sequence[CondaRecord] = records

    def taking(kept: tuple[MatchSpec, ...], more: tuple[MatchSpec, ...]) -> tuple[MatchSpec, ...]:
        nonlocal best
        both = asked._replace(constraints=(*asked.constraints, *kept, *more))
        for preferring in (True, False) if asked.preferences else (False,):
            found = solve(both.query(preferring=preferring))
            if isinstance(found, list):
                best = found
                return (*kept, *more)
        if len(more) == 1:
            return kept
        middle = len(more) // 2
        return taking(taking(kept, more[:middle]), more[middle:])

    taking((), specs)
    return best


def others_than(records: Sequence[CondaRecord], wishes: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """How many of the versions were taken, and what came in otherwise, in words."""
    has = {one["name"]: one["version"] for one in records}
    there = {name: version for name, version in wishes.items() if name in has}
    other = [
        f"{name} {has[name]} (it has {version})" for name, version in there.items() if not _alike(has[name], version)
    ]
    return len(there) - len(other), tuple(other)


def _alike(version: str, other: str) -> bool:
    return not rattlertool.is_older(version, other) and not rattlertool.is_older(other, version)
