"""Progress on stderr: something that moves where that is a terminal, and silence elsewhere.

What moves is taken away at the end. Names come from locks, indexes and other machines: they steer no terminal, and are
no markup.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from kgen.cli.console import plain
from kgen.host import is_terminal

Key = TypeVar("Key")


def is_shown() -> bool:
    """Whether anybody sees progress."""
    return is_terminal(sys.stderr)


@contextlib.contextmanager
def line(first: str) -> Iterator[Callable[[str], None]]:
    """One line with what is running.

    Args:
        first: the text before the first report.
    """
    if not is_shown():
        yield lambda _text: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status(Text(plain(first))) as status:
        yield lambda text: status.update(Text(plain(text)))


@contextlib.contextmanager
def lines(labels: Mapping[Key, str], ends: Collection[str] = ()) -> Iterator[Callable[[Key, str], None]]:
    """A line for each piece of work, with its stage and how long it has taken since its first stage.

    Args:
        labels: each piece of work -> how its line begins.
        ends: stages that are its end, when its clock stops.
    """
    if not is_shown():
        yield lambda _key, _stage: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    texts = (TextColumn("{task.description}", markup=False), TextColumn("{task.fields[stage]}", markup=False))
    columns = (SpinnerColumn(), *texts, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks = {
            key: shown.add_task(plain(label), total=None, start=False, stage="waiting") for key, label in labels.items()
        }

        def report(key: Key, stage: str) -> None:
            shown.start_task(tasks[key])
            shown.update(tasks[key], stage=plain(stage))
            if stage in ends:
                shown.stop_task(tasks[key])

        yield report


@contextlib.contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage that is reported: its name, how much is done, and of how much."""
    if not is_shown():
        yield lambda _stage, _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(plain(f"reading {stage}"), total=total)
            shown.update(tasks[stage], completed=done, total=total)

        yield report
