"""What fits, from the matrix alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kgen.actions import plan
from kgen.actions.plan import Plan, RequestFlags
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.resolution import Conflict, Resolution, Suggestion
from kgen.solver.resolve import own_index_gain
from kgen.solver.resolve import solve as solve_request


class SolveResult(NamedTuple):
    """The answers.

    Attributes:
        answers: for each environment on each platform its resolution, or why there is none.
        gains: for each answer what a framework's own index would add to it; None where it adds nothing.
        plan: what was asked, with choices that were made for the user.
    """

    answers: tuple[Resolution | Conflict, ...]
    gains: tuple[Suggestion | None, ...]
    plan: Plan

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """What cannot be had."""
        return tuple(answer for answer in self.answers if isinstance(answer, Conflict))

    @property
    def solved(self) -> tuple[tuple[Resolution, Suggestion | None], ...]:
        """What can be had, and what a framework's own index would add to it."""
        return tuple(
            (answer, gain)
            for answer, gain in zip(self.answers, self.gains, strict=True)
            if isinstance(answer, Resolution)
        )


def solve(asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path) -> SolveResult:
    """Solve each environment that is asked for.

    Args:
        asked: what is asked for.
        matrix: the facts.
        folder: a folder of the project.

    Raises:
        UsageError: what is asked makes no sense.
        SettingsError: the settings are wrong.
    """
    planned = plan.make(asked, matrix, folder)
    answers = tuple(solve_request(matrix, request) for request in planned.requests)
    gains = tuple(own_index_gain(matrix, one) if isinstance(one, Resolution) else None for one in answers)
    return SolveResult(answers, gains, planned)
