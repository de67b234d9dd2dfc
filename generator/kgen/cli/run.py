"""`kgen run`: a command in an environment."""

from __future__ import annotations

__command__ = {
    "panel": "Work in an environment",
    "rank": 2,
    "purpose": "run a command in an environment",
    "example": "kgen run jax-cuda12 -- python train.py",
    "passes_on": True,
}

import re
import shlex
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from kgen import host, process
from kgen.actions.sync import entered
from kgen.cli import console
from kgen.cli.environments import SHARE, realised
from kgen.cli.formats import OneFormat, naming_formats
from kgen.cli.options import Environment, Envs, NoSync, argument
from kgen.errors import OutsideError, UsageError
from kgen.formats.environment import Source

_NOT_FOUND = 127
"""The exit status that shells give for a program that is not there."""


@naming_formats
def run(
    environment: Environment,
    words: Annotated[
        list[str] | None, argument("-- COMMAND", "the command and its arguments", panel="What is run")
    ] = None,
    *,
    no_sync: NoSync = False,
    form: OneFormat = None,
    envs: Envs = None,
) -> NoReturn:
    """Become the command, in the environment.

    Raises:
        KgenError: there is no such environment, or it could not be made.
        typer.Exit: there is no such program.
    """
    command = words or []
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise UsageError(
            f"what is to run in {environment}?",
            hints=[f"kgen run {environment} -- python train.py"],
        )
    source = realised(environment, envs, form=form, no_sync=no_sync)
    inside = entered(source)
    _refuse_foreign_pip(source, command)
    if "/" not in command[0] and not host.has_program(command[0], inside["PATH"]):
        console.error(
            OutsideError(
                f"there is no program `{command[0]}` in {source.environment.name} nor on PATH",
                hints=["`dependencies` in the settings brings a package into every environment"],
            )
        )
        raise typer.Exit(_NOT_FOUND)
    process.replace(["/bin/sh", str(source.prefix / SHARE / "run.sh"), *command], env=inside)


def _refuse_foreign_pip(source: Source, command: Sequence[str]) -> None:
    """See that a pip which is not in the environment installs nothing elsewhere.

    Raises:
        UsageError: PATH would give the pip of another Python.
    """
    name = command[0]
    if re.fullmatch(r"pip[0-9.]*", name) is None or (source.prefix / "bin" / name).exists():
        return
    environment = source.environment.name
    packages = [word for word in command[2:] if not word.startswith("-")] if command[1:2] == ["install"] else []
    wanted = shlex.join(packages) or "PACKAGE"
    raise UsageError(
        f"{environment} has no `{name}`, and that of another Python would install elsewhere",
        hints=[
            f"kgen add {wanted}   # locks it, for every environment",
            f"uv pip install --python {shlex.quote(str(source.python))} {wanted}   # by hand; kgen keeps it",
        ],
    )
