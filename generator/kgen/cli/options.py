"""Options and arguments that several commands have, each declared once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import typer

from kgen.cli import candidates
from kgen.cli.candidates import Candidates
from kgen.errors import UsageError
from kgen.tables import nearest

ASKED = "The request"
MACHINE = "The target machine"
LOCKING = "How it is locked"
PLACE = "Which environments"
OUTPUT = "Output"

_ENVIRONMENT = "a locked environment, or its backend where that is locked once"


def argument(metavar: str, text: str, *, panel: str = PLACE, values: Candidates | None = None) -> Any:  # noqa: ANN401 - as typer.Argument
    """An argument of a command.

    Args:
        metavar: its placeholder in the help.
        text: its description.
        panel: the panel of the help.
        values: possible values, for shell completion.
    """
    completion = None if values is None else candidates.completing(values)
    return typer.Argument(
        metavar=metavar, help=text, show_default=False, rich_help_panel=panel, autocompletion=completion
    )


_MOST_JOBS = 1000


def option(
    *words: str,
    text: str,
    metavar: str | None = None,
    panel: str | None = None,
    values: Candidates | None = None,
    parse: Callable[[str], object] | None = None,
) -> Any:  # noqa: ANN401 - as typer.Option
    """An option of a command.

    Args:
        words: what the user types, such as `--json`; a flag with a negation is `--nix/--no-nix`.
        text: its description.
        metavar: the placeholder of its value in the help; in brackets if the value is optional.
        panel: the panel of the help.
        values: possible values, for shell completion.
        parse: checks and converts the value; raises :class:`UsageError`.
    """
    completion = None if values is None else candidates.completing(values)

    def convert(value: str | None) -> object:
        return None if value is None or parse is None else parse(value)

    return typer.Option(
        *words,
        metavar=metavar,
        help=text,
        show_default=False,
        rich_help_panel=panel,
        autocompletion=completion,
        callback=None if parse is None else convert,
    )


def one_of(kind: str, call: str, *names: str) -> Callable[[str], str]:
    """A parser that accepts only these values.

    Args:
        kind: what the values are, such as `device`.
        call: what the user types before the value, such as `--device`.
        names: the values.
    """

    def parse(text: str) -> str:
        if text not in names:
            near = nearest(text, names)
            raise UsageError(
                f"unknown {kind} `{text}`",
                hints=[f"did you mean `{call} {near}`?" if near else f"give one of {', '.join(names)}"],
            )
        return text

    return parse


def seconds(text: str) -> float:
    """A duration in seconds.

    Raises:
        UsageError: it is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError("`--timeout` is not a number of seconds", hints=["leave it out, or give one such as 900"])
    return value


def jobs(text: str) -> int:
    """The number of things to do concurrently.

    Raises:
        UsageError: it is not a number of at least 1.
    """
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:4]) < _MOST_JOBS:
        raise UsageError("`--jobs` is not a number of environments", hints=["leave it out, or give one such as 2"])
    return int(text)


def repeats(text: str) -> int:
    """The number of times to run something.

    Raises:
        UsageError: it is not such a number.
    """
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:4]) <= 100:  # noqa: PLR2004 - a hundred is many
        raise UsageError("`--repeat` is not a number from 1 to 100", hints=["leave it out, or give one such as 3"])
    return int(text)


Environments = Annotated[list[str] | None, argument("ENV", _ENVIRONMENT, values=candidates.environments)]
Environment = Annotated[str, argument("ENV", _ENVIRONMENT, values=candidates.environments)]
MaybeEnvironment = Annotated[str | None, argument("ENV", _ENVIRONMENT, values=candidates.environments)]

Envs = Annotated[
    str | None,
    option("--envs", metavar="DIR", text="the folder that holds the environments; .kgen/envs by default", panel=PLACE),
]
NoSync = Annotated[
    bool, option("--no-sync", text="fail if the environment is not on disk, instead of making it", panel=PLACE)
]
Json = Annotated[bool, option("--json", text="print the result as JSON", panel=OUTPUT)]
Platform = Annotated[
    str | None,
    option("--platform", metavar="P", text="linux-64, linux-aarch64, osx-arm64 or win-64", values=candidates.platforms),
]
