"""Shows downloads while they run: bytes and rate."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from kgen import host


@contextlib.contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with bytes and their rate where stderr is a terminal; silence elsewhere.

    Args:
        what: what is being done, as `fetching`.

    Yields:
        What is called with the bytes that are done, and with all that there are.
    """
    if not host.is_terminal(sys.stderr):
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(20), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
