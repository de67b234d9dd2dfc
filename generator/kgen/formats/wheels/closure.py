"""An answer of the solver that uv has completed: every package with its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.version import Version

from kgen.formats.wheels.lock import LockedWheel
from kgen.model.lockfile import LockedTree
from kgen.model.resolution import Resolution


@dataclass(frozen=True, slots=True)
class Closed:
    """An answer of the solver that uv has completed.

    Attributes:
        resolution: what was to be closed.
        constraints: those that were given besides.
        wheels: the file of each package.
        build: what source distributions among them are built with.
        added: what was asked for besides, as a compiled file needs it.
        placed: the packages of the resolution's source trees that are in it.
    """

    resolution: Resolution
    constraints: tuple[str, ...]
    wheels: Mapping[str, LockedWheel]
    build: Mapping[str, LockedWheel] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    placed: frozenset[str] = frozenset()

    @property
    def versions(self) -> dict[str, Version]:
        """Package -> its version."""
        return {name: wheel.version for name, wheel in self.wheels.items()}

    @property
    def trees(self) -> tuple[LockedTree, ...]:
        """What is built from source trees, sorted by name."""
        trees = (one.tree for one in self.resolution.direct if one.tree is not None and one.name in self.placed)
        return tuple(sorted(trees))
