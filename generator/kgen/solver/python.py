"""Chooses a Python if the request names none: the newest on which every backend gets its best release."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from packaging.version import Version

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.solver.problem import Problem
from kgen.solver.resolve import select


def best_python(
    matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest], among: Collection[str] | None = None
) -> str:
    """The newest Python on which each request gets the best frameworks that it can get on any Python.

    If no Python does that for all requests, the one that does it for most. If no Python has any solution, the one on
    which most frameworks are available. Of several, the newest. The Python in the requests themselves is ignored.

    Args:
        matrix: the facts.
        requests: the requests.
        among: the minors to choose from, of which the matrix must know at least one; None for all.
    """
    generations = [matrix.generation_of(request.backends) for request in requests]
    known = [
        row
        for row in reversed(matrix.pythons)
        if (among is None or row.version in among)
        and any(Version(row.version) in generation.pythons for generation in generations)
    ]
    early = [
        row.version
        for row in known
        if not any(request.cutoff is not None and row.released > request.cutoff for request in requests)
    ]
    minors = early
    if not any(_is_built(matrix, requests, python) for python in early):
        # it is the day that has to be told, and on the oldest Python with a release it can be told best
        built = [row.version for row in reversed(known) if _is_built(matrix, requests, row.version)]
        minors = built[:1] or [row.version for row in known]

    @functools.cache
    def given(position: int, python: str) -> tuple[Version, ...]:
        return _frameworks(matrix, requests[position]._replace(python=python))

    ceilings = [_ceiling(matrix, request) for request in requests]
    for python in minors:
        if all(given(position, python) == ceiling for position, ceiling in enumerate(ceilings)):
            return python
    return _compromise(matrix, requests, minors, given)


def equally_good(
    matrix: CompatibilityMatrix,
    requests: Sequence[EnvironmentRequest],
    python: str,
    among: Collection[str] | None = None,
) -> tuple[str, ...]:
    """The Pythons on which each request gets the same frameworks as on this one, newest first.

    Args:
        matrix: the facts.
        requests: the requests.
        python: the CPython minor to compare with.
        among: the minors to choose from; None for all.
    """
    wanted = [_frameworks(matrix, request._replace(python=python)) for request in requests]
    return tuple(
        row.version
        for row in reversed(matrix.pythons)
        if (among is None or row.version in among)
        and [_frameworks(matrix, request._replace(python=row.version)) for request in requests] == wanted
    )


def _is_built(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest], python: str) -> bool:
    """Whether any framework of the requests has a release for a Python."""
    problems = (Problem(matrix, request._replace(python=python)) for request in requests)
    return any(variable.base for problem in problems for variable in problem.framework_variables[:-1])


class _Possible(NamedTuple):
    """How close requests come to a solution on a Python, the most important criterion first.

    Attributes:
        allowed: the number of frameworks with a release that the request allows, each taken alone.
        met: the number of requirements that some release satisfies, each taken alone.
        built: the number of frameworks with any release.
        free: the number of requests that have a solution without their requirements.
    """

    allowed: int = 0
    met: int = 0
    built: int = 0
    free: int = 0


def _compromise(
    matrix: CompatibilityMatrix,
    requests: Sequence[EnvironmentRequest],
    minors: Sequence[str],
    given: Callable[[int, str], tuple[Version, ...]],
) -> str:
    """The Python on which most requests get the best that any Python gives them; without any solution, the closest one.

    Args:
        matrix: the facts.
        requests: the requests.
        minors: the Pythons to choose from.
        given: the versions that a request, by its position, gets on a Python; () if it has no solution there.
    """
    gives = {python: [given(position, python) for position in range(len(requests))] for python in minors}
    if not any(map(any, gives.values())):
        return max(minors, key=lambda python: (_possible(matrix, requests, python), Version(python)))
    best = [max(got) for got in zip(*gives.values(), strict=True)]

    def worth(python: str) -> tuple[int, int, Version]:
        got = gives[python]
        satisfied = sum(1 for one, wanted in zip(got, best, strict=True) if one and one == wanted)
        return satisfied, sum(map(bool, got)), Version(python)

    return max(minors, key=worth)


def _possible(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest], python: str) -> _Possible:
    """How close requests come to a solution on this Python, each framework taken alone.

    If no Python has a solution, this decides which one the refusal is explained for. On a Python that is too new for a
    framework, that alone would be the explanation, whatever the driver or the GPU exclude on every other Python. The
    number of satisfied requirements decides next: if two requirements exclude each other on every Python, the conflict
    shows only on a Python where each of them can be satisfied.
    """
    problems = [Problem(matrix, request._replace(python=python)) for request in requests]
    variables = [variable for problem in problems for variable in problem.framework_variables]
    allowed = sum(1 for variable in variables if variable.allowed(None))
    wishes = [mask & variable.base for variable in variables for terms, mask in variable.filters if len(terms) == 1]
    free = [Problem(matrix, request._replace(python=python, requirements=(), dependencies=())) for request in requests]
    return _Possible(
        allowed,
        sum(1 for left in wishes if left),
        sum(1 for variable in variables if variable.base),
        sum(1 for problem in free if select(problem) is not None),
    )


def _ceiling(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> tuple[Version, ...]:
    """The newest version of each framework on any Python, each taken alone; no solution can be better."""
    problem = Problem(matrix, request)
    return tuple(
        max(
            (
                release.version
                for release in matrix.framework(name).releases
                if not release.version.is_prerelease and problem.build_of(name, release) is not None
            ),
            default=Version("0"),
        )
        for name in problem.frameworks
    )


def _frameworks(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> tuple[Version, ...]:
    """The versions of the request's frameworks, in its order; () if there is no solution."""
    problem = Problem(matrix, request)
    assignment = select(problem)
    if assignment is None:
        return ()
    return tuple(variable.versions[assignment.chosen[variable.name]] for variable in problem.framework_variables[:-1])
