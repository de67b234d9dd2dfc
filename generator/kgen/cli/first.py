"""What `kgen` says without a command: where one is, and what to type next; and what reports of faults need."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from kgen import __version__, host, uvtool
from kgen.actions.where import Stage, where
from kgen.cli import console
from kgen.errors import ExitStatus, OutsideError
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
    """Print what a report of a fault should have: versions, and where the facts are from; no user and no host."""
    revision, source = origin.current().revision, origin.texts_in_use()[1]
    rows = {
        "kgen": __version__,
        "Python": f"{platform.python_version()} ({sys.implementation.name})",
        "platform": host.subdir() or f"{platform.system()} {platform.machine()}",
        "matrix": f"{revision} ({source.kind})",
        "uv": _uv(),
    }
    width = max(map(len, rows))
    console.result("\n".join(f"{name.ljust(width)}  {value}" for name, value in rows.items()))


def _uv() -> str:
    try:
        done = uvtool.run([uvtool.find(), "--version"], timeout=10)
    except OutsideError as error:
        return error.message
    return done.stdout.strip().removeprefix("uv ")
