"""Environments on disk: what `kgen sync`, `run`, `shell` and `activate` have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from kgen import project
from kgen.actions import sync as syncing
from kgen.actions.choose import choose, lacks_device, without_device
from kgen.actions.sync import SyncResult
from kgen.cli import console, progress
from kgen.errors import NotSyncedError
from kgen.formats.environment import Source
from kgen.model.format import Format


def realised(name: str, envs: str | None, *, form: Format | None, no_sync: bool) -> Source:
    """The environment of this name, on disk as locked; it is made if it is not.

    Args:
        name: its name, or that of its backend if that is locked once.
        envs: the folder of the environments; None for that of the settings.
        form: the form of locks that is meant; None where the name says it.
        no_sync: whether it may not be made.

    Raises:
        KgenError: there is no such environment, or it could not be made.
    """
    root = project.find_root(Path.cwd())
    choice = choose(root, name, form)
    source = syncing.source_of(root, choice.environment, choice.form, envs)
    if choice.note is not None:
        console.say(f"note: {choice.note}")
    syncing.sweep(source)
    syncing.require_place(source)
    whole = syncing.is_whole(source)
    if whole and (no_sync or syncing.has_project(source)):
        return source
    if not whole and not choice.named and lacks_device(choice):
        raise without_device(choice)
    if no_sync:
        raise NotSyncedError(
            f"{source.name} is not on disk as it is locked, and `--no-sync` forbids to make it",
            hints=[f"kgen sync {source.name}"],
        )
    synced = sync(source)
    made = "made" if synced.made else "the project installed"
    console.say(f"{source.name}: {made} in {synced.seconds:.1f} s in {_shown(source.prefix)}")
    return source


def sync(source: Source, *, again: bool = False, exact: bool = False, own: bool = True) -> SyncResult:
    """Make an environment be what its lock says, and print what the user should know of it.

    Args:
        source: what it is made from.
        again: make it anew even if it seems to be whole, and compare every file with its hash.
        exact: also remove packages that were installed by hand.
        own: install the project itself, where it is a package.

    Raises:
        KgenError: the lock is damaged, or the environment could not be made.
    """
    text = f"waiting for another `kgen sync` of {source.name}"
    synced = syncing.sync(
        source, again=again, exact=exact, own=own, progress=_shown_stages, waiting=lambda: console.say(text)
    )
    for note in synced.notes:
        console.say(f"note: {note}")
    return synced


@contextlib.contextmanager
def _shown_stages(name: str) -> Iterator[Callable[[str], None]]:
    with progress.line(name) as report:
        yield lambda stage: report(f"{name}: {stage}")


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
