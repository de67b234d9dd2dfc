"""`kgen completion`: the script that makes a shell complete `kgen`, and what that script asks.

The scripts know no command: each asks kgen, whose answer is made by Typer from the declarations that calls are parsed
by. Typer's own scripts are not used: the one for zsh evaluates what it is answered, that for fish starts kgen twice,
and their descriptions bring rich.
"""

from __future__ import annotations

__command__ = {
    "panel": "For others, and the facts",
    "rank": 4,
    "purpose": "print the script with which a shell completes `kgen`",
    "example": 'eval "$(kgen completion bash)"',
    "passes_on": True,
}

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperArgument, TyperOption

from kgen import shells
from kgen.cli import candidates, command, console
from kgen.cli.candidates import Candidate
from kgen.cli.options import argument, one_of
from kgen.errors import ExitStatus, KgenError
from kgen.model.grammar import printable
from kgen.templates import render

if TYPE_CHECKING:  # the bases of Typer's own classes, which it exports by no public name
    from typer._click import Context
    from typer._click.core import Parameter

SHELLS = {shell.name: shell for shell in shells.known() if shell.completes}
"""The shells that complete, by their names."""


def run(
    context: typer.Context,
    shell: Annotated[
        str, argument("SHELL", f"one of {', '.join(SHELLS)}", panel="Arguments", values=candidates.of(*SHELLS))
    ],
    words: Annotated[
        list[str] | None, argument("-- WORD", "what the script asks: the words behind `kgen`", panel="Arguments")
    ] = None,
) -> ExitStatus:
    """Print the script, or the candidates for the last of the words after `--`."""
    one_of("shell", "kgen completion", *SHELLS)(shell)
    asked = words or []
    asked = asked[1:] if asked[:1] == ["--"] else asked
    if not asked:
        console.program(render(f"completion/{shell}.j2").rstrip("\n"))
        return ExitStatus.DONE
    *before, current = asked
    group = context.find_root().command
    assert isinstance(group, command.Group)  # noqa: S101 - all commands are in one
    for value, text in completions(group, before, current):
        shown = (value, text) if SHELLS[shell].describes else (value,)
        console.program("\t".join(map(printable, shown)))
    return ExitStatus.DONE


def completions(group: command.Group, before: Sequence[str], current: str) -> list[Candidate]:
    """What the word that is being typed may become.

    Args:
        group: all commands.
        before: the words after `kgen` that are there.
        current: what there is of the one being typed.
    """
    if "--" in before:
        return []  # another program's
    try:
        context = command.context_of(group, before, lenient=True)
        flag, equals, value = current.partition("=")
        awaiting = _awaiting(context, [*before, flag] if equals else before)
        found = _values(context, awaiting, value if equals else current) if awaiting else _others(context, current)
        return list(found)
    except KgenError:  # there is no place for an error while the user types; the command will report it
        return []


def _others(context: Context, current: str) -> Iterable[Candidate]:
    """Options where one was begun; else commands, or what the next argument may be."""
    if current.startswith("-"):
        found = context.command.shell_complete(context, current)
        return [(one.value, one.help or "") for one in found if one.value.startswith("--")]
    if isinstance(context.command, command.Group):
        rows = (row for panel, rows in context.command.panels(context).items() for row in rows)
        return [(name, text) for name, text in rows if name.startswith(current) and not name.startswith("-")]
    places = [one for one in context.command.get_params(context) if isinstance(one, TyperArgument)]
    place = next((one for one in places if one.nargs == -1 or context.params.get(one.name) is None), None)
    return () if place is None else _values(context, place, current)


def _awaiting(context: Context, words: Sequence[str]) -> Parameter | None:
    """The option whose value comes next."""
    for one in context.command.get_params(context):
        if isinstance(one, TyperOption) and not one.is_flag and words and words[-1] in one.opts:
            return one
    return None


def _values(context: Context, parameter: Parameter, current: str) -> Iterable[Candidate]:
    given = context.params.get(parameter.name)
    had = given if isinstance(given, list | tuple) else ()
    found = parameter.shell_complete(context, current)
    return [(one.value, one.help or "") for one in found if one.value not in had]
