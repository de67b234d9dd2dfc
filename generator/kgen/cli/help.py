"""`kgen help`: the help of a command, as `kgen COMMAND --help` shows it, and the page about a code of an error."""

from __future__ import annotations

__command__ = {
    "panel": "For others, and the facts",
    "rank": 5,
    "purpose": "show the help of a command, or what a code of an error stands for",
    "example": "kgen help lock",
}

import re
from typing import Annotated

import typer

from kgen.cli import candidates, command, console
from kgen.cli.options import argument
from kgen.errors import ExitStatus, UsageError
from kgen.explain.codes import PAGES, text_of

_CODE = re.compile(r"[Kk][0-9]+")


def _known(code: str) -> str:
    if code not in PAGES:
        raise UsageError(
            f"there is no error {code}", hints=[f"kgen help {next(iter(PAGES))}", f"the codes are {', '.join(PAGES)}"]
        )
    return code


def run(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        argument(
            "COMMAND",
            "a command, and one of its actions, or a code such as K201; kgen itself without any",
            panel="Arguments",
            values=candidates.commands,
        ),
    ] = None,
) -> ExitStatus:
    """Print the help of a command, or the page of a code.

    Raises:
        UsageError: there is no such code.
    """
    if words and _CODE.fullmatch(words[0]):
        console.result(text_of(_known(words[0].upper()), console.columns()))
        return ExitStatus.DONE
    group = context.find_root().command
    assert isinstance(group, command.Group)  # noqa: S101 - all commands are in one
    with group.make_context("kgen", [*(words or ()), "--help"]) as asked:
        group.invoke(asked)
    return ExitStatus.DONE
