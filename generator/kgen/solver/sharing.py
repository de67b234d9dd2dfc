"""The same CUDA libraries in environments that stand side by side, so that switching backend changes only the backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.version import Version

from kgen.model.resolution import Resolution


def shared_libraries(resolutions: Sequence[Resolution]) -> list[Mapping[str, Version]]:
    """For each resolution, the version of each pinned library that it should take.

    Environments share if they are for one platform and one Python. Of the versions that a library may have, the one
    that serves most environments is taken, the newest of several; those that it cannot serve share another one.
    """
    preferred: list[dict[str, Version]] = [{} for _ in resolutions]
    groups: dict[tuple[str, str, str], dict[int, frozenset[Version]]] = {}
    for position, resolution in enumerate(resolutions):
        request = resolution.request
        for name in resolution.pinned:
            holders = groups.setdefault((request.platform, request.python, name), {})
            holders[position] = frozenset(resolution.allowed[name])
    for (_, _, name), holders in groups.items():
        waiting = dict(holders)
        while waiting:
            counts: dict[Version, int] = {}
            for allowed in waiting.values():
                for version in allowed:
                    counts[version] = counts.get(version, 0) + 1
            taken = max(counts, key=lambda version: (counts[version], version))
            served = [position for position, allowed in waiting.items() if taken in allowed]
            for position in served:
                preferred[position][name] = taken
                del waiting[position]
    return [dict(found) for found in preferred]
