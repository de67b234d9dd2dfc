"""Notes on frameworks that are older than they could be because of the user's other requirements."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator

from kgen.explain.reasons import reason_rule, reason_subject
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.causes import Newer, TermKind, Wish
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve

_OF_MACHINES = frozenset({TermKind.DRIVER, TermKind.GLIBC, TermKind.GPU})


def notes(matrix: CompatibilityMatrix, resolution: Resolution) -> Iterator[str]:
    """A note for each reason why frameworks of an environment are older.

    Args:
        matrix: the facts.
        resolution: the resolution of the environment.
    """
    beside = _Beside(matrix, resolution)
    yield from beside.companions()
    yield from beside.bounds()
    yield from _for_machine(resolution)


class _Beside:
    """Compares a resolution with what it would be without some of the dependencies."""

    def __init__(self, matrix: CompatibilityMatrix, resolution: Resolution) -> None:
        self._matrix = matrix
        self._resolution = resolution
        self._request = resolution.request._replace(held=())
        self._wishes = matrix.applying(resolution.request)

    @functools.cached_property
    def _anew(self) -> Resolution | Conflict:
        """The resolution with all dependencies and without the old lock; a difference to it comes from the old lock."""
        return solve(self._matrix, self._request)

    def companions(self) -> Iterator[str]:
        """Notes on dependencies that belong to a framework release without saying so, and make frameworks older."""
        named = {wish.name for wish in self._wishes}
        packages = self._resolution.packages
        rows = [row for row in self._matrix.companions if row.project in named and row.framework in packages]
        projects = list(dict.fromkeys(row.project for row in rows))
        older = self._older_with(projects)
        if older:
            go = "goes" if len(projects) == 1 else "go"
            yield f"{self._request.environment}: {older}: {' and '.join(projects)} {go} with nothing newer"

    def bounds(self) -> Iterator[str]:
        """Notes on the user's bounds on packages that frameworks need, as `numpy<2` and `keras<3.12`."""
        own = {self._matrix.backends[backend].framework for backend in self._request.backends}
        needed = {*self._resolution.libraries, *self._resolution.packages} - own
        bounds = [wish for wish in self._wishes if wish.specifier and wish.name in needed]
        older = self._older_with([wish.name for wish in bounds])
        if older:
            alone = [wish for wish in bounds if self._older_with([wish.name])] if len(bounds) > 1 else []
            asked = " and ".join(dict.fromkeys(f"{wish.name}{wish.specifier}" for wish in alone or bounds))
            yield f"{self._request.environment}: {older}, as {asked} is asked for"

    def _older_with(self, names: Collection[str]) -> str:
        """The frameworks that are older than without these dependencies, with both versions; empty if none is."""
        if not names:
            return ""
        others = tuple(wish for wish in self._request.dependencies if wish.name not in names)
        bound, free = self._anew, solve(self._matrix, self._request._replace(dependencies=others))
        if not isinstance(bound, Resolution) or not isinstance(free, Resolution):
            return ""
        return ", ".join(
            f"{name} is {version} and not {free.packages[name]}"
            for name, version in self._resolution.packages.items()
            if name in self._matrix.framework_names and name not in names and version == bound.packages.get(name)
            if version < free.packages.get(name, version)
        )


def _for_machine(resolution: Resolution) -> Iterator[str]:
    """Notes on frameworks that are older for the described machine: its glibc, its driver or its GPUs.

    The reason can be indirect: a newer framework may need a library, as cuDNN, of which no release fits the machine.
    """
    request = resolution.request
    for reason in resolution.why:
        hindrance = reason.ground.hindrance if isinstance(reason.ground, Newer) else None
        wish = None if hindrance is None else hindrance.fact if isinstance(hindrance.fact, Wish) else hindrance.wish
        if wish is not None and wish.kind in _OF_MACHINES:
            yield f"{request.environment}: {reason_subject(reason)} is the {reason_rule(reason, request.cutoff_flag)}"
