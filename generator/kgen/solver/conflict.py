"""Why a problem has no solution: a minimal set of facts and wishes that exclude each other."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby

from packaging.version import Version

from kgen.matrix.candidates import Obstacle, builds_on, compiling_driver, newness
from kgen.matrix.records import Build, Release
from kgen.model.architecture import Architectures
from kgen.model.causes import (
    REQUEST,
    Bound,
    BuildPurpose,
    BuiltFor,
    Cause,
    CudnnServes,
    CudnnServing,
    CutoffFloor,
    DependsOn,
    Doubt,
    DoubtKind,
    DriverNeeded,
    Fact,
    GlibcFloor,
    GoesWith,
    GpusOfBuild,
    GpusOfMajor,
    LabelledBuilds,
    NewestFitting,
    NoRelease,
    Origin,
    OtherPlatform,
    Pythons,
    Runs,
    Source,
    Stated,
    Term,
    TermKind,
    Wish,
)
from kgen.model.ranges import spell, version_or_none
from kgen.model.requestfield import RequestField
from kgen.model.requirement import Requirement, parse_requirement
from kgen.solver.problem import CUDNN, Dependency, FrameworkVariable, Problem, label_of, parts_of
from kgen.solver.search import search


def minimal_terms(problem: Problem) -> frozenset[Term]:
    """Terms that have no solution together, but have one without any one of them.

    The least informative terms are dropped first, so that the remaining ones are those that a person would name. Most
    terms can go, so they are dropped many at a time, and a group that cannot go is halved. (If the terms of a group are
    not needed together, none of them is needed alone.)
    """
    active = frozenset(problem.terms)
    waiting = [problem.terms]
    while waiting:
        terms = waiting.pop()
        without = active.difference(terms)
        if search(problem, without) is None:
            active = without
        elif len(terms) > 1:
            half = len(terms) // 2
            waiting += [terms[half:], terms[:half]]
    return active


def without_candidates(problem: Problem) -> FrameworkVariable | None:
    """The first framework that has no build at all for the accelerator, platform and Python of the request."""
    return next((variable for variable in problem.framework_variables if not variable.base), None)


def causes(problem: Problem) -> tuple[Cause, ...]:
    """The causes of a problem that has no solution, wishes first."""
    framework = without_candidates(problem)
    if framework is not None:
        return (_cause_of_no_candidate(problem, framework),)
    terms = minimal_terms(problem)
    found = [(_cause(problem, term, terms), term) for term in terms]
    wishes = [term for term in terms if term.owner == REQUEST]
    found += [(fact, term) for term in wishes for fact in _facts_behind_wish(problem, term)]
    found += [(fact, term) for term in wishes for fact in _companion_facts(problem, term)]
    return tuple(cause for cause, _ in sorted(found, key=lambda pair: _reading_order(*pair)))


def _reading_order(cause: Cause, term: Term) -> tuple[Hashable, ...]:
    """A sort key: wishes first, then by package, then by release."""
    return cause.subject != REQUEST, cause.subject, cause.releases, term.sort_key, term.owner


def runs(versions: Sequence[Version], every: Sequence[Version]) -> Runs:
    """Versions as runs of consecutive releases: 2.1.0 to 2.4.1, and 2.6.0."""
    positions = [every.index(version) for version in versions]
    found = []
    for _, group in groupby(enumerate(positions), key=lambda pair: pair[1] - pair[0]):
        run = [position for _, position in group]
        found.append((every[run[0]], every[run[-1]]))
    return tuple(found)


def _source(builds: Sequence[Build | None]) -> str:
    newest = next((build for build in reversed(builds) if build is not None), None)
    return "" if newest is None else newest.provenance.source


# -- a framework without a single build --------------------------------------------------------------------------------


def purpose_of(build: Build) -> BuildPurpose:
    """What a build is for: an accelerator, possibly from the framework's own index; or the CPU."""
    return BuildPurpose(build.accelerator, own_index=build.accelerated and build.local is not None)


_NEARLY = (frozenset({Obstacle.PYTHON}), frozenset({Obstacle.DOUBTFUL, Obstacle.KNOWN_BAD}))
"""Obstacles of builds for the right accelerator and platform, starting with the one that another Python removes."""


