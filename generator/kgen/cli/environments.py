"""Environments on disk, for the terminal: what `kgen sync`, `run`, `shell` and `activate` have in common."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from kgen import host, project
from kgen.actions import sync as action
from kgen.actions.sync import SHARE, Synced, entered, require_place, source_of, sweep
from kgen.cli import console
from kgen.errors import OutsideError
from kgen.formats import environment as environments
from kgen.formats.environment import Source

__all__ = ["SHARE", "Synced", "entered", "find", "realised", "source_of", "sweep", "sync"]


def find(name: str, envs: str | None, *, conda: bool = False) -> Source:
    """The environment of this name in the project around the current folder: :func:`kgen.actions.sync.find`."""
    return action.find(project.find_root(Path.cwd()), name, envs, conda=conda)


def realised(name: str, envs: str | None, *, conda: bool, no_sync: bool) -> Source:
    """The environment of this name, on disk as locked; it is made if it is not.

    Args:
        name: its name, or that of its backend if that is locked once.
        envs: the folder of the environments; None for that of the settings.
        conda: whether the one for conda is meant.
        no_sync: whether it may not be made.

    Raises:
        KgenError: there is no such environment, or it could not be made.
    """
    source = find(name, envs, conda=conda)
    sweep(source)
    require_place(source)
    if environments.is_whole(source):
        return source
    if no_sync:
        raise OutsideError(
            f"{source.name} is not on disk as it is locked, and `--no-sync` forbids to make it",
            hints=[f"kgen sync {source.name}"],
        )
    synced = sync(source)
    console.say(f"{source.name}: made in {synced.seconds:.1f} s in {_shown(source.prefix)}")
    return source


def sync(source: Source, *, again: bool = False) -> Synced:
    """Make an environment be what its lock says, with a line on the terminal: :func:`kgen.actions.sync.sync`."""
    with _progress(source.name) as report:
        return action.sync(source, again=again, progress=report, notify=console.say)


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[str], None]]:
    """A line with the stage from the first one on, where stderr is a terminal; silence elsewhere."""
    if not host.is_terminal(sys.stderr):
        yield lambda _stage: None
        return
    with contextlib.ExitStack() as after:
        shown: list[Callable[[str], None]] = []

        def report(stage: str) -> None:
            if not shown:  # an environment that is whole has no stages, and rich is slow to import
                from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it

                shown.append(after.enter_context(Console(stderr=True).status(name)).update)
            shown[0](f"{name}: {stage}")

        yield report


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
