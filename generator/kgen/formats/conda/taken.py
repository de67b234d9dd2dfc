"""Take the versions of another tool's lock for conda packages, as many as fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from kgen.formats.conda import judge, rattlertool
from kgen.formats.conda.rattlertool import CondaRecord, Query
from kgen.formats.conda.target import MatchSpec, Target
from kgen.model.causes import Origin


class TakenVersions(NamedTuple):
    """The versions of another tool's lock.

    Attributes:
        source: the name of its file.
        of: the version of each project of the Python index, by platform.
    """

    source: str = ""
    of: Mapping[str, Mapping[str, str]] = MappingProxyType({})


Solver = Callable[[Query], object]
"""A function that returns the packages of a query, or why there are none."""


def wished(asked: Target, records: Sequence[CondaRecord], versions: Mapping[str, str]) -> dict[str, str]:
    """The version to take for each conda package that is a Python package.

    Args:
        asked: the target. Versions of an older kgen lock win over those of the other tool.
        records: the packages that the solver chose without these versions.
        versions: the version of each project; those that are no conda versions are ignored.
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
    """The packages with as many of the versions as fit. Of versions that exclude each other, the first one stays.

    Args:
        asked: the target.
        records: the packages that the solver chose without these versions.
        wishes: the version to take for each package.
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
    """How many of the versions were taken, and the packages that have another version, in words."""
    has = {one["name"]: one["version"] for one in records}
    there = {name: version for name, version in wishes.items() if name in has}
    other = [
        f"{name} {has[name]} (it has {version})" for name, version in there.items() if not _alike(has[name], version)
    ]
    return len(there) - len(other), tuple(other)


def _alike(version: str, other: str) -> bool:
    return not rattlertool.is_older(version, other) and not rattlertool.is_older(other, version)
