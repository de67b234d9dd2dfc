"""`kgen matrix`: the compatibility facts. Its actions have a module each."""

from __future__ import annotations

__command__ = {
    "panel": "For others, and the facts",
    "rank": 3,
    "purpose": "show, refresh or plot the compatibility facts",
    "example": "kgen matrix show torch",
    "actions": True,
}

import typer

from kgen.cli import registry
from kgen.errors import UsageError


def run(context: typer.Context) -> None:
    """Check that an action is named.

    Raises:
        UsageError: none is.
    """
    if context.invoked_subcommand is None:
        names = registry.declarations("matrix")
        raise UsageError(
            f"`kgen matrix` needs an action: {', '.join(names)}",
            hints=[*(f"kgen matrix {name}" for name in names), "kgen matrix --help"],
        )
