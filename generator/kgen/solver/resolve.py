"""The entry point of the solver: matrix and request -> resolution or conflict."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from packaging.version import Version

from kgen.matrix.candidates import (
    BuildTarget,
    Obstacle,
    data_center_devices,
    forward_package,
    least_floor,
    plugin_of_other,
    releases_with_builds,
)
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, Release
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import (
    BuildPurpose,
    BuiltFor,
    Cause,
    Change,
    Company,
    DependsOn,
    Doubt,
    ForwardRun,
    Ground,
    Hindrance,
    HindranceKind,
    Newer,
    NewestRelease,
    NotFound,
    Origin,
    OtherPlatform,
    Pythons,
    Reason,
    Refusal,
    RefusalKind,
    Replacement,
    SeenTraining,
    SetAside,
    Stated,
    Unstated,
    Warning,  # noqa: A004 - as it is declared
    WarningKind,
)
from kgen.model.request import BoundedVersion, EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.requirement import Requirement, parse_requirement
from kgen.model.resolution import Conflict, Resolution, SourceRelease, Suggestion
from kgen.solver import conflict, imported_frameworks, suggest
from kgen.solver.problem import CUDNN, FrameworkVariable, Problem, newest
from kgen.solver.search import Assignment, search

Incompatibility = frozenset[tuple[str, Version]]


def solve(
    matrix: CompatibilityMatrix,
    request: EnvironmentRequest,
    *,
    incompatibilities: Sequence[Incompatibility] = (),
    preferred: Mapping[str, Version] = MappingProxyType({}),
) -> Resolution | Conflict:
    """The best resolution of a request, or why there is none.

    Args:
        matrix: the facts.
        request: the request.
        incompatibilities: sets of (package, version) that do not work together, learned from the installer's resolver.
        preferred: versions of libraries to take instead of the newest, if the chosen builds allow it.
    """
    problem = Problem(matrix, request)
    astray = _plugins_of_others(problem)
    if astray:
        return _without_plugins(problem, astray)
    assignment = select(problem, incompatibilities)
    if assignment is not None:
        resolution = resolution_of(problem, assignment, preferred)
        if request.held:
            resolution = _as_if_new(matrix, resolution)
        taken = {**resolution.packages, **resolution.libraries}.items()
        if any(incompatibility <= taken for incompatibility in incompatibilities):
            # incompatibilities take precedence over preferences
            return resolution_of(problem, assignment)
        return resolution
    if incompatibilities:
        return _exhausted(request, incompatibilities)
    found = conflict.causes(problem)
    return Conflict(
        request=request,
        refusals=refusals(problem),
        causes=found,
        suggestions=suggest.suggestions(problem, lambda changed: attempt(matrix, changed)),
    )


def _plugins_of_others(problem: Problem) -> dict[str, Accelerator]:
    """The dependencies that would make a framework compute on another accelerator -> that accelerator."""
    request, matrix = problem.request, problem.matrix
    return {
        wish.name: own
        for wish in matrix.applying(request)
        if (own := plugin_of_other(matrix, wish.name, problem.frameworks, request.accelerator)) is not None
    }


def _without_plugins(problem: Problem, astray: Mapping[str, Accelerator]) -> Conflict:
    """The conflict that an environment for this accelerator cannot contain plugins for others, which load anyway."""
    request = problem.request
    causes = [
        Cause(subject=name, facts=(Stated(BuiltFor((BuildPurpose(own),))),), source=RequestField.DEPENDENCY)
        for name, own in astray.items()
    ]
    found: list[Suggestion] = []
    for own in dict.fromkeys(astray.values()):
        resolution = attempt(problem.matrix, request._replace(accelerator=own, gpus=(), driver=None, targets=()))
        if resolution is not None:
            given = {name: str(resolution.packages[name]) for name in problem.frameworks}
            changes = (Change(RequestField.ACCELERATOR, own),)
            found.append(Suggestion(changes, given, (resolution.request,)))
    titles = tuple(problem.matrix.framework(name).title for name in problem.frameworks)
    return Conflict(
        request=request,
        refusals=(Refusal(RefusalKind.INCOMPATIBLE, titles),),
        causes=tuple(causes),
        suggestions=tuple(found),
    )


def _as_if_new(matrix: CompatibilityMatrix, resolution: Resolution) -> Resolution:
    """The resolution with the reasons of one that keeps nothing, if both have the same frameworks.

    A lock that is made again without anything new must be identical to the byte. If receipts decided on a version,
    rather than only confirming it, they are its reason.
    """
    free = Problem(matrix, resolution.request._replace(held=(), recorded=()))
    assignment = select(free)
    if assignment is None:
        return resolution
    anew = resolution_of(free, assignment)
    if anew.packages == resolution.packages:
        return resolution._replace(why=anew.why)
    return resolution._replace(why=tuple(_as_recorded(resolution, anew, reason) for reason in resolution.why))


def _as_recorded(resolution: Resolution, anew: Resolution, reason: Reason) -> Reason:
    """The reason for a version: the old lock's, if a new resolution would have another version."""
    version = resolution.packages.get(reason.package)
    for row in resolution.request.recorded:
        if (row.package, row.version) != (reason.package, version) or row.package not in anew.packages:
            continue
        if isinstance(row, BoundedVersion):
            return reason._replace(ground=SetAside(row.newer, row.why))
        otherwise = anew.packages[row.package]
        if otherwise != version:
            ground = SeenTraining(row.receipts, row.devices, otherwise)
            return Reason(row.package, row.version, ground, row.sources)
        return next((one for one in anew.why if one.package == row.package), reason)
    return reason


