"""Why these versions, what excludes newer ones, and which changes would give the newest; each change was solved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from packaging.version import Version

from kgen.matrix.candidates import BuildTarget, candidate
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.causes import (
    Cause,
    Change,
    DependsOn,
    Hindrance,
    HindranceKind,
    Newer,
    Reason,
    SeenTraining,
    SetAside,
    Stated,
    TermKind,
    Wish,
)
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.requirement import Requirement
from kgen.model.resolution import Resolution, Suggestion
from kgen.solver import conflict, suggest
from kgen.solver.problem import CUDNN, Problem
from kgen.solver.resolve import attempt, select


class Explanation(NamedTuple):
    """Why a package has its version.

    Attributes:
        package: the package.
        version: its version.
        newest: the newest release that is not a pre-release, yanked, or known to be bad.
        reasons: why it has this version.
        causes: a minimal set of causes that exclude the newest; () if it is the newest.
        ways: changes to the request with which it would be the newest; None if kgen did not look for any.
        unlocked: its version without the versions that the existing lock holds; None if that is the same.
    """

    package: str
    version: Version
    newest: Version
    reasons: tuple[Reason, ...]
    causes: tuple[Cause, ...]
    ways: tuple[Suggestion, ...] | None
    unlocked: Version | None = None


def explain(matrix: CompatibilityMatrix, resolution: Resolution, package: str | None = None) -> tuple[Explanation, ...]:
    """Explain a resolution: its frameworks and Keras, and its cuDNN.

    The versions of an older lock are an origin of versions, not an obstacle to others.

    Args:
        matrix: the facts.
        resolution: the resolution.
        package: the only package, or library by its role such as `cudnn`, to explain; None for all.
    """
    problem = Problem(matrix, resolution.request._replace(held=()))
    followed = [name for name in resolution.packages if name in matrix.framework_names]
    libraries = [name for name in resolution.libraries if matrix.library(name) is not None]
    if package is not None:
        # NumPy is the framework of its own backend, and a library of the others
        computed = [name for name in resolution.libraries if name in matrix.framework_names]
        names = [name for name in (*followed, *computed, *libraries) if package in {name, problem.role(name)}]
    else:
        names = [*followed, *(name for name in libraries if problem.role(name) == CUDNN)]
    free = attempt(matrix, problem.request) if resolution.request.held else None
    others = {} if free is None else {**free.packages, **free.libraries}
    # nobody wants the newest cuDNN for its own sake, and finding a way to it takes longer than everything else
    return tuple(
        _explanation(problem, resolution, name, others.get(name), thorough=package is not None or name in followed)
        for name in names
    )


def _explanation(
    problem: Problem, resolution: Resolution, name: str, other: Version | None, *, thorough: bool
) -> Explanation:
    version = resolution.packages.get(name) or resolution.libraries[name]
    newest = max((*_sound(problem, name), version))
    unlocked = None if other == version else other
    # the version is locked, and was locked for these reasons
    reasons = tuple(
        reason
        for reason in resolution.why
        if reason.package == name and (unlocked is None or isinstance(reason.ground, (SeenTraining, SetAside)))
    )
    reasons = reasons or (*_dependents(problem, resolution, name), *_wished(problem, name, version, newest))
    if newest == version or not thorough:
        return Explanation(name, version, newest, reasons, (), None, unlocked)
    request = problem.request
    goal = Requirement(f"{name}=={newest}")
    wished = request._replace(requirements=(*request.requirements, goal))
    asked = Problem(problem.matrix, wished)

    def reaching(changed: EnvironmentRequest) -> Resolution | None:
        if not may_be_had(problem.matrix, name, newest, changed):
            return None
        found = attempt(problem.matrix, changed)
        taken = {} if found is None else {**found.packages, **found.libraries}
        # with a separate environment for each backend, the other environments only need to be solvable
        apart = request.joint and not changed.joint and name not in taken and name in problem.frameworks
        return found if apart or taken.get(name) == newest else None

    if select(asked) is not None:
        if unlocked is not None:
            return Explanation(name, version, newest, reasons, (), None, unlocked)
        found = reaching(wished)
        gives = {} if found is None else {one: str(found.packages[one]) for one in problem.frameworks}
        requests = (wished if found is None else found.request,)
        way = Suggestion((Change(RequestField.REQUIREMENT, str(goal)),), gives, requests)
        return Explanation(name, version, newest, reasons, (), (way,))
    own = Stated(Wish(TermKind.REQUIREMENT, str(goal)))
    causes = tuple(cause for cause in conflict.causes(asked) if cause.facts != (own,))
    ways = tuple(_without(goal, way, reaching) for way in suggest.suggestions(asked, reaching))
    return Explanation(name, version, newest, reasons, causes, ways, unlocked)


def _without(
    goal: Requirement, way: Suggestion, reaching: Callable[[EnvironmentRequest], Resolution | None]
) -> Suggestion:
    """A way that does not pin the release, if relaxing a wish about the package gives the release as well.

    Args:
        goal: the wish for that release, which is not the user's.
        way: a change that gives the release.
        reaching: returns the resolution of a request if it has the release.
    """
    requests = tuple(
        request._replace(requirements=tuple(one for one in request.requirements if one != goal))
        if [one.name for one in (*request.requirements, *request.dependencies)].count(goal.name) > 1
        else request
        for request in way.requests
    )
    return way._replace(requests=requests) if all(reaching(request) for request in requests) else way


def may_be_had(matrix: CompatibilityMatrix, name: str, version: Version, request: EnvironmentRequest) -> bool:
    """Whether a release has any build for the request, which takes much less time to find out than solving.

    Args:
        matrix: the facts.
        name: a framework, Keras or a library.
        version: the release.
        request: the request.

    Returns:
        False only if no solution of the request can have it.
    """
    release = matrix.release(name, version) if name in matrix.framework_names else None
    if release is None or name not in {matrix.backends[backend].framework for backend in request.backends}:
        return True
    # a solution may have another Python if that is open, and a minor only narrows the accelerator
    target = BuildTarget(
        request.accelerator.whole,
        request.platform,
        None if request.python_open else request.python,
        own_index=True,
    )
    return candidate(matrix, name, release, target, pinned=True).obstacle is None


def _sound(problem: Problem, name: str) -> list[Version]:
    matrix = problem.matrix
    if name in matrix.framework_names:
        return [
            release.version
            for release in matrix.framework(name).releases
            if not (release.yanked or release.known_bad or release.version.is_prerelease)
            and problem.is_of_generation(name, release.version)
        ]
    library = matrix.library(name)
    return [] if library is None else [row.version for row in library.releases if not row.version.is_prerelease]


def _wished(problem: Problem, name: str, version: Version, newest: Version) -> Iterator[Reason]:
    """The user's wish that alone excludes the newest release of a library, as an old GPU excludes the newest cuDNN."""
    variable = problem.variables.get(name)
    if newest == version or variable is None or newest not in variable.versions:
        return
    position = list(variable.versions).index(newest)
    for terms, mask in variable.filters:
        if not mask >> position & 1:
            hindrance = Hindrance(HindranceKind.REQUEST, conflict.wish(problem, terms[0]))
            yield Reason(name, version, Newer(newest, hindrance), ())
            return


def _dependents(problem: Problem, resolution: Resolution, name: str) -> Iterator[Reason]:
    """The packages that require a library, and their requirements."""
    for variable in problem.framework_variables:
        position = list(variable.versions).index(resolution.packages[variable.name])
        for need in variable.dependencies[position]:
            if need.package == name:
                depends = DependsOn(problem.role(name), (need.bound,))
                yield Reason(variable.name, variable.versions[position], depends, (need.source,))
