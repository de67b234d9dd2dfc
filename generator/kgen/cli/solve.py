"""`kgen solve`: what fits, from the matrix alone."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 2,
    "purpose": "choose versions from the matrix, without network",
    "example": "kgen solve torch --cuda 12",
}

from pathlib import Path
from typing import Annotated

from kgen.actions.request_flags import RequestFlags
from kgen.actions.solve import SolveResult, solve
from kgen.cli import console
from kgen.cli.options import OUTPUT, Json, option
from kgen.cli.proof_options import OnlyProven, Proven, ProvenBy, proven_options
from kgen.cli.request import asking
from kgen.cli.signers import Identities, Issuer, Keys, TrustConfig
from kgen.errors import CONFLICT_CODE, ExitStatus
from kgen.explain import report
from kgen.explain.commands import CommandForm
from kgen.fields import Scope
from kgen.matrix import origin


@asking(Scope.REQUEST, "solve")
def run(
    asked: RequestFlags,
    *,
    upgrade: Annotated[bool, option("--upgrade", text="as if nothing were locked", panel=OUTPUT)] = False,
    proven: Proven = None,
    only_proven: OnlyProven = False,
    proven_by: ProvenBy = None,
    key: Keys = None,
    identity: Identities = None,
    issuer: Issuer = None,
    trust_config: TrustConfig = None,
    json: Json = False,
) -> ExitStatus:
    """Solve each environment and print the answers."""
    receipts = proven_options(
        proven,
        only=only_proven,
        sources=proven_by,
        key=key,
        identity=identity,
        issuer=issuer,
        trust_config=trust_config,
    )
    result = solve(asked, origin.current(), Path.cwd(), upgrade=upgrade, proven=receipts)
    form = CommandForm(values=result.plan.form, written=result.plan.written)
    if json:
        console.data(_data(result, form))
    else:
        if result.solved:
            console.result("\n\n".join(report.solution_text(*one) for one in result.solved))
        for note in result.plan.notes:
            console.say(f"note: {note}")
        if result.kept:
            named = ", ".join(result.kept)
            console.say(f"note: {named}: with what is locked; `kgen solve --upgrade` solves as if nothing were")
    for conflict in result.conflicts:
        console.say(f"error: {report.conflict_text(conflict)}")
        console.hints(report.hints(conflict, form))
        console.more(CONFLICT_CODE)
    return ExitStatus.NO_SOLUTION if result.conflicts else ExitStatus.DONE


def _data(result: SolveResult, form: CommandForm) -> dict[str, object]:
    """One answer by itself, several as lists; conflicts beside solutions, never hidden by them."""
    solutions = [
        {**report.solution_data(answer), **report.gain_data(answer, gain, form)} for answer, gain in result.solved
    ]
    conflicts = [report.conflict_data(answer, form) for answer in result.conflicts]
    if len(result.answers) == 1:
        return {"solution": solutions[0]} if solutions else {"conflict": conflicts[0]}
    return {"solutions": solutions, **({"conflicts": conflicts} if conflicts else {})}