def left_by_wishes(problem: Problem, variable: FrameworkVariable) -> list[Release]:
    """The releases of this generation that satisfy the requirements and the cut-off date."""
    wishes = [mask for terms, mask in variable.filters if len(terms) == 1]
    return [
        release
        for position, release in enumerate(variable.releases)
        if all(mask >> position & 1 for mask in wishes) and problem.is_of_generation(variable.name, release.version)
    ]


def asked_for(problem: Problem, variable: FrameworkVariable) -> Sequence[Release]:
    """The same; if there are none, the release with the requested label, or else all releases of the generation."""
    left = left_by_wishes(problem, variable)
    every = [one for one in variable.releases if problem.is_of_generation(variable.name, one.version)]
    wished = problem.requirements_of(variable.name)
    labelled = [
        one
        for one in every
        if any(
            label is not None and Version(f"{one.version}+{label}") in wish.specifier
            for wish in wished
            for label in [label_of(wish)]
        )
    ]
    return left or labelled or every


def narrowed_to(problem: Problem, variable: FrameworkVariable) -> str:
    """The range of the requirements on a framework, such as `==2.5.1`; empty if there are none."""
    wished = problem.requirements_of(variable.name)
    return ",".join(dict.fromkeys(str(one.specifier) for one in wished if str(one.specifier)))


def nearly_serving(problem: Problem, variable: FrameworkVariable) -> list[tuple[Release, Build]]:
    """The releases of a framework with a build for the accelerator and platform that come closest to working.

    If some releases are requested, only those count: what another release lacks is not the cause. Empty if no release
    has such a build.
    """
    found = [
        (release, build, obstacle)
        for release in asked_for(problem, variable)
        for build, obstacle in [problem.candidate_of(variable.name, release)]
    ]
    for obstacles in _NEARLY:
        nearest = [(release, build) for release, build, why in found if build is not None and why in obstacles]
        if nearest:
            return nearest
    return []


def _cause_of_no_candidate(problem: Problem, variable: FrameworkVariable) -> Cause:
    platform, every = problem.request.platform, variable.versions
    rows = nearly_serving(problem, variable)
    facts: list[tuple[Release, Fact]] = [(release, obstacle_of(problem, variable.name, release)) for release, _ in rows]
    if not rows:
        rows = [
            (release, build)
            for release in asked_for(problem, variable)
            if not (release.yanked or release.version.is_prerelease)
            for build in builds_on(platform, release)
        ] or [(release, build) for release in asked_for(problem, variable) for build in builds_on(platform, release)]
        facts = [(release, BuiltFor((purpose_of(build),))) for release, build in rows]
    if not rows:
        return Cause(
            subject=variable.name,
            facts=(Stated(OtherPlatform(platform, without_rows=True)),),
            source=_source([build for release in variable.releases for build in release.builds]),
        )
    return Cause(
        subject=variable.name,
        facts=_by_value(facts, every),
        source=_source([build for _, build in rows]),
        releases=runs(list(dict.fromkeys(release.version for release, _ in rows)), every),
    )


def obstacle_of(problem: Problem, name: str, release: Release) -> Fact:
    """The fact that excludes a release; if there is none, the Pythons that it is for."""
    build, obstacle = problem.candidate_of(name, release)
    if obstacle is Obstacle.DOUBTFUL:
        return doubt_of(release)
    if obstacle is Obstacle.KNOWN_BAD and build is not None:
        return Doubt(DoubtKind.KNOWN_BAD, build.known_bad or "")
    if build is None or obstacle not in {None, Obstacle.PYTHON}:
        return purposes_on(problem.request.platform, release)
    return pythons_of(build)


def doubt_of(release: Release) -> Doubt:
    """Why to avoid a release."""
    if release.yanked:
        return Doubt(DoubtKind.YANKED, release.yanked)
    return Doubt(DoubtKind.KNOWN_BAD, release.known_bad) if release.known_bad else Doubt(DoubtKind.PRERELEASE)


def pythons_of(build: Build) -> Pythons:
    """The oldest and the newest Python that a build has wheels for."""
    return Pythons(build.pythons[0], build.pythons[-1])


