"""Several names, in words."""

from __future__ import annotations

from collections.abc import Sequence


def few(names: Sequence[str], most: int = 5) -> str:
    """The first of several names: `a, b and 3 more`; one more than `most` stands in the place of how many.

    Args:
        names: in the order in which they are told; at least one.
        most: so many are named where there are many.
    """
    left = len(names) - most
    return ", ".join(names) if left <= 1 else f"{', '.join(names[:most])} and {left} more"
