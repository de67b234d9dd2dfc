"""`kgen shell`: a shell in an environment, or a kernel of it for Jupyter."""

from __future__ import annotations

__command__ = {
    "panel": "Work in an environment",
    "rank": 3,
    "purpose": "start a shell in an environment",
    "example": "kgen shell jax-cuda12",
}

import sys
from pathlib import Path
from typing import Annotated, NoReturn

from kgen import host, process
from kgen.cli import console
from kgen.cli import jupyter as kernels
from kgen.cli.environments import SHARE, realised
from kgen.cli.options import Conda, Environment, Envs, NoSync, Shell, option
from kgen.cli.shells import SUFFIXES, which_shell
from kgen.emitters.quoting import quote_fish
from kgen.errors import ExitStatus
from kgen.installers.environment import Source


def run(
    environment: Environment,
    *,
    shell: Shell = None,
    jupyter: Annotated[
        bool, option("--jupyter", text="install a kernel for Jupyter instead of starting a shell")
    ] = False,
    no_sync: NoSync = False,
    conda: Conda = False,
    envs: Envs = None,
) -> ExitStatus:
    """Become a shell in the environment, or install a kernel of it.

    Raises:
        KgenError: there is no such environment, or it could not be made.
    """
    if not jupyter:
        chosen = which_shell(shell)
        _enter(realised(environment, envs, conda=conda, no_sync=no_sync), *chosen)
    return kernels.install(realised(environment, envs, conda=conda, no_sync=no_sync))


def _enter(source: Source, name: str, program: str) -> NoReturn:
    """Become a shell that reads the user's own files first and then enters the environment."""
    share = source.prefix / SHARE
    script = share / f"activate.{SUFFIXES[name]}"
    added: dict[str, str | None] = {}
    if name == "bash":
        words = [program, "--rcfile", str(share / "bash/bashrc"), "-i"]
    elif name == "zsh":
        added = {"_KGEN_OLD_ZDOTDIR": host.variable("ZDOTDIR"), "ZDOTDIR": str(share / "zsh")}
        words = [program, "-i"]
    elif name == "fish":
        words = [program, "--interactive", "--init-command", f"source {_fish_quoted(script)}"]
    elif SUFFIXES[name] == "ps1":
        words = [program, "-NoExit", "-File", str(script)]
    else:
        added = {"_KGEN_OLD_ENV": host.variable("ENV"), "ENV": str(share / "sh/shrc")}
        words = [program, "-i"]
    if not host.is_terminal(sys.stdin):
        # with `-i` a shell without a terminal would complain about job control
        console.say("note: stdin is no terminal: the shell reads its commands from there")
    process.replace(words, env=added)


def _fish_quoted(path: Path) -> str:
    return quote_fish(str(path))