def _by_value(rows: Sequence[tuple[Release, Fact]], every: Sequence[Version]) -> tuple[Stated, ...]:
    """Each fact once with its releases, newest first: CUDA 13.0 for 2.11.0 to 2.14.1, the CPU for 2.1.0 to 2.10.0."""
    by_value: dict[Fact, list[Version]] = {}
    for release, value in reversed(rows):
        versions = by_value.setdefault(value, [])
        if versions[:1] != [release.version]:
            versions.insert(0, release.version)
    return tuple(Stated(value, runs(versions, every)) for value, versions in by_value.items())


# -- terms as causes ---------------------------------------------------------------------------------------------------


def _cause(problem: Problem, term: Term, terms: frozenset[Term]) -> Cause:
    if term.owner == REQUEST:
        return Cause(REQUEST, (Stated(wish(problem, term)),), _source_of_wish(problem, term))
    variable = problem.variables[term.owner]
    if not isinstance(variable, FrameworkVariable):
        return _library_fact(problem, term)
    # only mention the releases that the framework's own facts and the wishes about it allow
    allowed = variable.allowed(terms - {term})
    if term.kind is TermKind.DEPENDENCY:
        return _dependency(problem, variable, term, allowed)
    kept = [
        (variable.releases[position], build)
        for position, build in enumerate(variable.builds)
        if build is not None and allowed >> position & 1
    ]
    return Cause(
        subject=term.owner,
        facts=_by_value(
            [(release, _framework_fact(problem, term, build)) for release, build in kept], variable.versions
        ),
        source=_source([build for _, build in kept]),
        releases=runs([release.version for release, _ in kept], variable.versions),
    )


def wish(problem: Problem, term: Term) -> Wish:
    """The user's wish behind a term."""
    request = problem.request
    values = {
        TermKind.DRIVER: next((one.driver for one in request.machines if one.name == term.machine), None),
        TermKind.GLIBC: request.glibc or problem.platform.glibc,
        TermKind.CUTOFF: request.cutoff,
    }
    return Wish(term.kind, str(values.get(term.kind, term.argument)), term.machine)


def _source_of_wish(problem: Problem, term: Term) -> Source:
    request = problem.request
    if term.machine:
        return f"target.{term.machine}"
    if term.kind is TermKind.GLIBC and request.glibc is None:
        return Origin.PLATFORM_FLOOR
    fields = {
        TermKind.DRIVER: RequestField.DRIVER,
        TermKind.GLIBC: RequestField.GLIBC,
        TermKind.CUTOFF: RequestField.CUTOFF,
        TermKind.GPU: RequestField.GPU,
    }
    if term.kind in fields:
        return fields[term.kind]
    if request.keras and term.argument == f"{problem.keras}{request.keras}":
        return RequestField.KERAS
    places: dict[Source, Sequence[object]] = {
        RequestField.REQUIREMENT: request.requirements,
        RequestField.DEPENDENCY: request.dependencies,
        RequestField.CONSTRAINT: request.constraints,
        Origin.UV: problem.uv_bounds,
        Origin.LOCK: request.held,
    }
    return next(place for place, asked in places.items() if term.argument in map(str, asked))


def _facts_behind_wish(problem: Problem, term: Term) -> Iterator[Cause]:
    """The facts behind a wish that no candidate of a framework satisfies: what the releases that it names are for."""
    about = problem.frameworks if term.kind is TermKind.CUTOFF else problem.matrix.framework_names
    for name, variable in problem.variables.items():
        mask = next((mask for terms, mask in variable.filters if terms == (term,)), None)
        if mask is None or mask & variable.base or not variable.base or name not in about:
            continue
        releases = problem.matrix.framework(name).releases
        rows: list[tuple[Release, Fact]]
        if term.kind is TermKind.CUTOFF:
            fitting = [release for position, release in enumerate(releases) if variable.base >> position & 1]
            first = min(fitting, key=lambda release: release.released)
            rows = [(first, CutoffFloor(first.released))]
        else:
            named = [release for position, release in enumerate(releases) if mask >> position & 1]
            rows = [(release, obstacle_of(problem, name, release)) for release in named]
            wanted = parse_requirement(term.argument)
            rows += [
                (release, DependsOn(wanted.name, (Bound(f"=={version}"),)))
                for release, version in ([] if rows else parts_near(problem, name, wanted))
            ]
            if not rows:
                fact = _other_labels(problem, name, term) or _no_release(problem, name, term)
                yield Cause(name, (Stated(fact),), _source(releases[-1].builds))
        if rows:
            yield Cause(
                subject=name,
                facts=_by_value(rows, variable.versions),
                source=_source([problem.build_of(name, release) or release.builds[0] for release, _ in rows]),
                releases=runs([release.version for release, _ in rows], variable.versions),
            )


