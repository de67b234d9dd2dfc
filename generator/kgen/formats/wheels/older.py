"""Which frameworks are older than they could be for what the user asks for beside them, so that none ages unsaid."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from kgen.explain.reasons import reason_rule, reason_subject
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.causes import Newer, TermKind, Wish
from kgen.model.resolution import Resolution
from kgen.solver.resolve import solve

_OF_MACHINES = frozenset({TermKind.DRIVER, TermKind.GLIBC, TermKind.GPU})


def notes(matrix: CompatibilityMatrix, resolution: Resolution) -> Iterator[str]:
    """A sentence for each ground on which frameworks of an environment are older.

    Args:
        matrix: the facts.
        resolution: what was decided.
    """
    yield from _for_companions(matrix, resolution)
    yield from _for_bounds(matrix, resolution)
    yield from _for_machine(resolution)


def _for_companions(matrix: CompatibilityMatrix, resolution: Resolution) -> Iterator[str]:
    """That frameworks are older for the sake of dependencies that belong to a release of them, and do not say so."""
    named = {wish.name for wish in matrix.applying(resolution.request)}
    rows = [row for row in matrix.companions if row.project in named and row.framework in resolution.packages]
    projects = list(dict.fromkeys(row.project for row in rows))
    older = _older_with(matrix, resolution, projects)
    if older:
        go = "goes" if len(projects) == 1 else "go"
        yield f"{resolution.request.environment}: {older}: {' and '.join(projects)} {go} with nothing newer"


def _for_bounds(matrix: CompatibilityMatrix, resolution: Resolution) -> Iterator[str]:
    """That frameworks are older for bounds that the user sets on what they need, as `numpy<2` and `keras<3.12` do."""
    own = {matrix.backends[backend].framework for backend in resolution.request.backends}
    needed = {*resolution.libraries, *resolution.packages} - own
    bounds = [wish for wish in matrix.applying(resolution.request) if wish.specifier and wish.name in needed]
    older = _older_with(matrix, resolution, [wish.name for wish in bounds])
    if older:
        alone = [wish for wish in bounds if _older_with(matrix, resolution, [wish.name])]
        asked = " and ".join(dict.fromkeys(f"{wish.name}{wish.specifier}" for wish in alone or bounds))
        yield f"{resolution.request.environment}: {older}, as {asked} is asked for"


def _for_machine(resolution: Resolution) -> Iterator[str]:
    """That frameworks are older for the machine that is described: for its glibc, its driver or its GPUs."""
    request = resolution.request
    for reason in resolution.why:
        hindrance = reason.ground.hindrance if isinstance(reason.ground, Newer) else None
        if hindrance is not None and isinstance(hindrance.fact, Wish) and hindrance.fact.kind in _OF_MACHINES:
            yield f"{request.environment}: {reason_subject(reason)} is the {reason_rule(reason, request.cutoff_flag)}"


def _older_with(matrix: CompatibilityMatrix, resolution: Resolution, names: Collection[str]) -> str:
    """The frameworks that are older than without these dependencies, and what they would be; empty for none."""
    if not names:
        return ""
    request = resolution.request._replace(held=())
    others = tuple(wish for wish in request.dependencies if wish.name not in names)
    bound, free = solve(matrix, request), solve(matrix, request._replace(dependencies=others))
    if not isinstance(bound, Resolution) or not isinstance(free, Resolution):
        return ""
    return ", ".join(
        f"{name} is {version} and not {free.packages[name]}"
        for name, version in resolution.packages.items()
        # that it is not what it would be anew is an older lock's doing
        if name in matrix.framework_names and name not in names and version == bound.packages.get(name)
        if version < free.packages.get(name, version)
    )
