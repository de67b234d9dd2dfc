"""`kgen activate`: the script that brings the shell that evaluates it into an environment."""

from __future__ import annotations

__command__ = {
    "panel": "Work in an environment",
    "rank": 4,
    "purpose": "print the script that activates an environment",
    "example": 'eval "$(kgen activate jax-cuda12)"',
}

import sys

from kgen import host
from kgen.cli import console
from kgen.cli.environments import realised
from kgen.cli.formats import OneFormat, naming_formats
from kgen.cli.options import Environment, Envs, NoSync
from kgen.cli.shells import ShellName, script_in, which_shell
from kgen.errors import ExitStatus


@naming_formats
def run(
    environment: Environment,
    *,
    shell: ShellName = None,
    no_sync: NoSync = False,
    form: OneFormat = None,
    envs: Envs = None,
) -> ExitStatus:
    """Print what the shell is to evaluate.

    Raises:
        KgenError: there is no such environment, or it could not be made.
    """
    entered, _ = which_shell(shell)
    script = script_in(realised(environment, envs, form=form, no_sync=no_sync), entered)
    console.program(script.read_text(encoding="utf-8"))
    if host.is_terminal(sys.stdout):
        console.hints([entered.hint(environment, script)])
    return ExitStatus.DONE