def parts_near(problem: Problem, framework: str, wanted: Requirement) -> list[tuple[Release, Version]]:
    """The releases of a framework that are installed with a part close to the requested version.

    Args:
        problem: the problem without a solution.
        framework: one of its frameworks.
        wanted: the requirement on a package that may be a part of it, such as jaxlib of JAX.

    Returns:
        The release below and the one above, each with its version of the part; fewer if they do not exist.
    """
    variable = problem.variables.get(framework)
    named = [one for bound in wanted.specifier if (one := version_or_none(bound.version)) is not None]
    if not isinstance(variable, FrameworkVariable) or not named:
        return []
    parts = parts_of(framework, variable.builds).get(wanted.name, ())
    known = [
        (release, one)
        for release, one in zip(variable.releases, parts, strict=False)
        if one is not None and problem.is_sound(framework, release)  # whatever Python they are for
    ]
    below = [pair for pair in known if pair[1] < named[0]][-1:]
    above = [pair for pair in known if pair[1] > named[0]][:1]
    return [*below, *above]


def _companion_facts(problem: Problem, term: Term) -> Iterator[Cause]:
    """The framework releases that a requested package belongs to, if its own metadata does not declare that."""
    if term.kind is not TermKind.REQUIREMENT:
        return
    project = parse_requirement(term.argument).name
    for row in problem.matrix.companions:
        variable = problem.variables.get(row.framework)
        if row.project != project or variable is None:
            continue
        mask = next((mask for terms, mask in variable.filters if terms == (term,)), 0)
        kept = [version for position, version in enumerate(variable.versions) if mask >> position & 1]
        if kept:
            releases = runs(kept, variable.versions)
            yield Cause(project, (Stated(GoesWith(row.framework, releases)),), row.provenance.source)


def _no_release(problem: Problem, name: str, term: Term) -> NoRelease:
    """The fact that a range contains no release, with the releases closest to the version that it names."""
    releases = problem.matrix.framework(name).releases
    known = [one.version for one in releases if not (one.yanked or one.version.is_prerelease)]
    (bound, *others) = parse_requirement(term.argument).specifier
    wanted = None if bound.version.endswith(".*") else version_or_none(bound.version)
    if others or bound.operator not in {"==", "==="} or wanted is None:
        return NoRelease(term.argument.removeprefix(name), (), known[-1])
    # for a pre-release, other pre-releases count as closest
    near = [one.version for one in releases if not one.yanked] if wanted.is_prerelease else known
    same = [one for one in near if one == Version(wanted.public)]
    if same:  # `===` compares text
        return NoRelease(bound.version, (*same,), known[-1])
    older = [one for one in near if one < wanted][-1:]
    newer = [one for one in near if one > wanted][:1]
    return NoRelease(bound.version, (*older, *newer), known[-1], nightly=wanted.is_devrelease)


def _other_labels(problem: Problem, name: str, term: Term) -> LabelledBuilds | None:
    """What the builds of a release are for, if one of their labels is requested; None if no label or release is."""
    requirement = parse_requirement(term.argument)
    label = label_of(requirement)
    versions = [version_or_none(one.version) for one in requirement.specifier if "+" in one.version]
    release = problem.matrix.release(name, Version(versions[0].public)) if versions and versions[0] else None
    platform = problem.request.platform
    here = [] if release is None else [build for build in release.builds if platform in build.platforms]
    if release is None or label is None or not here:
        return None
    others = dict.fromkeys((build.local or "", build.accelerator) for build in sorted(here, key=newness))
    return LabelledBuilds(
        version=release.version,
        label=label,
        built_for=next((build.accelerator for build in here if build.local == label), None),
        platform=platform,
        others=tuple(others),
    )


