"""`kgen solve`: what fits, from the matrix alone."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 2,
    "purpose": "choose versions from the matrix, without network",
    "example": "kgen solve torch --cuda 12",
}

from pathlib import Path

from kgen.actions import plan
from kgen.actions.plan import RequestFlags
from kgen.cli import console, outcomes
from kgen.cli.options import Json
from kgen.cli.request import asking
from kgen.errors import ExitStatus
from kgen.explain import report
from kgen.fields import Scope
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import own_index_gain, solve


@asking(Scope.REQUEST, "solve")
def run(asked: RequestFlags, *, json: Json = False) -> ExitStatus:
    """Solve each environment and print the answers."""
    matrix = origin.current()
    planned = plan.make(asked, matrix, Path.cwd())
    answers = [solve(matrix, request) for request in planned.requests]
    conflicts = [answer for answer in answers if isinstance(answer, Conflict)]
    if json:
        console.data(_data(answers, matrix))
    else:
        solved = [answer for answer in answers if isinstance(answer, Resolution)]
        if solved:
            texts = [report.solution_text(answer, own_index_gain(matrix, answer)) for answer in solved]
            console.result("\n\n".join(texts))
        for note in planned.notes:
            console.say(f"note: {note}")
    for conflict in conflicts:
        outcomes.tell_conflict(conflict)
    return ExitStatus.NO_SOLUTION if conflicts else ExitStatus.DONE


def _data(answers: list[Resolution | Conflict], matrix: CompatibilityMatrix) -> dict[str, object]:
    """One answer by itself, several as lists; conflicts beside solutions, never hidden by them."""
    solutions = [
        {**report.solution_data(answer), **report.gain_data(answer, own_index_gain(matrix, answer))}
        for answer in answers
        if isinstance(answer, Resolution)
    ]
    conflicts = [report.conflict_data(answer) for answer in answers if isinstance(answer, Conflict)]
    if len(answers) == 1:
        return {"solution": solutions[0]} if solutions else {"conflict": conflicts[0]}
    return {"solutions": solutions, **({"conflicts": conflicts} if conflicts else {})}
