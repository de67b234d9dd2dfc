"""Through which requirements a package came into a lock: from what was asked for to the package."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_Node = tuple[str, str]
"""A package, and which of its extras; the empty one is the package by itself."""


def requires(metadata: bytes) -> tuple[Requirement, ...]:
    """The requirements in a wheel's METADATA; what is none is left out, as uv has found its way without it."""
    raw, _ = parse_email(metadata)
    found = []
    for text in raw.get("requires_dist", ()):
        with contextlib.suppress(InvalidRequirement):
            found.append(Requirement(text))
    return tuple(found)


def chains(
    asked: Iterable[str], required: Mapping[str, Sequence[Requirement]], markers: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The shortest way to each package from what was asked for: the packages on it, the last of them itself.

    Args:
        asked: the requirements that were asked for; of ways of one length the one from the first of them is taken.
        required: package -> its requirements.
        markers: what markers are judged by.
    """
    ways: dict[_Node, tuple[str, ...]] = {}
    waiting: deque[tuple[_Node, tuple[str, ...]]] = deque()
    for text in asked:
        waiting.extend((node, (node[0],)) for node in _nodes(Requirement(text)))
    while waiting:
        node, way = waiting.popleft()
        if node in ways:
            continue
        ways[node] = way
        name, extra = node
        for requirement in required.get(name, ()):
            if requirement.marker is None or requirement.marker.evaluate({**markers, "extra": extra}):
                for other in _nodes(requirement):
                    waiting.append((other, way if other[0] == name else (*way, other[0])))
    found: dict[str, tuple[str, ...]] = {}
    for (name, _), way in ways.items():
        found.setdefault(name, way)
    return found


def _nodes(requirement: Requirement) -> Iterator[_Node]:
    name = canonicalize_name(requirement.name)
    yield name, ""
    for extra in sorted(requirement.extras):
        yield name, extra
