"""Gives environments that hold the same package the same version of it, where one version serves all."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from packaging.version import Version

from kgen.errors import OutsideError
from kgen.explain.names import few
from kgen.formats.outcome import Outcome, Reporter
from kgen.formats.wheels.closer import Closer
from kgen.formats.wheels.closure import Closed
from kgen.formats.wheels.lock import Lock
from kgen.formats.wheels.questions import results
from kgen.solver.sharing import shared_reasons

_TOLD = 5
"""So many packages that differ are told of with their versions."""

_ROUNDS = 3
"""How many rounds there are: a changed version may bring another package along."""


class Sharing:
    """Finds common versions, and records them as the reason."""

    def __init__(self, closer: Closer, *, cancel: threading.Event, report: Reporter) -> None:
        self._closer = closer
        self._cancel = cancel
        self._report = report

    def shared(
        self, pool: ThreadPoolExecutor, ready: Sequence[tuple[Outcome[Lock], Closed]]
    ) -> list[tuple[Outcome[Lock], Closed]]:
        """The resolutions, resolved again where another version serves every environment that holds a package.

        Args:
            pool: runs the resolutions.
            ready: each request with its resolution.
        """
        current = [found for _, found in ready]
        held: dict[int, tuple[str, ...]] = {}
        for _ in range(_ROUNDS):
            wanted = _common_versions(current)
            changes = [
                (position, tuple(f"{name}=={wanted[_group(found)][name]}" for name in differing))
                for position, found in enumerate(current)
                if (differing := _differing(found, wanted[_group(found)]))
            ]
            changes = [(position, texts) for position, texts in changes if held.get(position) != texts]
            if not changes:
                break
            held.update(changes)
            closing = [
                pool.submit(self._reclose, ready[position][0], current[position], texts) for position, texts in changes
            ]
            for (position, _), found in zip(changes, results(closing, self._cancel), strict=True):
                if found is not None:
                    current[position] = found
        return [(outcome, found) for (outcome, _), found in zip(ready, current, strict=True)]

    def _reclose(self, outcome: Outcome[Lock], first: Closed, versions: tuple[str, ...]) -> Closed | None:
        """Resolve again with these versions; None if that fails.

        uv answers from its cache first, which has seen all of them a moment ago.
        """
        shared = {text.partition("==")[0] for text in versions}
        kept = (text for text in first.constraints if text.partition("==")[0] not in shared)
        constraints = (*kept, *versions)
        started = time.monotonic()
        self._report(outcome.request, "sharing versions")
        try:
            for offline in (True, False):
                try:
                    found = self._closer.again(first, constraints, offline=offline)
                except OutsideError:
                    if self._cancel.is_set():
                        return None
                    continue
                if isinstance(found, Closed):
                    return found
            return None
        finally:
            outcome.seconds += time.monotonic() - started

    @staticmethod
    def tell(ended: Sequence[tuple[Outcome[Lock], Closed]]) -> None:
        """Note in the first outcome which packages no one version serves."""
        for text in _unshared([found for _, found in ended]):
            ended[0][0].notes.append(text)

    def explain(
        self, first: Sequence[tuple[Outcome[Lock], Closed]], ended: Sequence[tuple[Outcome[Lock], Closed]]
    ) -> None:
        """Record why packages have their version where it is to share files between environments."""
        alone = {outcome.request: self._closer.versions_alone(found) for outcome, found in first}
        locked = [(outcome, outcome.lock) for outcome, _ in ended if outcome.lock is not None]
        reasons = shared_reasons(
            [(lock.resolution, alone.get(outcome.request, {}), lock.versions) for outcome, lock in locked]
        )
        for (outcome, lock), own in zip(locked, reasons, strict=True):
            resolution = lock.resolution
            outcome.lock = dataclasses.replace(lock, resolution=resolution._replace(why=(*resolution.why, *own)))


def _group(found: Closed) -> tuple[str, str]:
    """Environments share versions if they are for one platform and one Python."""
    return found.resolution.request.platform, found.resolution.request.python


def _decided(found: Closed) -> set[str]:
    """The packages whose version the solver decided for this environment."""
    return {*found.resolution.packages, *found.resolution.pinned}


def _common_versions(current: Sequence[Closed]) -> dict[tuple[str, str], dict[str, Version]]:
    """For each group, the version that each package with several versions should have.

    The version that a solver decided on; else the oldest of those that were taken: who took a newer one can nearly
    always use an older one, and the reverse is not so.
    """
    wanted: dict[tuple[str, str], dict[str, Version]] = {}
    for group in {_group(found) for found in current}:
        members = [found for found in current if _group(found) == group]
        versions: dict[str, set[Version]] = {}
        for found in members:
            for name, version in found.versions.items():
                versions.setdefault(name, set()).add(version)
        wanted[group] = {}
        for name, taken in sorted(versions.items()):
            if len(taken) == 1:
                continue
            decided = {found.versions[name] for found in members if name in _decided(found) and name in found.versions}
            wanted[group][name] = min(decided or taken)
    return wanted


def _differing(found: Closed, wanted: Mapping[str, Version]) -> list[str]:
    decided = _decided(found)
    return [
        name
        for name, version in wanted.items()
        if name in found.versions and found.versions[name] != version and name not in decided
    ]


def _unshared(current: Sequence[Closed]) -> list[str]:
    """Which packages still differ between environments, in words."""
    told = []
    for group in sorted({_group(found) for found in current}):
        taken: dict[str, dict[Version, list[str]]] = {}
        for found in current:
            if _group(found) == group:
                for name, version in found.versions.items():
                    taken.setdefault(name, {}).setdefault(version, []).append(found.resolution.request.environment)
        alike: dict[tuple[tuple[str, ...], ...], list[str]] = {}
        for name, holders in sorted(taken.items()):
            chosen = all(name in _decided(found) for found in current if name in found.versions)
            if len(holders) > 1 and not chosen:
                alike.setdefault(tuple(sorted(map(tuple, holders.values()))), []).append(name)
        for sides, differing in alike.items():
            told.append(_told(differing, sides, taken))
    return told


def _told(
    names: Sequence[str],
    sides: Sequence[Sequence[str]],
    taken: Mapping[str, Mapping[Version, Sequence[str]]],
) -> str:
    """The packages that differ between the same environments, in one sentence."""
    what = f"{names[0]} differs" if len(names) == 1 else f"{len(names)} packages differ"
    if len(names) > _TOLD:
        listed = f"{few(names, _TOLD)}; `kgen list` shows their versions"
        between = " and ".join(environment for side in sides for environment in side)
        return f"{what} between {between}, no version serves all: {listed}"
    parts = []
    for side in sides:
        has = [
            f"{name} {version}" if len(names) > 1 else str(version)
            for name in names
            for version, environments in taken[name].items()
            if list(environments) == list(side)
        ]
        parts.append(f"{', '.join(has)} in {', '.join(side)}")
    return f"{what} between environments, no version serves all: {'; '.join(parts)}"
