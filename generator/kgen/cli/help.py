"""`kgen help`: the help of a command, as `kgen COMMAND --help` shows it."""

from __future__ import annotations

__command__ = {
    "panel": "For others, and the facts",
    "rank": 5,
    "purpose": "show the help of a command",
    "example": "kgen help lock",
}

from typing import Annotated

import typer

from kgen.cli import candidates, command
from kgen.cli.options import argument
from kgen.errors import ExitStatus


def run(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        argument(
            "COMMAND",
            "a command, and one of its actions; kgen itself without any",
            panel="Arguments",
            values=candidates.commands,
        ),
    ] = None,
) -> ExitStatus:
    """Print the help of a command."""
    group = context.find_root().command
    assert isinstance(group, command.Group)  # noqa: S101 - all commands are in one
    with group.make_context("kgen", [*(words or ()), "--help"]) as asked:
        group.invoke(asked)
    return ExitStatus.DONE
