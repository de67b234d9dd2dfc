"""From versions that pass to versions that fail, one small valid step after the other, and which step it was.

Knows packages by name and version alone: what makes versions fit together, and what passes, is asked of others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

Versions = Mapping[str, str]
"""Package -> version."""

Outcome = Literal["passes", "fails", "skipped"]

Broken = Callable[[Versions], Iterable[tuple[str, str]]]
"""The pairs of packages where the first needs another version of the second than the present one."""

Misfits = Callable[[Versions], AbstractSet[str] | None]
"""The packages that cannot be together in these versions, as far as that is known; None if all can."""


class Move(NamedTuple):
    """Packages that can only go together from their version before to that after.

    Attributes:
        packages: their names, sorted.
        versions: all packages of the environment, once they have gone.
    """

    packages: tuple[str, ...]
    versions: Versions


class Culprit(NamedTuple):
    """Where passing ends.

    Attributes:
        last: how many moves still pass.
        first: how many moves fail for the first time; all between the two could not be tried.
    """

    last: int
    first: int


def changes(before: Versions, after: Versions) -> frozenset[str]:
    """The packages that are not the same on both sides."""
    return frozenset(name for name in {*before, *after} if before.get(name) != after.get(name))


def applied(now: Versions, after: Versions, names: Collection[str]) -> dict[str, str]:
    """The versions once these packages are as they are in `after`."""
    kept = {name: version for name, version in now.items() if name not in names}
    return dict(sorted({**kept, **{name: after[name] for name in names if name in after}}.items()))


def moves(before: Versions, after: Versions, *, broken: Broken, misfits: Misfits) -> tuple[Move, ...]:
    """The smallest valid steps from one side to the other, in an order in which each is valid.

    Args:
        before: the versions of the one side.
        after: those of the other.
        broken: what packages themselves say against versions. What it says about either side is taken as it is.
        misfits: what is against them for all else.

    Returns:
        The last one leads to `after`.
    """
    tolerated = {*broken(before), *broken(after)}
    left = set(changes(before, after))
    now: Versions = before
    found = []
    while left:
        group = min(
            (_closed(name, now, after, left, tolerated, broken, misfits) for name in sorted(left)),
            key=lambda names: (len(names), sorted(names)),
        )
        now = applied(now, after, group)
        left -= group
        found.append(Move(tuple(sorted(group)), now))
    return tuple(found)


def _closed(  # noqa: PLR0917 - one question, asked from one place
    name: str,
    now: Versions,
    after: Versions,
    left: AbstractSet[str],
    tolerated: Collection[tuple[str, str]],
    broken: Broken,
    misfits: Misfits,
) -> frozenset[str]:
    """The packages that have to go with one, so that what is there then is valid."""
    group = {name}
    while len(group) < len(left):
        versions = applied(now, after, group)
        pairs = [pair for pair in broken(versions) if pair not in tolerated]
        others = {other for pair in pairs for other in pair} if pairs else misfits(versions)
        if others is None:
            break
        more = left & others - group
        # where no requirement explains a failure, all goes together
        group |= more or left
    return frozenset(group)


def search(count: int, outcome: Callable[[int], Outcome]) -> Culprit:
    """Where passing ends, by bisection.

    Args:
        count: how many moves there are; none of them passes, and all of them fail.
        outcome: what came of the environment after so many moves; called with numbers between these two.
    """
    last, first = 0, count
    skipped: set[int] = set()
    while True:
        between = [number for number in range(last + 1, first) if number not in skipped]
        if not between:
            return Culprit(last, first)
        middle = (last + first) / 2
        number = min(between, key=lambda one: (abs(one - middle), one))
        came = outcome(number)
        if came == "passes":
            last = number
        elif came == "fails":
            first = number
        else:
            skipped.add(number)


def between(found: Sequence[Move], culprit: Culprit) -> tuple[str, ...]:
    """The packages that went between the last that passes and the first that fails."""
    return tuple(sorted(name for move in found[culprit.last : culprit.first] for name in move.packages))