def _exhausted(request: EnvironmentRequest, incompatibilities: Sequence[Incompatibility]) -> Conflict:
    """The conflict that the matrix allows solutions, but learned incompatibilities exclude them all."""
    return Conflict(
        request=request,
        refusals=(Refusal(RefusalKind.EXHAUSTED),),
        causes=tuple(
            Cause(Origin.RESOLVER.value, (Stated(NotFound(tuple(sorted(incompatibility)))),), Origin.RESOLVER)
            for incompatibility in incompatibilities
        ),
        suggestions=(),
    )


def attempt(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Resolution | None:
    """The best resolution of a request, on any Python if that is open; or None."""
    others = [row.version for row in reversed(matrix.pythons)] if request.python_open else []
    for python in dict.fromkeys([request.python, *others]):
        problem = Problem(matrix, request._replace(python=python))
        assignment = select(problem)
        if assignment is not None:
            return resolution_of(problem, assignment)
    return None


def own_index_gain(matrix: CompatibilityMatrix, resolution: Resolution) -> Suggestion | None:
    """What a framework's own index would improve in a resolution made without it; None if nothing.

    It is better if some framework is newer with it and none is older. Nothing is solved unless a row has a newer build.
    """
    request = resolution.request
    if request.own_index or request.accelerator == CPU:
        return None
    frameworks = [name for name in resolution.packages if name in matrix.framework_names]
    if not any(_has_newer_own_build(matrix, name, resolution) for name in frameworks):
        return None
    found = attempt(matrix, request._replace(own_index=True, python_open=False))
    if found is None or any(found.packages[name] < resolution.packages[name] for name in frameworks):
        return None
    newer = {name: str(found.packages[name]) for name in frameworks if found.packages[name] > resolution.packages[name]}
    return Suggestion((suggest.OWN_INDEX,), newer, (found.request,)) if newer else None


def _has_newer_own_build(matrix: CompatibilityMatrix, name: str, resolution: Resolution) -> bool:
    target = BuildTarget.of(resolution.request)._replace(own_index=True)
    return any(
        release.version > resolution.packages[name] and build.local is not None
        for release, build in releases_with_builds(matrix, matrix.framework(name), target)
    )


def select(problem: Problem, incompatibilities: Sequence[Incompatibility] = ()) -> Assignment | None:
    """The best assignment that contains none of the incompatibilities."""
    if conflict.without_candidates(problem) is not None:
        return None
    learned = set()
    for incompatibility in incompatibilities:
        positions = {
            (name, list(problem.variables[name].versions).index(version))
            for name, version in incompatibility
            if name in problem.variables and version in problem.variables[name].versions
        }
        if positions:
            learned.add(frozenset(positions))
    for single in learned:
        if len(single) == 1:
            ((name, position),) = single
            problem.variables[name].base &= ~(1 << position)
    joint = frozenset(positions for positions in learned if len(positions) > 1)
    return None if conflict.without_candidates(problem) is not None else search(problem, None, joint)


def refusals(problem: Problem) -> tuple[Refusal, ...]:
    """What is not available, and where it is if the request is for GPUs."""
    request = problem.request
    found = [_refusal(problem), *_not_yet_released(problem)]
    if request.accelerator != CPU:
        rows = [problem.matrix.backends[backend] for backend in request.backends]
        found += [Refusal(RefusalKind.ELSEWHERE, text=row.elsewhere) for row in rows if row.elsewhere]
        found += [
            Refusal(RefusalKind.ELSEWHERE, text=text)
            for variable in problem.framework_variables
            for text in _elsewhere(problem, variable)
        ]
        found += _with_older_driver(problem)
    return tuple(dict.fromkeys(found))


def _with_older_driver(problem: Problem) -> Iterator[Refusal]:
    """That a vendor's package makes the driver sufficient, if the driver is the only obstacle."""
    request, matrix = problem.request, problem.matrix
    if request.driver is None:
        return
    package = forward_package(matrix, request.accelerator, request.platform, request.driver)
    devices = data_center_devices(matrix, request.accelerator, request.every_gpu)
    if package is None or not devices:
        return
    if attempt(matrix, request._replace(driver=package.driver)) is not None:
        forward = ForwardRun(request.driver, package.name, package.driver, devices)
        yield Refusal(RefusalKind.FORWARD, forward=forward)


def _not_yet_released(problem: Problem) -> Iterator[Refusal]:
    """That a generation had no release yet on the requested day."""
    cutoff, generation = problem.request.cutoff, problem.generation
    if cutoff is not None and generation.since > cutoff:
        yield Refusal(RefusalKind.NOT_YET_RELEASED, (generation.title,), day=generation.since)


def _elsewhere(problem: Problem, variable: FrameworkVariable) -> Iterator[str]:
    """Where to get a GPU build of the newest release that the requirements and the day allow, if no index has one."""
    left = [
        release.version for release in conflict.left_by_wishes(problem, variable) if not release.version.is_prerelease
    ]
    request = problem.request
    for row in problem.matrix.framework(variable.name).elsewhere:
        if (
            left
            and row.concerns(left[-1], request.accelerator, request.platform)
            and not (row.own_index and request.own_index)
            and (row.gpus is None or any(gpu in row.gpus for gpu in request.every_gpu))
        ):
            yield row.text


def _refusal(problem: Problem) -> Refusal:
    framework = conflict.without_candidates(problem)
    if framework is None:
        titles = tuple(problem.matrix.framework(name).title for name in problem.frameworks)
        return Refusal(RefusalKind.INCOMPATIBLE, titles)
    built = conflict.nearly_serving(problem, framework)
    title = problem.matrix.framework(framework.name).title
    if not built:
        return Refusal(RefusalKind.NO_ROW, (title,), conflict.narrowed_to(problem, framework))
    # builds for other Pythons come first; without any, the existing builds are doubtful on every Python
    release, _ = built[0]
    _, why = problem.candidate_of(framework.name, release)
    return Refusal(RefusalKind.NO_PYTHON if why is Obstacle.PYTHON else RefusalKind.INCOMPATIBLE, (title,))


def resolution_of(
    problem: Problem, assignment: Assignment, preferred: Mapping[str, Version] = MappingProxyType({})
) -> Resolution:
    """An assignment as versions, requirements for the installer's resolver, warnings and reasons."""
    variables = problem.framework_variables
    picked = {variable.name: _build(variable, assignment.chosen[variable.name]) for variable in variables}
    packages = {variable.name: variable.versions[assignment.chosen[variable.name]] for variable in variables}
    allowed = {
        name: tuple(v for position, v in enumerate(problem.variables[name].versions) if mask >> position & 1)
        for name, mask in assignment.masks.items()
        if name not in packages
    }
    libraries = {
        name: preferred[name] if preferred.get(name) in versions else versions[-1] for name, versions in allowed.items()
    }
    install = [text for build in picked.values() for text in build.install]
    parts = {}
    for framework, build in picked.items():
        for text in build.install:
            name, version = parse_requirement(text).name, _pinned(text)
            if version is not None and name not in {*packages, *libraries}:
                packages[name] = version
                parts[name] = framework
    imports = list(imported_frameworks.imported_frameworks(problem, assignment, picked))
    taken = {**picked, **{one.name: one.build for one in imports}}
    republished = {name: day for build in taken.values() for name, day in build.republished.items()}
    for one in imports:
        install += one.install
        packages[one.name] = libraries.pop(one.name)
        allowed.pop(one.name)
        own = parse_requirement(one.install[0]).name
        if own != one.name:
            parts[own] = one.name
    needs = [need for backend in problem.request.backends for need in problem.matrix.backends[backend].needs]
    install += [need for need in dict.fromkeys(needs) if parse_requirement(need).name not in packages]
    unstated = _unstated(problem, taken, packages)
    install += unstated
    beside_companions = _beside_companions(problem, packages)
    install += [need for need in beside_companions if need not in install]
    local = {variable.name: label for variable in variables if (label := picked[variable.name].local) is not None}
    beside = {name: framework for framework in local for name in picked[framework].beside}
    install += [name for name in beside if name not in install]
    cudnn = next((v for name, v in libraries.items() if problem.role(name) == CUDNN), None)
    accelerator, builds = problem.request.accelerator, list(picked.values())
    machines, platform = problem.request.machines, problem.request.platform
    left_out = _extras_of_others(problem)
    floor = least_floor(problem.matrix, accelerator, platform, builds, machines, cudnn=cudnn)
    return Resolution(
        request=problem.request,
        packages=_ordered(packages, variables),
        parts=parts,
        constraints=tuple(
            dict.fromkeys(
                (
                    *(text for build in taken.values() for text in build.adds),
                    *_unfollowed(problem),
                    *_of_companions(problem, packages),
                )
            )
        ),
        sources=tuple(
            SourceRelease(one.name, one.version, one.requires, one.build) for one in problem.generation.sources
        ),
        republished=republished,
        libraries=dict(sorted(libraries.items())),
        allowed=allowed,
        pinned=tuple(
            sorted(
                name for name, version in libraries.items() if problem.matrix.accelerator_of(name, version) is not None
            )
        ),
        dependencies=tuple(
            _without_extras(one, left_out[one]) if one in left_out else one for one in problem.request.dependencies
        ),
        install=tuple(install),
        runtime=_runtime(problem, picked, libraries),
        cudnn=cudnn,
        driver=None if floor is None else floor.driver,
        local=local,
        beside=beside,
        warnings=(
            *_warnings(problem, assignment, picked),
            *_bad_libraries(problem, libraries),
            *(
                Warning(WarningKind.EXTRA_LEFT_OUT, wish.head, text=extra, accelerator=brought)
                for wish, extras in left_out.items()
                for extra, brought in extras.items()
            ),
            *_republished_later(problem.request.cutoff, republished),
        ),
        why=(
            *(_reason(problem, variable, assignment) for variable in variables),
            *_replacements(problem),
            *(imported_frameworks.reason(problem, one, picked, cudnn) for one in imports),
            *unstated.values(),
            *beside_companions.values(),
        ),
    )


def _build(variable: FrameworkVariable, position: int) -> Build:
    build = variable.builds[position]
    assert build is not None  # noqa: S101 - a base mask holds only releases with a build
    return build


def _pinned(text: str) -> Version | None:
    specifiers = list(parse_requirement(text).specifier)
    if len(specifiers) == 1 and specifiers[0].operator == "==" and "*" not in specifiers[0].version:
        return Version(specifiers[0].version)
    return None


def _ordered(packages: dict[str, Version], variables: Sequence[FrameworkVariable]) -> dict[str, Version]:
    """Keras first, then the frameworks in the order of the request, then their parts."""
    order = [variables[-1].name, *(variable.name for variable in variables[:-1])]
    return {name: packages[name] for name in (*order, *(name for name in packages if name not in order))}


def _runtime(problem: Problem, picked: dict[str, Build], libraries: dict[str, Version]) -> Accelerator | None:
    """The accelerator with its runtime version: that of a library, or else the newest that a build is for."""
    asked = problem.request.accelerator
    row = problem.matrix.accelerators.get(asked.kind)
    if asked == CPU or row is None:
        return None
    for name, version in libraries.items():
        if row.runtime is not None and problem.role(name) == row.runtime:
            return Accelerator(asked.kind, (version.major, version.minor))
    built = [build.accelerator for build in picked.values() if build.accelerated]
    newest_built = max(built, key=lambda one: one.version, default=None)
    return None if newest_built is None else newest_built._replace(version=newest_built.version[:2])


def _warnings(problem: Problem, assignment: Assignment, picked: dict[str, Build]) -> list[Warning]:
    found: list[Warning] = []
    request = problem.request
    for name, mask in assignment.masks.items():
        # only a pinned release can be doubtful here
        if name in problem.matrix.framework_names:
            found += _doubts(name, problem.matrix.framework(name).releases[newest(mask)])
    for variable in problem.framework_variables:
        release = variable.releases[assignment.chosen[variable.name]]
        title = problem.matrix.framework(variable.name).title
        build = picked[variable.name]
        if build.known_bad is not None:
            found.append(Warning(WarningKind.KNOWN_BAD, variable.name, release.version, build.known_bad))
        if build.accelerated and not build.code.known and request.every_gpu:
            found.append(Warning(WarningKind.GPUS_UNKNOWN, title, release.version))
    keras = problem.framework_variables[-1]
    version = keras.versions[assignment.chosen[keras.name]]
    generation = problem.generation
    if version.major < max(one.major for one in keras.versions if one in generation.range):
        found.append(Warning(WarningKind.OWN_KERAS, keras.name, version))
    ended = {generation.title: generation.ended}
    ended |= {one.title: one.ended for one in map(problem.matrix.framework, problem.frameworks)}
    found += [
        Warning(WarningKind.END_OF_SUPPORT, title, text=end.why, day=end.day) for title, end in ended.items() if end
    ]
    return found


def _extras_of_others(problem: Problem) -> dict[Requirement, dict[str, Accelerator]]:
    """The dependencies whose extras install another accelerator -> these extras -> that accelerator.

    Projects name such an extra once for all their machines: `tensorflow[and-cuda]`, even for a laptop without a GPU.
    """
    request, matrix = problem.request, problem.matrix
    on_cpu = {matrix.backends[backend].framework for backend in request.cpu_members}
    found = {}
    for wish in (one for one in matrix.applying(request) if one.url is None):
        own = CPU if wish.name in on_cpu else request.accelerator.whole
        brought = matrix.extras_for_accelerators(wish)
        others = {extra: brings for extra, brings in sorted(brought.items()) if brings != own}
        if others:
            found[wish] = others
    return found


def _without_extras(wish: Requirement, extras: Collection[str]) -> Requirement:
    kept = ",".join(sorted(wish.extras - {*extras}))
    marker = "" if wish.marker is None else f"; {wish.marker}"
    return Requirement(f"{wish.name}{f'[{kept}]' if kept else ''}{wish.specifier}{marker}")


def _unfollowed(problem: Problem) -> Iterator[str]:
    """The requirements of libraries of models on projects that only the installer's resolver knows."""
    for library in problem.libraries:
        yield from (text for text in library.needs if not problem.matrix.follows(parse_requirement(text).name))


def _of_companions(problem: Problem, packages: Mapping[str, Version]) -> Iterator[str]:
    """The releases of other projects that belong to the chosen frameworks, unless the user's own bound decides."""
    bounded = {one.name for one in (*problem.request.dependencies, *problem.request.requirements) if one.specifier}
    for row in problem.matrix.companions:
        version = packages.get(row.framework)
        if version is not None and row.project not in bounded:
            for of_framework, of_companion in row.releases:
                if version in of_framework:
                    yield f"{row.project}{of_companion}"


def _beside_companions(problem: Problem, packages: Mapping[str, Version]) -> dict[str, Reason]:
    """What requested companions import besides the chosen frameworks: requirement -> its reason."""
    asked = {one.name for one in problem.matrix.applying(problem.request)}
    return {
        text: Reason(parse_requirement(text).name, None, Unstated(row.project, None, text), (row.provenance.source,))
        for row in problem.matrix.companions
        if row.framework in packages and row.project in asked
        for text in row.needs
    }


def _republished_later(cutoff: datetime.date | None, republished: Mapping[str, datetime.date]) -> Iterator[Warning]:
    for name, day in republished.items():
        if cutoff is not None and day > cutoff:
            yield Warning(WarningKind.REPUBLISHED, name, day=day, cutoff=cutoff)


def _doubts(name: str, release: Release) -> Iterator[Warning]:
    if release.yanked:
        yield Warning(WarningKind.YANKED, name, release.version, release.yanked)
    if release.known_bad:
        yield Warning(WarningKind.KNOWN_BAD, name, release.version, release.known_bad)
    if release.version.is_prerelease:
        yield Warning(WarningKind.PRERELEASE, name, release.version)


def _bad_libraries(problem: Problem, libraries: Mapping[str, Version]) -> Iterator[Warning]:
    """The libraries that are known to be bad, and that builds pin all the same."""
    for name, version in libraries.items():
        library = problem.matrix.library(name)
        why = None if library is None else library.known_bad.get(version)
        if why is not None:
            yield Warning(WarningKind.KNOWN_BAD, name, version, why)


def _unstated(problem: Problem, picked: Mapping[str, Build], packages: Mapping[str, Version]) -> dict[str, Reason]:
    """Undeclared requirements of builds on packages without rows: requirement -> its reason."""
    return {
        text: Reason(parse_requirement(text).name, None, Unstated(name, packages[name], text), (source,))
        for name, build in picked.items()
        for text, source in build.adds.items()
        if not problem.matrix.follows(parse_requirement(text).name)
    }


def _replacements(problem: Problem) -> Iterator[Reason]:
    """The reasons for projects that replace others which provide the same module."""
    rows = problem.matrix.backends
    for row in map(rows.__getitem__, problem.request.backends):
        if row.instead_of is not None and row.name != problem.request.name:
            other = rows[row.instead_of].framework
            module = problem.matrix.framework(row.framework).module
            yield Reason(row.framework, None, Replacement(other, module), (row.provenance.source,))


def _reason(problem: Problem, variable: FrameworkVariable, assignment: Assignment) -> Reason:
    """Why this version: it is the newest, or what excludes the next one."""
    position = assignment.chosen[variable.name]
    ground, source = _ground(problem, variable, assignment)
    return Reason(
        package=variable.name,
        version=variable.versions[position],
        ground=ground,
        sources=(source or _build(variable, position).provenance.source,),
    )


def _ground(problem: Problem, variable: FrameworkVariable, assignment: Assignment) -> tuple[Ground, str]:
    """Why a version was chosen, and the source; an empty source stands for that of the version itself."""
    newer = [
        later
        for later in range(assignment.chosen[variable.name] + 1, len(variable.releases))
        if not variable.versions[later].is_prerelease
        and not variable.releases[later].yanked
        and problem.is_of_generation(variable.name, variable.versions[later])
    ]
    if not newer:
        return NewestRelease.NEWEST, ""
    hindrances = {later: _hindrance(problem, variable, later) for later in newer}
    joint = next((later for later in newer if hindrances[later] is None), None)
    if joint is not None:
        return _company(problem, variable, assignment, joint) or (Newer(variable.versions[joint]), "")
    later = newer[0]
    accelerator = problem.request.accelerator if variable.builds[later] is None else None
    return Newer(variable.versions[later], hindrances[later], accelerator), ""


def _company(
    problem: Problem, variable: FrameworkVariable, assignment: Assignment, later: int
) -> tuple[Company, str] | None:
    """The chosen framework that a later release conflicts with, and the source of that fact."""
    company = [
        (other.name, other.versions[at], other.dependencies[at])
        for other in (*problem.framework_variables, *problem.imported)
        if other.name != variable.name and other.name in assignment.masks
        for at in [newest(assignment.masks[other.name])]
    ]
    version = variable.versions[later]
    for name, release, needs in company:
        for theirs in needs:
            if theirs.package == variable.name and not theirs.mask >> later & 1:
                return Company(name, release, variable.name, theirs.bound, None, version), theirs.source
    for need in variable.dependencies[later]:
        for name, release, needs in company:
            for theirs in needs:
                if theirs.package == need.package and not theirs.mask & need.mask:
                    role = problem.role(need.package)
                    return Company(name, release, role, theirs.bound, need.bound, version), need.source
    return None


_KIND_OF_FACT: Mapping[type, HindranceKind] = {
    BuiltFor: HindranceKind.BUILT_FOR,
    Doubt: HindranceKind.AVOIDED,
    OtherPlatform: HindranceKind.PLATFORM,
}
"""What kind of hindrance a fact is that keeps a build out."""


def _hindrance(problem: Problem, variable: FrameworkVariable, position: int) -> Hindrance | None:
    """What alone excludes a release; None if only other frameworks do."""
    return next(_hindrances(problem, variable, position), None)


def _hindrances(problem: Problem, variable: FrameworkVariable, position: int) -> Iterator[Hindrance]:
    release = variable.releases[position]
    _, obstacle = problem.candidate_of(variable.name, release)
    if obstacle is Obstacle.PYTHON:
        python = problem.request.python
        yield Hindrance(HindranceKind.PYTHON, Pythons(python, python))
    elif obstacle is not None:
        fact = conflict.obstacle_of(problem, variable.name, release)
        yield Hindrance(_KIND_OF_FACT[type(fact)], fact)
        return
    for terms, mask in variable.filters:
        if not mask >> position & 1 and problem.is_held(terms[0]):
            yield Hindrance(HindranceKind.KEPT_LOCK)
        elif not mask >> position & 1:
            yield Hindrance(HindranceKind.REQUEST, conflict.wish(problem, terms[0]))
    for need in variable.dependencies[position]:
        target = problem.variables.get(need.package)
        if target is not None and not target.allowed(None) & need.mask:
            fact = DependsOn(problem.role(need.package), (need.bound,))
            terms = next((one for one, mask in target.filters if target.base & need.mask and not mask & need.mask), ())
            asked = terms and not problem.is_held(terms[0])
            yield Hindrance(HindranceKind.DEPENDENCY, fact, conflict.wish(problem, terms[0]) if asked else None)
