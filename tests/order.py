"""The order in which the workers of pytest-xdist take the tests: the longest begin first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

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
