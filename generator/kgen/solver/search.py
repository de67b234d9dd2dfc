"""The search: the best choice of framework releases whose dependencies have a version in common.

"Best" is lexicographic: the newest release of the first framework that fits at all, then the newest release of the
second framework with it, and so on, Keras last. Such a choice is Pareto-optimal: no framework could be newer unless
another were older. Among several Pareto-optimal choices, the framework that is named first decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kgen.model.causes import Term
from kgen.solver.problem import FrameworkVariable, Problem


class Assignment(NamedTuple):
    """A release of each framework, and the releases that they allow of everything else.

    Attributes:
        chosen: framework -> the position of its release.
        masks: package that the chosen builds need -> the releases that satisfy all of them.
    """

    chosen: Mapping[str, int]
    masks: Mapping[str, int]


def search(
    problem: Problem,
    active: frozenset[Term] | None = None,
    learned: frozenset[frozenset[tuple[str, int]]] = frozenset(),
) -> Assignment | None:
    """The best assignment while these terms are active, or None if there is none.

    Args:
        problem: the problem.
        active: the active terms; None for all terms.
        learned: sets of (package, position) that must not occur together, learned after an earlier assignment.
    """
    allowed = {name: variable.allowed(active) for name, variable in problem.variables.items()}
    variables = (*problem.framework_variables, *problem.imported)
    imported = len(problem.framework_variables)
    levels = [
        _candidates(problem, variable, allowed[variable.name], active, every=bool(learned)) for variable in variables
    ]
    chosen: dict[str, int] = {}

    def descend(depth: int, masks: Mapping[str, int]) -> Assignment | None:
        if depth == len(levels):
            permitted = _without_learned(chosen, masks, learned)
            return None if permitted is None else Assignment(chosen=dict(chosen), masks=permitted)
        name = variables[depth].name
        reachable = masks.get(name, -1)
        if depth >= imported and name not in masks:
            return descend(depth + 1, masks)  # nothing that was chosen imports it
        for position, needs in levels[depth]:
            if not reachable >> position & 1:
                continue
            narrowed = {**masks, name: 1 << position}
            for package, mask in needs:
                common = narrowed.get(package, allowed[package]) & mask
                if not common:
                    break
                narrowed[package] = common
            else:
                if depth < imported:
                    chosen[name] = position
                found = descend(depth + 1, narrowed)
                if found is not None:
                    return found
        return None

    return descend(0, {})


def _candidates(
    problem: Problem, variable: FrameworkVariable, allowed: int, active: frozenset[Term] | None, *, every: bool
) -> list[tuple[int, tuple[tuple[str, int], ...]]]:
    """The candidates of one framework, newest first, with their dependencies.

    Of candidates with identical dependencies only the newest is returned, unless `every` one is wanted or another
    package has a requirement on the framework itself.
    """
    distinct = every or variable.name in problem.targets
    seen = set()
    found = []
    for position in range(len(variable.releases) - 1, -1, -1):
        if not allowed >> position & 1:
            continue
        needs = tuple(
            (need.package, need.mask)
            for need in variable.dependencies[position]
            if active is None or need.term in active
        )
        if distinct or needs not in seen:
            seen.add(needs)
            found.append((position, needs))
    return found


def _without_learned(
    chosen: Mapping[str, int], masks: Mapping[str, int], learned: frozenset[frozenset[tuple[str, int]]]
) -> Mapping[str, int] | None:
    """The masks without what must not occur together with the chosen releases; None if that cannot be avoided.

    If an incompatibility includes a library, another version of that library avoids it.
    """
    narrowed = dict(masks)
    for excluded in sorted(learned, key=sorted):
        if any(chosen.get(name, position) != position for name, position in excluded):
            continue
        libraries = sorted((name, position) for name, position in excluded if name in narrowed and name not in chosen)
        if any(name not in narrowed and name not in chosen for name, _ in excluded):
            continue
        if any(not narrowed[name] >> position & 1 for name, position in libraries):
            continue
        for name, position in libraries:
            rest = narrowed[name] & ~(1 << position)
            if rest:
                narrowed[name] = rest
                break
        else:
            return None
    return narrowed
