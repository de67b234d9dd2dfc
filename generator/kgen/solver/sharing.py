"""The same libraries in environments that stand side by side: switching backend changes only the backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.version import Version

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.causes import Reason, SharedRelease
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve


def solve_together(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest]) -> list[Resolution | Conflict]:
    """The best resolution of each request, with libraries in common where they can be; or why there is none.

    Args:
        matrix: the facts.
        requests: what is asked.
    """
    answers = [solve(matrix, request) for request in requests]
    if len(answers) == 1:
        return answers
    solved = [answer for answer in answers if isinstance(answer, Resolution)]
    preferred = dict(zip((answer.request for answer in solved), shared_libraries(solved), strict=True))
    together = [
        answer
        if isinstance(answer, Conflict) or preferred[answer.request].items() <= answer.libraries.items()
        else solve(matrix, answer.request, preferred=preferred[answer.request])
        for answer in answers
    ]
    alone = {answer.request: answer.libraries for answer in solved}
    shared = [answer for answer in together if isinstance(answer, Resolution)]
    reasons = iter(shared_reasons([(one, alone[one.request], one.libraries) for one in shared]))
    return [
        answer._replace(why=(*answer.why, *next(reasons))) if isinstance(answer, Resolution) else answer
        for answer in together
    ]


def shared_reasons(
    answers: Sequence[tuple[Resolution, Mapping[str, Version | None], Mapping[str, Version]]],
) -> list[tuple[Reason, ...]]:
    """For each resolution, the packages that have their version because others beside it have that one.

    Args:
        answers: each resolution; the versions that it would have alone, None for one that is not known; and those that
            it has.
    """
    holders: dict[tuple[str, str, str, Version], list[str]] = {}
    for one, _, versions in answers:
        for name, version in versions.items():
            holders.setdefault((*_group(one.request), name, version), []).append(one.request.environment)
    found = []
    for one, alone, versions in answers:
        own = []
        for name, version in sorted(versions.items()):
            held = (*_group(one.request), name, version)
            others = tuple(dict.fromkeys(other for other in holders[held] if other != one.request.environment))
            if others and alone.get(name, version) != version:
                own.append(Reason(name, version, SharedRelease(others), ()))
        found.append(tuple(own))
    return found


def _group(request: EnvironmentRequest) -> tuple[str, str]:
    """Environments share if they are for one platform and one Python."""
    return request.platform, request.python


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
            holders = groups.setdefault((*_group(request), name), {})
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


def common_ceilings(resolutions: Sequence[Resolution]) -> list[tuple[str, ...]]:
    """For each resolution, ceilings on libraries that are the resolver's to choose, as NumPy.

    Where one environment needs an older version than the others would get, its newest is a ceiling for the others, so
    that the resolver comes to the same version in all of them at once. A ceiling is a wish: without it, an environment
    has another version, but is no worse.
    """
    groups: dict[tuple[str, str, str], dict[int, tuple[Version, ...]]] = {}
    for position, resolution in enumerate(resolutions):
        request = resolution.request
        for name, allowed in resolution.allowed.items():
            if name not in resolution.pinned and allowed:
                groups.setdefault((*_group(request), name), {})[position] = allowed
    ceilings: list[list[str]] = [[] for _ in resolutions]
    for (_, _, name), holders in sorted(groups.items()):
        common = set.intersection(*(set(allowed) for allowed in holders.values()))
        if not common:
            continue
        newest = max(common)
        for position, allowed in holders.items():
            if allowed[-1] > newest:
                ceilings[position].append(f"{name}<={newest}")
    return [tuple(found) for found in ceilings]