def purposes_on(platform: str, release: Release) -> BuiltFor | OtherPlatform:
    """What the builds of a release on a platform are for; or that it has none there."""
    purposes = tuple(dict.fromkeys(map(purpose_of, builds_on(platform, release))))
    return BuiltFor(purposes) if purposes else OtherPlatform(platform)


def _framework_fact(problem: Problem, term: Term, build: Build) -> Fact:
    if term.kind is TermKind.GLIBC:
        return GlibcFloor(build.platforms[problem.platform.name])
    major = problem.matrix.major_of(build.accelerator)
    oldest = None if major is None else major.driver_on(problem.request.platform)
    if term.kind is TermKind.DRIVER and major is not None and oldest is not None:
        return DriverNeeded(oldest, major.accelerator)
    gpus = Architectures() if major is None else major.architectures
    if term.argument not in gpus:
        return GpusOfMajor(gpus, build.accelerator.whole)
    compiled = build.code.portable and problem.request.oldest_driver is not None
    floor = compiling_driver(build, problem.matrix, problem.request.platform) if compiled else None
    return served_gpus(build)._replace(compiling_driver=floor)


def served_gpus(build: Build) -> GpusOfBuild:
    """The GPUs that a build supports."""
    return GpusOfBuild(build.accelerator, build.code, tuple(failure.gpus for failure in build.gpu_failures))


def _dependency(problem: Problem, variable: FrameworkVariable, term: Term, allowed: int) -> Cause:
    package = term.argument
    request, target = problem.request, problem.variables.get(package)
    masks = [
        need.mask if package in problem.matrix.framework_names else -1
        for position, needs in enumerate(variable.dependencies)
        if allowed >> position & 1
        for need in needs
        if need.package == package
    ]
    lacking = target is not None and not any(target.base & mask for mask in masks)
    absent = (request.python, request.platform) if lacking else None
    rows: list[tuple[Release, Fact]] = []
    source = ""
    for position, needs in enumerate(variable.dependencies):
        if not allowed >> position & 1:
            continue
        about = _tightest([need for need in needs if need.package == package])
        if about:
            bounds = tuple(dict.fromkeys(need.bound for need in about))
            rows.append((variable.releases[position], DependsOn(problem.role(package), bounds, absent)))
            source = about[0].source
    return Cause(
        subject=variable.name,
        facts=_by_value(rows, variable.versions),
        source=source,
        releases=runs([release.version for release, _ in rows], variable.versions),
    )


def _tightest(needs: Sequence[Dependency]) -> list[Dependency]:
    """The dependencies on one package, without those that the dependencies of libraries of models imply."""
    return [
        need
        for at, need in enumerate(needs)
        if not any(
            other.library and other.mask | need.mask == need.mask and (other.mask != need.mask or after > at)
            for after, other in enumerate(needs)
        )
    ]


def _library_fact(problem: Problem, term: Term) -> Cause:
    variable = problem.variables[term.owner]
    role = problem.role(term.owner)
    library = problem.matrix.library(term.owner)
    source = library.provenance.source if library else term.owner
    accelerator = problem.request.accelerator
    if role == CUDNN and term.kind in {TermKind.DRIVER, TermKind.GPU}:
        rows = sorted(
            (spell(row.cudnn), str(row.gpus), row.driver_on(problem.request.platform), row.provenance.source)
            for row in problem.matrix.cudnn
            if row.accelerator == accelerator.whole
        )
        serving = CudnnServing(role, tuple(CudnnServes(*row[:3]) for row in rows), accelerator)
        return Cause(term.owner, (Stated(serving),), rows[-1][-1] if rows else source)
    fits = variable.allowed(frozenset({term, term._replace(owner=REQUEST)}))
    kept = [version for position, version in enumerate(variable.versions) if fits >> position & 1]
    fitting = NewestFitting(term.kind, term.argument, kept[-1] if kept else None)
    return Cause(term.owner, (Stated(fitting),), source)
