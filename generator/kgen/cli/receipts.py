"""`kgen receipts`: receipts as a collection. Its actions have a module each."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 6,
    "purpose": "list, merge, export or migrate receipts",
    "example": "kgen receipts list locks git:main",
    "actions": True,
}

from typing import Annotated

import typer

from kgen.cli import console, registry
from kgen.cli.options import argument
from kgen.errors import UsageError

Sources = Annotated[
    list[str] | None,
    argument("SOURCE", "a folder or its URL, a receipt's file, or git:REVISION; the project's locks without any"),
]


def remark(text: str) -> None:
    """Print a remark of an action."""
    console.say(text)


def run(context: typer.Context) -> None:
    """Check that an action is named.

    Raises:
        UsageError: none is.
    """
    if context.invoked_subcommand is None:
        names = registry.declarations("receipts")
        raise UsageError(
            f"`kgen receipts` needs an action: {', '.join(names)}",
            hints=[*(f"kgen receipts {name}" for name in names), "kgen receipts --help"],
        )
