"""`kgen receipts merge`: the receipts of many places in one folder, each once."""

from __future__ import annotations

__command__ = {
    "rank": 2,
    "purpose": "put the receipts of many places into one folder",
    "example": "kgen receipts merge node1 node2 git:main --output collected",
}

from pathlib import Path
from typing import Annotated

from kgen import project
from kgen.actions.receipts import collect, merge
from kgen.cli import console
from kgen.cli.options import OUTPUT, option
from kgen.cli.receipts import Sources, remark
from kgen.cli.receipts_list import told_skipped
from kgen.errors import ExitStatus, UsageError


def run(
    sources: Sources = None,
    *,
    output: Annotated[
        str | None, option("-o", "--output", metavar="DIR", text="the folder to put them into", panel=OUTPUT)
    ] = None,
) -> ExitStatus:
    """Write the receipts that the folder does not have.

    Raises:
        UsageError: no folder is named.
    """
    if output is None:
        raise UsageError(
            "`kgen receipts merge` needs a folder to put them into",
            hints=["kgen receipts merge SOURCE --output collected"],
        )
    found = collect(project.find_root(Path.cwd()), sources or (), report=remark)
    written = merge(found, Path(output))
    if found.entries:
        known = len(found.entries) - len(written)
        console.result(f"{output}: {len(written)} new, {known} there already")
    return told_skipped(found)
