"""Changes to a request without a solution. Each was solved and works; smallest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from packaging.version import Version

from kgen.matrix.records import Build
from kgen.model.accelerator import CPU
from kgen.model.causes import Change
from kgen.model.ranges import VersionRange, version_or_none
from kgen.model.request import CPU_BUILDS, EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.requirement import Requirement
from kgen.model.resolution import Resolution, Suggestion
from kgen.solver import conflict
from kgen.solver.problem import FrameworkVariable, Problem, label_of
from kgen.solver.search import search

MOST = 4

Attempt = Callable[[EnvironmentRequest], Resolution | None]
Step = tuple[tuple[Change, ...], EnvironmentRequest]
"""Changes that belong together, and the request with them."""

OWN_INDEX = Change(RequestField.OWN_INDEX, "true")
MEMBERS_ON_CPU = Change(RequestField.OTHER_FRAMEWORKS, CPU_BUILDS)
ON_CPU = Change(RequestField.ACCELERATOR, CPU)


def suggestions(problem: Problem, attempt: Attempt) -> tuple[Suggestion, ...]:
    """At most :data:`MOST` changes that work; more if there are several targets that could each have something."""
    return tuple(islice(_working(problem, attempt), max(MOST, len(problem.request.targets))))


def _working(problem: Problem, attempt: Attempt) -> Iterator[Suggestion]:
    yield from _targets_alone(problem, attempt)
    single = (
        _labels,
        _own_index,
        _generations,
        _requirements,
        _dependencies,
        _keras,
        _cutoff,
        _pythons,
        _glibcs,
        _versions,
        _drivers,
        _gpus,
    )
    for steps in single:
        for changes, changed in steps(problem):
            resolution = attempt(changed)
            if resolution is not None:
                yield _suggestion(problem, changes, [resolution])
                break
    yield from _members_on_cpu(problem, attempt)
    yield from _apart(problem, attempt)
    for changes, changed in _platforms(problem):
        resolution = attempt(changed)
        if resolution is not None:
            yield _suggestion(problem, changes, [resolution])
            break
    if problem.request.accelerator != CPU:
        on_cpu = problem.request._replace(accelerator=CPU, gpus=(), driver=None, targets=(), glibc=_own_glibc(problem))
        yield from _where_offered(problem, attempt, ON_CPU, on_cpu)


def _own_glibc(problem: Problem) -> Version | None:
    """The glibc floor without the accelerator, whose machines may have a newer one."""
    kind = problem.matrix.accelerators.get(problem.request.accelerator.kind)
    return None if kind is not None and problem.request.glibc == kind.glibc else problem.request.glibc


def _targets_alone(problem: Problem, attempt: Attempt) -> Iterator[Suggestion]:
    """What each of several targets could have without the others."""
    request = problem.request
    for machine in request.targets if len(request.targets) > 1 else ():
        resolution = attempt(request._replace(targets=(machine,)))
        if resolution is not None:
            yield _suggestion(problem, (Change(RequestField.TARGET, machine.name),), [resolution])


def _own_index(problem: Problem) -> Iterator[Step]:
    """Builds that only a framework's own index has."""
    frameworks = [problem.matrix.framework(name) for name in problem.frameworks]
    builds = (build for framework in frameworks for release in framework.releases for build in release.builds)
    if not problem.request.own_index and any(build.accelerated and build.local is not None for build in builds):
        yield (OWN_INDEX,), problem.request._replace(own_index=True)


def _members_on_cpu(problem: Problem, attempt: Attempt) -> Iterator[Suggestion]:
    """CPU builds of the frameworks that dependencies bring in; from their own index if no other has them."""
    request = problem.request
    if request.accelerator == CPU or not request.members:
        return
    on_cpu = (*request.cpu_members, *request.members)
    moved = request._replace(members=(), cpu_members=on_cpu, other_frameworks=CPU_BUILDS)
    yield from _where_offered(problem, attempt, MEMBERS_ON_CPU, moved)


def _where_offered(
    problem: Problem, attempt: Attempt, change: Change, changed: EnvironmentRequest
) -> Iterator[Suggestion]:
    """A change to CPU builds, with a framework's own index if only that has some of them."""
    resolution = attempt(changed)
    if resolution is None:
        return
    changes: tuple[Change, ...] = (change,)
    if resolution.local and not changed.own_index:
        resolution = attempt(changed._replace(own_index=True))
        changes = (change, OWN_INDEX)
    if resolution is not None:
        yield _suggestion(problem, changes, [resolution])


