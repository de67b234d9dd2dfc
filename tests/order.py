"""What the workers of pytest-xdist begin with: each with other modules, and then with the longest tests."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest

_Item = TypeVar("_Item")


def spread(first: Sequence[_Item], rest: Sequence[_Item], workers: int) -> list[_Item]:
    """All of them, so that each worker begins with its part of the first ones.

    `--dist worksteal` gives every worker one stretch of the list. Who has nothing left takes from the end of another's
    stretch, but never the last two: with long tests there, one worker ends alone, a minute after the others.

    Args:
        first: what is to begin first, in that order.
        rest: the others, which stay as they are.
        workers: how many there are.

    >>> spread(["A", "B", "C"], [1, 2, 3, 4, 5], 2)
    ['A', 'C', 1, 2, 'B', 3, 4, 5]
    """
    found: list[_Item] = []
    taken = left = 0
    count = len(first) + len(rest)
    for worker in range(workers):
        own = first[worker::workers]
        size = (count - left) // (workers - worker)
        left += size
        others = max(0, size - len(own)) if worker < workers - 1 else len(rest)
        found += [*own, *rest[taken : taken + others]]
        taken += others
    return found


def import_part(folder: Path, worker: int, workers: int) -> None:
    """Imports the test modules that are this worker's to begin with; the others find their bytecode.

    All workers collect at the same time, in the same order: without this, each rewrites the assertions of most modules,
    while pytest keeps the bytecode of what one has rewritten.

    Args:
        folder: where the modules are; Python imports from it.
        worker: which one this is, from 0.
        workers: how many there are.
    """
    for path in sorted(folder.glob("test_*.py"))[worker::workers]:
        # one that cannot be imported, or is skipped, is reported when it is collected
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(path.stem)
