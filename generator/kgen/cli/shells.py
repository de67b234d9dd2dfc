"""The shell that an environment is entered from, and the script with which it is."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import shellingham

from kgen import files, host, shells
from kgen.cli import candidates
from kgen.cli.environments import sync
from kgen.cli.options import option
from kgen.formats.environment import Source
from kgen.project import SHARE
from kgen.shells import Shell

_NAMES = tuple(shell.name for shell in shells.known())

ShellName = Annotated[
    str | None,
    option(
        "--shell",
        metavar="SHELL",
        text=f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}; by default the shell that called kgen",
        values=candidates.of(*_NAMES),
    ),
]


def which_shell(asked: str | None) -> tuple[Shell, str]:
    """A shell that kgen knows, and its program: the one asked for, the one kgen was called from, $SHELL.

    Raises:
        UsageError: kgen does not know the one asked for.
    """
    if asked is not None:
        return shells.recognised(asked), asked
    known = shells.programs()
    with contextlib.suppress(shellingham.ShellDetectionFailure, OSError):
        name, program = shellingham.detect_shell()
        if name in known:
            return known[name], program
    program = host.variable("SHELL") or "/bin/sh"
    shell = known.get(Path(program).name)
    return (known["sh"], "/bin/sh") if shell is None else (shell, program)


def script_in(source: Source, shell: Shell) -> Path:
    """The script with which a shell enters an environment that is on disk.

    The environment is made again if it is older than what kgen knows of the shell.

    Raises:
        KgenError: it could not be made.
    """
    path = source.prefix / SHARE / f"activate.{shell.suffix}"
    if not files.exists(path):
        sync(source, again=True)
    return path