def _generations(problem: Problem) -> Iterator[Step]:
    """The generation of Keras that existed on the requested day, if the requested one came later."""
    request, matrix = problem.request, problem.matrix
    if request.cutoff is None or problem.generation.since <= request.cutoff:
        return
    there = [one for one in matrix.generations.values() if one.since <= request.cutoff]
    for generation in sorted(there, key=lambda one: one.since, reverse=True):
        rows = [matrix.backend_named(matrix.backends[name].short, generation.name) for name in request.backends]
        backends = tuple(row.name for row in rows if row is not None)
        if len(backends) == len(rows):
            name = request.name if request.joint else backends[0]
            changed = request._replace(name=name, backends=backends, keras=VersionRange())
            keras = (Change(RequestField.KERAS, None, str(request.keras)),) if request.keras else ()
            yield (Change(RequestField.GENERATION, generation.name), *keras), changed


def _suggestion(problem: Problem, changes: tuple[Change, ...], resolutions: list[Resolution]) -> Suggestion:
    gives = {
        name: str(resolution.packages[name])
        for resolution in resolutions
        for name in problem.frameworks
        if name in resolution.packages
    }
    return Suggestion(changes, gives, tuple(resolution.request for resolution in resolutions))


def _requirements(problem: Problem) -> Iterator[Step]:
    """Another version than the required one: the closest newer one that works, else the newest older one."""
    request = problem.request
    for requirement in request.requirements:
        others = tuple(other for other in request.requirements if other is not requirement)
        for text in _others_near(problem, request._replace(requirements=others), requirement):
            change = Change(RequestField.REQUIREMENT, text, str(requirement))
            yield (change,), request._replace(requirements=(*others, Requirement(text)))


def _others_near(problem: Problem, without: EnvironmentRequest, requirement: Requirement) -> Iterator[str]:
    """Other bounds to replace a requirement, the most similar first."""
    yield from _early(problem, requirement)
    yield from _respelled(problem, requirement)
    yield from _beside(problem, requirement)
    for name in problem.frameworks:
        parts = conflict.parts_near(problem, name, requirement)
        yield from (f"{requirement.head}=={version}" for _, version in reversed(parts))
    near = _near(problem, without, requirement)
    if near is not None:
        yield near


def _early(problem: Problem, requirement: Requirement) -> Iterator[str]:
    """The newest pre-release in a range that names one; its exact version, because ranges exclude pre-releases."""
    variable = problem.variables.get(requirement.name)
    if not isinstance(variable, FrameworkVariable) or not requirement.specifier.names_early:
        return
    bounds = [bound for one in requirement.specifier if (bound := version_or_none(one.version)) is not None]
    early = [one.version for one in variable.releases if one.version.is_prerelease]
    held = [one for one in early if one in requirement.specifier]
    for version in (held or [one for one in early if any(one.release == bound.release for bound in bounds)])[-1:]:
        yield f"{requirement.head}=={version}"


def _beside(problem: Problem, requirement: Requirement) -> Iterator[str]:
    """The releases closest to one that the matrix does not know, those of its minor first, on any Python.

    Which of them the request's Python supports does not matter: kgen chose that Python for the newest release.
    """
    variable = problem.variables.get(requirement.name)
    exact = [version_or_none(one.version) for one in requirement.specifier if one.operator == "=="]
    wanted = exact[0] if len(exact) == 1 else None
    if not problem.request.python_open or wanted is None or not isinstance(variable, FrameworkVariable):
        return
    known = [one.version for one in variable.releases if not (one.yanked or one.version.is_prerelease)]
    if wanted.is_prerelease or Version(wanted.public) in known:
        return
    near = [*[one for one in known if one > wanted][:1], *[one for one in known if one < wanted][-1:]]
    for version in sorted(near, key=lambda one: one.release[:2] != wanted.release[:2]):
        yield f"{requirement.head}=={version}"


def _labels(problem: Problem) -> Iterator[Step]:
    """The accelerator that a requested build label is for, from the framework's own index."""
    request = problem.request
    for requirement in request.requirements:
        for build, spelled in _labelled_builds(problem, requirement):
            accelerator = build.accelerator.whole
            changes: list[Change] = []
            changed = request
            if accelerator != request.accelerator.whole:
                changes.append(Change(RequestField.ACCELERATOR, accelerator))
                changed = changed._replace(accelerator=accelerator)
            if spelled != str(requirement):
                changes.append(Change(RequestField.REQUIREMENT, spelled, str(requirement)))
                others = (one for one in request.requirements if one is not requirement)
                changed = changed._replace(requirements=(*others, Requirement(spelled)))
            elif not request.own_index:
                changes.append(OWN_INDEX)
                changed = changed._replace(own_index=True)
            yield tuple(changes), changed


