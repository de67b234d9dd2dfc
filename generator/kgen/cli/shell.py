"""`kgen shell`: a shell in an environment, or a kernel of it for Jupyter."""

from __future__ import annotations

__command__ = {
    "panel": "Work in an environment",
    "rank": 3,
    "purpose": "start a shell in an environment",
    "example": "kgen shell jax-cuda12",
    "program_by": "run",
}

import shlex
import sys
from typing import Annotated, NoReturn

from kgen import host, process, shells
from kgen.cli import console
from kgen.cli import jupyter as kernels
from kgen.cli.environments import realised
from kgen.cli.formats import OneFormat, naming_formats
from kgen.cli.options import Environment, Envs, NoSync, option
from kgen.cli.shells import ShellName, script_in, which_shell
from kgen.errors import ExitStatus, UsageError
from kgen.formats.environment import Source


@naming_formats
def run(
    environment: Environment,
    *,
    shell: ShellName = None,
    jupyter: Annotated[
        bool, option("--jupyter", text="install a kernel for Jupyter instead of starting a shell")
    ] = False,
    no_sync: NoSync = False,
    form: OneFormat = None,
    envs: Envs = None,
) -> ExitStatus:
    """Become a shell in the environment, or install a kernel of it.

    Raises:
        KgenError: the shell reads no pipes and stdin is one; there is no such environment, or it could not be made.
    """
    if not jupyter:
        entered, program = which_shell(shell)
        if not entered.reads_pipes and not host.is_terminal(sys.stdin):
            raise UsageError(
                f"stdin is not a terminal, and {entered.name} reads commands from nothing else",
                hints=[f"kgen run {environment} -- {shlex.quote(program)} FILE"],
            )
        _enter(realised(environment, envs, form=form, no_sync=no_sync), entered, program)
    return kernels.install(environment, envs, form=form, no_sync=no_sync)


def _enter(source: Source, shell: shells.Shell, program: str) -> NoReturn:
    """Become a shell that reads the user's own files first and then enters the environment."""
    script = script_in(source, shell)
    entry = shell.enter(program, script.parent, {name: host.variable(name) for name in shell.borrows})
    if not host.is_terminal(sys.stdin):
        # with `-i` a shell without a terminal would complain about job control
        console.say("note: stdin is not a terminal: the shell reads its commands from there")
    process.replace(entry.words, env=entry.changes)
