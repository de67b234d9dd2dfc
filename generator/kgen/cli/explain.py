"""`kgen explain`: why these versions, and what would have to change to get the newest."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 4,
    "purpose": "why these versions, and what would give newer ones",
    "example": "kgen explain torch --cuda 12",
}

from pathlib import Path
from typing import Annotated

from kgen import fields, lockfiles
from kgen.actions import plan
from kgen.actions.plan import RequestFlags
from kgen.cli import console, outcomes
from kgen.cli.options import OUTPUT, Json, option
from kgen.cli.request import asking
from kgen.errors import ExitStatus, KgenError, SettingsError, UsageError
from kgen.explain import explanation, report
from kgen.fields import Scope
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict, Resolution
from kgen.project import find_root
from kgen.solver.explanation import explain
from kgen.solver.resolve import own_index_gain, solve
from kgen.tables import nearest


@asking(Scope.REQUEST, "explain")
def run(
    asked: RequestFlags,
    *,
    newest: Annotated[
        str | None,
        option(
            "--newest",
            metavar="PKG",
            text="only what keeps this one from its newest: torch, keras, cudnn",
            panel=OUTPUT,
        ),
    ] = None,
    json: Json = False,
) -> ExitStatus:
    """Solve each environment and explain the answers; one that is locked, by its own request and versions."""
    matrix = origin.current()
    requests, notes = _requests(asked, matrix)
    answers = [solve(matrix, request) for request in requests]
    solved = [answer for answer in answers if isinstance(answer, Resolution)]
    conflicts = [answer for answer in answers if isinstance(answer, Conflict)]
    explained = [(answer, explain(matrix, answer, newest), own_index_gain(matrix, answer)) for answer in solved]
    if newest is not None:
        if solved and not any(found for _, found, _ in explained):
            raise _unknown(newest, solved)
        # what another index has is of interest where it is about what was asked
        explained = [
            (answer, found, gain if gain is not None and newest in gain.gives else None)
            for answer, found, gain in explained
            if found
        ]
    if json:
        data = {"environments": [explanation.data(*one) for one in explained]}
        console.data({**data, **({"conflicts": [report.conflict_data(one) for one in conflicts]} if conflicts else {})})
    elif explained:
        console.result("\n\n".join(explanation.text(*one) for one in explained))
        for note in notes:
            console.say(f"\nnote: {note}")
    for conflict in conflicts:
        outcomes.tell_conflict(conflict)
    return ExitStatus.NO_SOLUTION if conflicts else ExitStatus.DONE


def _unknown(name: str, solved: list[Resolution]) -> KgenError:
    known = list(dict.fromkeys(one for answer in solved for one in (*answer.packages, *answer.libraries)))
    near = nearest(name, known)
    return UsageError(
        f"`--newest {name}`: none of these environments has it",
        hints=[f"did you mean `{near}`?"] if near else [f"they have {', '.join(known)}"],
    )


def _requests(asked: RequestFlags, matrix: CompatibilityMatrix) -> tuple[list[EnvironmentRequest], tuple[str, ...]]:
    """What is to be explained: locked environments by their whole names, the rest as `solve` has it."""
    root = find_root(Path.cwd())
    locked = {one.name: one for one in lockfiles.environments(root)}
    named = [locked[name] for name in dict.fromkeys(asked.names) if name in locked]
    requests = [_recorded(path, matrix) for environment in named for path in environment.platforms.values()]
    others = [name for name in asked.names if name not in locked]
    if named and not others:
        return requests, ()
    planned = plan.make(asked._replace(names=tuple(others)), matrix, Path.cwd())
    return [*requests, *planned.requests], planned.notes


def _recorded(path: Path, matrix: CompatibilityMatrix) -> EnvironmentRequest:
    try:
        lock, data = lockfiles.parse(path, lockfiles.content_of(path))
        require_known(matrix, lock)
        return fields.request_of(data["tool"]["kgen"])._replace(python_open=False)
    except ValueError as error:
        raise SettingsError(f"{path} cannot be relied on: {error}", hints=["kgen check"]) from None