def _labelled_builds(problem: Problem, requirement: Requirement) -> Iterator[tuple[Build, str]]:
    """Accelerator builds with the label that a requirement names, or else builds of the same version without a label.

    Each with the wording that requests it.
    """
    label = label_of(requirement)
    if label is None or requirement.name not in problem.matrix.accelerated_frameworks:
        return
    without = next(iter(_respelled(problem, requirement)), "")
    for release in problem.matrix.framework(requirement.name).releases:
        here = [one for one in release.builds if one.accelerated and problem.request.platform in one.platforms]
        if Version(f"{release.version}+{label}") in requirement.specifier:
            yield from ((one, str(requirement)) for one in here if one.local == label)
            digits = re.sub(r"\D", "", label)
            plain = (one for one in here if one.local is None and one.accelerator.number.replace(".", "") == digits)
            yield from ((one, without) for one in plain if digits)


def _dependencies(problem: Problem) -> Iterator[Step]:
    """The same for a framework that the user names as a dependency."""
    request = problem.request
    for wish in request.dependencies:
        others = tuple(other for other in request.dependencies if other is not wish)
        if wish.url is not None or not wish.specifier:
            continue
        for text in _others_near(problem, request._replace(dependencies=others), wish):
            change = Change(RequestField.DEPENDENCY, text, str(wish))
            yield (change,), request._replace(dependencies=(*others, Requirement(text)))


def _near(problem: Problem, without: EnvironmentRequest, requirement: Requirement) -> str | None:
    """A bound close to a required one that works; None if there is none, or the solver does not choose the package.

    Args:
        problem: the problem without a solution.
        without: its request without the requirement.
        requirement: the requirement.
    """
    name = requirement.name
    relaxed = Problem(problem.matrix, without)
    variable = relaxed.variables.get(name)
    if variable is None:
        return None
    refused = [p for p, version in enumerate(variable.versions) if version in requirement.specifier]
    start = refused[-1] if refused else _below(requirement, variable.versions)
    newer = next((p for p in range(start + 1, len(variable.versions)) if _feasible(relaxed, name, p)), None)
    if newer is not None:
        return f"{requirement.head}>={_short(variable.versions[newer])}"
    older = next((p for p in range(start, -1, -1) if _feasible(relaxed, name, p)), None)
    return None if older is None else f"{requirement.head}=={variable.versions[older]}"


def _below(requirement: Requirement, versions: Sequence[Version]) -> int:
    """The position of the newest release below the required version; the last position if no version is required."""
    exact = [one.version for one in requirement.specifier if one.operator in {"==", "==="}]
    wanted = version_or_none(exact[0]) if len(exact) == 1 else None
    if wanted is None:
        return len(versions) - 1
    return sum(1 for version in versions if version < wanted) - 1


def _respelled(problem: Problem, requirement: Requirement) -> Iterator[str]:
    """The required release without its build label, which the framework's own index has and the matrix may not.

    Uses `==` instead of `===`, which compares text.
    """
    if requirement.name not in problem.matrix.framework_names:
        return
    releases = problem.matrix.framework(requirement.name).releases
    for one in requirement.specifier:
        wanted = version_or_none(one.version) if one.operator in {"==", "==="} else None
        if wanted is not None and (wanted.local or one.operator == "==="):
            yield from (
                f"{requirement.head}=={each.version}" for each in releases if each.version == Version(wanted.public)
            )


def _feasible(problem: Problem, name: str, position: int) -> bool:
    variable = problem.variables[name]
    base = variable.base
    variable.base = base & 1 << position
    try:
        return bool(variable.base) and search(problem) is not None
    finally:
        variable.base = base


def _short(version: Version) -> str:
    """`2.7.0` as `2.7`: the shortest spelling of a lower bound."""
    text = str(version)
    while text.count(".") > 1 and text.endswith(".0"):
        text = text.removesuffix(".0")
    return text


def _keras(problem: Problem) -> Iterator[Step]:
    if problem.request.keras:
        dropped = Change(RequestField.KERAS, None, str(problem.request.keras))
        yield (dropped,), problem.request._replace(keras=VersionRange())


