"""Gives environments of one project the same libraries, so that switching the backend changes only the backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.version import Version

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.causes import Reason, SharedRelease
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve


def solve_together(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest]) -> list[Resolution | Conflict]:
    """The best resolution of each request, with shared libraries where possible; or why there is none.

    Args:
        matrix: the facts.
        requests: the requests.
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
    """For each resolution, the packages that have their version because other environments have it.

    Args:
        answers: for each resolution: the resolution, the versions that it would have alone (None if unknown), and the
            versions that it has.
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
    """The platform and the Python, which environments must have in common to share libraries."""
    return request.platform, request.python


def shared_libraries(resolutions: Sequence[Resolution]) -> list[Mapping[str, Version]]:
    """For each resolution, the version of each pinned library that it should take.

    Environments share libraries if they have the same platform and Python. For each library, kgen takes the version
    that most environments can use, the newest if there are several. The environments that cannot use it share another
    one.
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
    """For each resolution, upper bounds on libraries that the installer's resolver chooses, such as NumPy.

    If one environment needs an older version than the others would get, its newest version is an upper bound for the
    others, so that the resolver finds the same version for all of them. The bound is a preference: without it an
    environment has another version, but is no worse.
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
