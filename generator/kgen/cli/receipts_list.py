"""`kgen receipts list`: the receipts of folders and git revisions, as a table."""

from __future__ import annotations

__command__ = {
    "rank": 1,
    "purpose": "list the receipts of folders and git revisions",
    "example": "kgen receipts list locks git:main",
}

from collections.abc import Sequence
from pathlib import Path

from kgen import project
from kgen.actions.receipts import Collected, collect, summary
from kgen.cli import console
from kgen.cli.options import Json
from kgen.cli.receipts import Sources, remark
from kgen.errors import ExitStatus


def run(sources: Sources = None, *, json: Json = False) -> ExitStatus:
    """Print the receipts."""
    found = collect(project.find_root(Path.cwd()), sources or (), report=remark)
    if json:
        console.data(
            {
                "receipts": [summary(one) for one in found.entries],
                "skipped": [one._asdict() for one in found.skipped],
            }
        )
    elif found.entries:
        headings = ("environment", "platform", "device", "driver", "verdict", "date", "installed")
        console.result(console.table(headings, _rows(found)))
    return told_skipped(found)


def told_skipped(found: Collected) -> ExitStatus:
    """Says what is not a receipt, and what that means for the exit status."""
    status = say_skipped(found)
    if not found.entries and not found.skipped:
        console.say("there is no receipt")
        console.hints(["kgen validate"])
    return status


def say_skipped(found: Collected) -> ExitStatus:
    """Says what is not a receipt, and what that means for the exit status; that there is none at all is not a fault."""
    for one in found.skipped:
        console.say(f"error: {one.source} {one.what}: {one.why}")
    return ExitStatus.CHECK_FAILED if found.skipped else ExitStatus.DONE


def _rows(found: Collected) -> Sequence[tuple[str, ...]]:
    return [
        (
            one.environment,
            one.platform,
            one.device,
            one.driver or "-",
            one.verdict,
            one.date,
            "as locked" if one.as_locked else "otherwise",
        )
        for one in found.entries
    ]
