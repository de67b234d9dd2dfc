"""What `kgen` says without a command: where one is, and what to type next; and what reports of faults need."""

from __future__ import annotations

from pathlib import Path

from kgen.actions.where import Stage, versions, where
from kgen.cli import console
from kgen.errors import ExitStatus
from kgen.matrix import origin

_NEXT = {
    Stage.NEW: ("kgen init", "write settings for this machine, or try: kgen solve jax --cuda 12"),
    Stage.UNLOCKED: ("kgen lock", "solve, resolve, verify and write locks/"),
    Stage.STALE: ("kgen check", "what is wrong, each with the command that mends it"),
    Stage.READY: ("kgen run {name} -- python …", "run a program in it; `kgen validate {name}` trains in it"),
}


def say_where() -> ExitStatus:
    """Print where the project of this folder stands, and what comes next.

    Raises:
        KgenError: its settings or locks cannot be read.
    """
    found = where(Path.cwd(), origin.current())
    listed = f": {', '.join(found.environments)}" if found.environments else ""
    name = found.environments[0] if found.environments else ""
    command, what = (text.format(name=name) for text in _NEXT[found.stage])
    console.result(f"{found.root} has {found.stage.value}{listed}\n\nnext: {command}   # {what}")
    console.result("      kgen help   # all commands")
    return ExitStatus.DONE


def say_version() -> None:
    """Print what a bug report should have: versions, and where the facts are from; no user and no host."""
    rows = versions()
    width = max(map(len, rows))
    console.result("\n".join(f"{name.ljust(width)}  {value}" for name, value in rows.items()))
