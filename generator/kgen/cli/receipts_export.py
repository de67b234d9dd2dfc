"""`kgen receipts export`: receipts as JSON lines of in-toto Statements, for other tools."""

from __future__ import annotations

__command__ = {
    "rank": 3,
    "purpose": "print receipts as JSON lines of in-toto Statements",
    "example": "kgen receipts export locks > receipts.jsonl",
}

from pathlib import Path

from kgen import project
from kgen.actions.receipts import collect, exported
from kgen.cli import console
from kgen.cli.receipts import Sources, remark
from kgen.cli.receipts_list import told_skipped
from kgen.errors import ExitStatus


def run(sources: Sources = None) -> ExitStatus:
    """Print them."""
    found = collect(project.find_root(Path.cwd()), sources or (), report=remark)
    if found.entries:
        console.result(exported(found.entries))
    return told_skipped(found)
