"""The shells that environments can be entered from."""

from __future__ import annotations

import contextlib
from pathlib import Path

import shellingham

from kgen import host
from kgen.errors import UsageError

SUFFIXES = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"), "sh"),
    "fish": "fish",
    **dict.fromkeys(("pwsh", "powershell"), "ps1"),
}
"""Shell -> the suffix of its activation."""


def which_shell(asked: str | None) -> tuple[str, str]:
    """The name of a shell that kgen knows, and the program: the one asked for, the one kgen was called from, $SHELL."""
    if asked is not None:
        name = Path(asked).name
        if name not in SUFFIXES:
            raise UsageError(
                f"--shell: kgen knows no shell `{name}`", hints=[f"known are {', '.join(sorted(SUFFIXES))}"]
            )
        return name, asked
    with contextlib.suppress(shellingham.ShellDetectionFailure, OSError):
        name, program = shellingham.detect_shell()
        if name in SUFFIXES:
            return name, program
    program = host.variable("SHELL") or "/bin/sh"
    name = Path(program).name
    return (name, program) if name in SUFFIXES else ("sh", "/bin/sh")
