"""Chooses the accelerator's version if the user leaves it to kgen: the newest on which every request is solvable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.solver.problem import Problem
from kgen.solver.python import best_python
from kgen.solver.resolve import select


def solvable(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest], python: str | None) -> bool:
    """Whether every request has a solution on this Python; on the best one if none is given."""
    minor = python or best_python(matrix, requests)
    return all(select(Problem(matrix, request._replace(python=minor))) is not None for request in requests)


def newest_version(
    matrix: CompatibilityMatrix,
    kind: str,
    requests_for: Callable[[Accelerator], Sequence[EnvironmentRequest]],
    python: str | None,
) -> Accelerator | None:
    """The newest major of a kind with which every request has a solution; None if there is none.

    Args:
        matrix: the facts.
        kind: the kind of accelerator.
        requests_for: returns the requests for an accelerator, with the driver and the GPUs of the machine.
        python: the CPython minor; None to choose the best one.
    """
    majors = (row.accelerator for _, row in sorted(matrix.majors(kind).items(), reverse=True))
    return next((one for one in majors if solvable(matrix, requests_for(one), python)), None)
