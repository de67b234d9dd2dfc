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

from kgen.actions import explain as action
from kgen.actions.request_flags import RequestFlags
from kgen.cli import console
from kgen.cli.options import OUTPUT, Json, option
from kgen.cli.request import asking
from kgen.errors import CONFLICT_CODE, ExitStatus, UnknownNameError
from kgen.explain import explanation, report
from kgen.explain.commands import CommandForm
from kgen.fields import Scope
from kgen.matrix import origin
from kgen.project import find_root


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
    try:
        result = action.explain(asked, origin.current(), Path.cwd(), newest=newest)
    except UnknownNameError as error:
        from kgen.actions.tree import needing  # noqa: PLC0415 - only a mistake pays for it

        needed_by = (
            needing(find_root(Path.cwd()), name) for name in asked.names if name not in origin.current().short_names
        )
        error.hints = (*filter(None, needed_by), *error.hints)
        raise
    conflicts, form = result.conflicts, CommandForm(values=result.form, written=result.written)
    if json:
        data = {"environments": [explanation.data(*one, form) for one in result.explained]}
        console.data(
            {**data, **({"conflicts": [report.conflict_data(one, form) for one in conflicts]} if conflicts else {})}
        )
    elif result.explained:
        console.result("\n\n".join(explanation.text(*one, form) for one in result.explained))
        for note in result.notes:
            console.say(f"\nnote: {note}")
    for conflict in conflicts:
        console.say(f"error: {report.conflict_text(conflict)}")
        console.hints(report.hints(conflict, form))
        console.more(CONFLICT_CODE)
    return ExitStatus.NO_SOLUTION if conflicts else ExitStatus.DONE
