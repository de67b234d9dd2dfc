"""Which versions of an older lock can stay: a new lock changes only what the request makes necessary."""

from __future__ import annotations

from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.solver.problem import Problem
from kgen.solver.resolve import select


def keeping(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> EnvironmentRequest:
    """The request with those of the held versions with which there is a solution.

    If they cannot all stay, frameworks take precedence over their dependencies, in the order of the request. The
    installer's resolver keeps versions that the matrix does not know, if it can.
    """
    if not request.held or select(Problem(matrix, request)) is not None:
        return request
    ranks = {name: rank for rank, name in enumerate((*_frameworks(matrix, request), KERAS))}

    def rank(wish: Requirement) -> tuple[int, str]:
        return ranks.get(wish.name, len(ranks)), wish.name

    kept: tuple[Requirement, ...] = ()
    for wish in sorted(request.held, key=rank):
        tried = (*kept, wish)
        if not matrix.follows(wish.name) or select(Problem(matrix, request._replace(held=tried))) is not None:
            kept = tried
        elif not kept and select(Problem(matrix, request._replace(held=()))) is None:
            return request._replace(held=())  # nothing solves it, and the old lock is not why
    return request._replace(held=kept)


def _frameworks(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> tuple[str, ...]:
    return tuple(matrix.backends[backend].framework for backend in request.backends)
