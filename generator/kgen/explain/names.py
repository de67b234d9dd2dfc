"""Lists of names in words."""

from __future__ import annotations

from collections.abc import Sequence


def few(names: Sequence[str], most: int = 5) -> str:
    """The first of several names: `a, b and 3 more`; if only one more than `most` is left, its name replaces the count.

    Args:
        names: the names, in their order; at least one.
        most: the number of names to print if there are many.
    """
    left = len(names) - most
    return ", ".join(names) if left <= 1 else f"{', '.join(names[:most])} and {left} more"
