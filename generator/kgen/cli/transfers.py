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
        what: what is being done, such as `fetching`.

    Yields:
        What is called with the bytes that are done, and with all that there are.
    """
    if not host.is_terminal(sys.stderr):
        yield lambda _done, _total: None
        return
    with contextlib.ExitStack() as stack:
        shown: list[Callable[[int, int], None]] = []

        def report(done: int, total: int) -> None:
            if not shown:  # there may be nothing to show, and what shows it is slow to import
                shown.append(_bar(what, stack))
            shown[0](done, total)

        yield report


def _bar(what: str, stack: contextlib.ExitStack) -> Callable[[int, int], None]:
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(20), DownloadColumn(), TransferSpeedColumn())
    progress = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = progress.add_task(what, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)