def _cutoff(problem: Problem) -> Iterator[Step]:
    request, generation = problem.request, problem.generation.name
    if request.cutoff is not None:
        # a day that also selected the Keras generation selects another one when it changes
        chosen = request.as_of and generation != next(iter(problem.matrix.generations))
        kept = (Change(RequestField.GENERATION, generation),) if chosen else ()
        changed = request._replace(cutoff=None, as_of=False)
        if request.python_open:
            from kgen.solver.python import best_python  # noqa: PLC0415 - it solves, and so imports this

            # kgen had chosen the Python for the day
            changed = changed._replace(python=best_python(problem.matrix, [changed]))
        yield (*kept, Change(RequestField.CUTOFF, None, str(request.cutoff))), changed


def _pythons(problem: Problem) -> Iterator[Step]:
    """Older Pythons, the nearest first, as that is the smaller step; then newer ones."""
    if problem.request.python_open:
        return
    minors = [row.version for row in problem.matrix.pythons]
    here = minors.index(problem.request.python) if problem.request.python in minors else len(minors)
    for python in (*reversed(minors[:here]), *minors[here + 1 :]):
        yield (Change(RequestField.PYTHON, python),), problem.request._replace(python=python)


def _glibcs(problem: Problem) -> Iterator[Step]:
    floor = problem.request.glibc or problem.platform.glibc
    for glibc in problem.platform.uv_glibc:
        if floor is not None and glibc > floor:
            yield (Change(RequestField.GLIBC, str(glibc)),), problem.request._replace(glibc=glibc)


def _versions(problem: Problem) -> Iterator[Step]:
    """The whole major instead of a requested minor, then other majors, nearest first and of two the newer."""
    asked = problem.request.accelerator

    def distance(major: int) -> tuple[int, int]:
        return abs(major - (asked.version[0] if asked.version else major)), -major

    majors = problem.matrix.majors(asked.kind)
    known = [majors[major].accelerator for major in sorted(majors, key=distance)]
    wider = [asked.whole] if asked.minor is not None else []
    for accelerator in (*wider, *(one for one in known if one != asked.whole)):
        changed = problem.request._replace(accelerator=accelerator)
        # a dependency that is named for a major can be locked for that major only
        if not problem.matrix.named_for_another(changed):
            yield (Change(RequestField.ACCELERATOR, accelerator),), changed


def _drivers(problem: Problem) -> Iterator[Step]:
    driver = problem.request.driver
    if driver is None:
        return
    matrix, kind, platform = problem.matrix, problem.request.accelerator.kind, problem.request.platform
    floors = {major.driver_on(platform) for major in matrix.majors(kind).values()}
    floors |= {row.driver_on(platform) for row in matrix.cudnn if row.accelerator.kind == kind}
    floors |= {toolkit.driver_on(platform) for toolkit in matrix.toolkits_of(kind)}
    for floor in sorted(one for one in floors if one is not None):
        if floor > driver:
            yield (Change(RequestField.DRIVER, str(floor)),), problem.request._replace(driver=floor)


def _gpus(problem: Problem) -> Iterator[Step]:
    for gpu in problem.request.gpus:
        rest = tuple(other for other in problem.request.gpus if other != gpu)
        yield (Change(RequestField.GPU, None, str(gpu)),), problem.request._replace(gpus=rest)


def _apart(problem: Problem, attempt: Attempt) -> Iterator[Suggestion]:
    """A separate environment for each backend."""
    request = problem.request
    if not request.joint:
        return
    found = []
    for backend in request.backends:
        accelerated = problem.matrix.backends[backend].accelerated
        alone = request._replace(
            name=backend,
            backends=(backend,),
            accelerator=request.accelerator if accelerated else CPU,
            requirements=tuple(r for r in request.requirements if _concerns(problem, backend, r)),
        )
        found.append(attempt(alone))
    if all(resolution is not None for resolution in found):
        resolutions = [resolution for resolution in found if resolution is not None]
        yield _suggestion(problem, (Change(RequestField.JOINT, None, request.name),), resolutions)


def _concerns(problem: Problem, backend: str, requirement: Requirement) -> bool:
    """Whether a requirement is about the framework of this backend or about no framework."""
    name = requirement.name
    frameworks = {*problem.frameworks} - {problem.matrix.backends[backend].framework, problem.keras}
    return name not in frameworks


def _platforms(problem: Problem) -> Iterator[Step]:
    for platform in problem.matrix.platforms:
        if platform != problem.request.platform:
            glibc = problem.request.glibc if problem.matrix.platforms[platform].glibc is not None else None
            yield (Change(RequestField.PLATFORM, platform),), problem.request._replace(platform=platform, glibc=glibc)
