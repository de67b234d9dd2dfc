"""`kgen receipts migrate`: receipts of older forms, written as in-toto Statements."""

from __future__ import annotations

__command__ = {
    "rank": 4,
    "purpose": "rewrite receipts of older forms as in-toto Statements",
    "example": "kgen receipts migrate",
}

from pathlib import Path
from typing import Annotated

from kgen import project
from kgen.actions.receipts import migrate
from kgen.cli import console
from kgen.cli.options import argument
from kgen.errors import ExitStatus


def run(
    paths: Annotated[list[str] | None, argument("RECEIPT", "a receipt's file; all of the project without any")] = None,
) -> ExitStatus:
    """Rewrite them."""
    done = migrate(project.find_root(Path.cwd()), tuple(map(Path, paths or ())))
    for path in done.written:
        console.result(f"{path}: migrated")
    if not done.written:
        console.say(f"nothing to migrate: {done.current} receipt{'s are' if done.current != 1 else ' is'} current")
    return ExitStatus.DONE
