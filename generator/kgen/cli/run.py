"""`kgen run`: a command in an environment."""

from __future__ import annotations

__command__ = {
    "panel": "Work in an environment",
    "rank": 2,
    "purpose": "run a command in an environment",
    "example": "kgen run jax-cuda12 -- python train.py",
    "passes_on": True,
}

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from kgen import files, host, process
from kgen.actions.choose import choose, locked_here
from kgen.actions.sync import entered, is_of_another_python, refuse_foreign_pip
from kgen.cli import console
from kgen.cli.environments import realised
from kgen.cli.formats import OneFormat, naming_formats
from kgen.cli.options import Environment, Envs, NoSync, argument
from kgen.errors import MissingProgramError, NotLockedError, UsageError
from kgen.model import format as formats
from kgen.project import SHARE, find_root
from kgen.project import envs as envs_of

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
    try:
        _run(environment, command, no_sync=no_sync, form=form, envs=envs)
    except NotLockedError as error:
        error.hints = (*_with_an_environment(environment, command), *error.hints)
        raise


def _with_an_environment(program: str, words: Sequence[str]) -> Iterator[str]:
    """The call with an environment, where a program stands in its place, as `run` of other tools takes it."""
    root = find_root(Path.cwd())
    locked = locked_here(root, formats.default())
    if locked and program.endswith(".py"):  # the caller has dealt with an existing file
        yield shlex.join(["kgen", "run", locked[0].name, "--", "python", program, *words])
    elif locked and (host.has_program(program) or files.exists(envs_of(root) / locked[0].name / "bin" / program)):
        yield shlex.join(["kgen", "run", locked[0].name, "--", program, *words])


def _run(environment: str, command: Sequence[str], *, no_sync: bool, form: OneFormat, envs: Envs) -> NoReturn:
    if _is_script(environment):
        locked = [one.name for one in locked_here(find_root(Path.cwd()), formats.default())]
        if locked:
            hint = shlex.join(["kgen", "run", locked[0], "--", "python", environment, *command])
        else:
            named = shlex.join(["kgen", "lock", *(["-r", environment] if _says_requirements(environment) else [])])
            hint = f"{named}   # which makes one"
        raise UsageError(f"`{environment}` is a file, and `kgen run` takes the environment first", hints=[hint])
    if not command:
        choose(find_root(Path.cwd()), environment, form)  # `kgen run -- pytest` lacks the environment, not the program
        raise UsageError(
            f"what is to run in {environment}?",
            hints=[f"kgen run {environment} -- python train.py"],
        )
    if command[0].startswith("-"):
        if host.has_program(environment) or environment.endswith(".py"):
            choose(find_root(Path.cwd()), environment, form)  # nor does `kgen run -- python -c …` have it
        place = command.index("--") if "--" in command else 1
        rest = command[place:][command[place : place + 1] == ["--"] :] or ["python", "train.py"]
        raise UsageError(
            f"`{command[0]}` is not a program: options of `kgen run` stand before the environment",
            hints=[
                shlex.join(["kgen", "run", *command[:place], environment, "--", *rest])
                if command[0].startswith("--")
                else "kgen run --help"
            ],
        )
    source = realised(environment, envs, form=form, no_sync=no_sync)
    inside = entered(source)
    refuse_foreign_pip(source, command)
    found = command[0] if "/" in command[0] else host.program(command[0], inside["PATH"])
    options = [*(() if envs is None else ("--envs", envs)), *(("--no-sync",) if no_sync else ())]
    script = [shlex.join(["kgen", "run", *options, source.name, "--", "python", *command])]
    script = script if _is_script(command[0]) else []
    if found is None:
        console.error(
            MissingProgramError(
                f"there is no program `{command[0]}` in {source.environment.name} nor on PATH",
                hints=script or ["kgen add PACKAGE   # locks one that has the program, for every environment"],
            )
        )
        raise typer.Exit(_NOT_FOUND)
    if script:
        raise UsageError(f"{command[0]} is a file that the system does not run by itself", hints=script)
    if "/" not in command[0] and is_of_another_python(source, found):
        add = shlex.quote(command[0])
        console.say(
            f"note: {source.environment.name} has no `{command[0]}`: {found} is of another Python, and does not see"
            f" what is locked; `kgen add {add}` locks one"
        )
    process.replace(["/bin/sh", str(source.prefix / SHARE / "run.sh"), *command], env=inside)


def _says_requirements(script: str) -> bool:
    """Whether a script names what it requires."""
    from kgen.actions import scripts  # noqa: PLC0415 - a call that is right needs none of it

    try:
        scripts.read(Path(script))
    except (OSError, ValueError):
        return False
    return True


def _is_script(word: str) -> bool:
    """Whether a word is a script of Python's which the system does not run by itself under that word."""
    path = Path(word)
    return path.suffix == ".py" and files.is_file(path) and not ("/" in word and os.access(path, os.X_OK))
