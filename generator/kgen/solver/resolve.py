"""Matrix x request -> resolution or conflict: the one entrance to the solver."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from packaging.version import Version

from kgen.matrix.candidates import BuildTarget, builds_on, driver_floor, releases_with_builds
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, Release
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import parse_requirement
from kgen.model.resolution import Cause, Conflict, Reason, Resolution, SourceRelease, Suggestion
from kgen.solver import beside, conflict, suggest
from kgen.solver.problem import CUDNN, RUNTIME, Choice, Problem, newest
from kgen.solver.search import Selection, search

Exclusion = frozenset[tuple[str, Version]]

NEWEST_RELEASE = "newest release"
"""The rule of what nothing holds back."""


def solve(
    matrix: CompatibilityMatrix,
    request: EnvironmentRequest,
    *,
    exclusions: Sequence[Exclusion] = (),
    preferred: Mapping[str, Version] = MappingProxyType({}),
) -> Resolution | Conflict:
    """The best resolution of a request, or why there is none.

    Args:
        matrix: the facts.
        request: what is asked.
        exclusions: sets of (package, version) that were found not to come together; learned from a locker.
        preferred: versions of libraries to take instead of the newest where the chosen builds allow it.
    """
    problem = Problem(matrix, request)
    selection = select(problem, exclusions)
    if selection is not None:
        resolution = resolution_of(problem, selection, preferred)
        if request.held:
            resolution = _as_if_new(matrix, resolution)
        taken = {**resolution.packages, **resolution.libraries}.items()
        if any(exclusion <= taken for exclusion in exclusions):
            # what was learned outweighs what is preferred
            return resolution_of(problem, selection)
        return resolution
    if exclusions:
        return _exhausted(request, exclusions)
    found = conflict.causes(problem)
    return Conflict(
        request=request,
        message=conflict_message(problem),
        causes=found,
        suggestions=suggest.suggestions(problem, lambda changed: attempt(matrix, changed)),
    )


def _as_if_new(matrix: CompatibilityMatrix, resolution: Resolution) -> Resolution:
    """The resolution with the reasons of one that keeps nothing, where that comes to the same frameworks.

    A lock that is made again because nothing is new must be the same to the byte.
    """
    free = Problem(matrix, resolution.request._replace(held=()))
    selection = select(free)
    if selection is None:
        return resolution
    anew = resolution_of(free, selection)
    return resolution._replace(why=anew.why) if anew.packages == resolution.packages else resolution


def _exhausted(request: EnvironmentRequest, exclusions: Sequence[Exclusion]) -> Conflict:
    """The matrix allowed it, and what was learned since does not."""
    return Conflict(
        request=request,
        message=f"nothing is left of what the matrix allows for {request.environment}",
        causes=tuple(
            Cause(
                subject=" with ".join(f"{name} {version}" for name, version in sorted(exclusion)),
                requires="what the resolver did not find",
                source="the resolver",
            )
            for exclusion in exclusions
        ),
        suggestions=(),
    )


def attempt(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Resolution | None:
    """The best resolution of a request, on whatever Python if that is open, or None."""
    others = [row.version for row in reversed(matrix.pythons)] if request.python_open else []
    for python in dict.fromkeys([request.python, *others]):
        problem = Problem(matrix, request._replace(python=python))
        selection = select(problem)
        if selection is not None:
            return resolution_of(problem, selection)
    return None


def own_index_gain(matrix: CompatibilityMatrix, resolution: Resolution) -> Suggestion | None:
    """What a framework's own index would add to a resolution that was made without it; None if nothing is better.

    It is better if a framework is newer with it, and none is older. Nothing is solved unless a row tells of a newer
    build.
    """
    request = resolution.request
    if request.own_index or request.accelerator.cuda is None:
        return None
    frameworks = [name for name in resolution.packages if name in matrix.framework_names]
    if not any(_has_newer_own_build(matrix, name, resolution) for name in frameworks):
        return None
    found = attempt(matrix, request._replace(own_index=True, python_open=False))
    if found is None or any(found.packages[name] < resolution.packages[name] for name in frameworks):
        return None
    newer = {name: str(found.packages[name]) for name in frameworks if found.packages[name] > resolution.packages[name]}
    return Suggestion(change="--torch-index", gives=newer) if newer else None


def _has_newer_own_build(matrix: CompatibilityMatrix, name: str, resolution: Resolution) -> bool:
    target = BuildTarget.of(resolution.request)._replace(own_index=True)
    return any(
        release.version > resolution.packages[name] and build.local is not None
        for release, build in releases_with_builds(matrix, matrix.framework(name), target)
    )


def select(problem: Problem, exclusions: Sequence[Exclusion] = ()) -> Selection | None:
    """The best selection that holds none of the exclusions."""
    if conflict.impossible(problem) is not None:
        return None
    learned = set()
    for exclusion in exclusions:
        positions = {
            (name, list(problem.variables[name].versions).index(version))
            for name, version in exclusion
            if name in problem.variables and version in problem.variables[name].versions
        }
        if positions:
            learned.add(frozenset(positions))
    for single in learned:
        if len(single) == 1:
            ((name, position),) = single
            problem.variables[name].base &= ~(1 << position)
    joint = frozenset(positions for positions in learned if len(positions) > 1)
    return None if conflict.impossible(problem) is not None else search(problem, None, joint)


def conflict_message(problem: Problem) -> str:
    """One sentence that says what cannot be had, and where it can, if it is for the GPU that it cannot."""
    request = problem.request
    said = [_refusal(problem), *_unborn(problem)]
    if request.accelerator.cuda is not None:
        rows = [problem.matrix.backends[backend] for backend in request.backends]
        said += [row.elsewhere for row in rows if row.elsewhere]
        said += [text for choice in problem.choices for text in _elsewhere(problem, choice)]
    return "; ".join(dict.fromkeys(said))


def _unborn(problem: Problem) -> Iterator[str]:
    """That a generation had no release yet on the day that is asked about."""
    cutoff, generation = problem.request.cutoff, problem.generation
    if cutoff is not None and generation.since > cutoff:
        yield f"{generation.title} did not exist on {cutoff}: its first release was on {generation.since}"


def _elsewhere(problem: Problem, choice: Choice) -> Iterator[str]:
    """Where a GPU's build is of the newest release that the wishes and the day leave, if the index has none of it."""
    named = [mask for units, mask in choice.filters if len(units) == 1]
    left = [
        version
        for position, version in enumerate(choice.versions)
        if all(mask >> position & 1 for mask in named)
        and not version.is_prerelease
        and problem.is_of_generation(choice.name, version)
    ]
    for row in problem.matrix.framework(choice.name).elsewhere:
        if left and left[-1] in row.releases:
            yield row.text


def _refusal(problem: Problem) -> str:
    request = problem.request
    titles = [problem.matrix.framework(name).title for name in problem.frameworks]
    barren = conflict.impossible(problem)
    if barren is not None:
        title = problem.matrix.framework(barren.name).title
        on = f"{request.accelerator} on {request.platform}"
        if not conflict.built_for(problem, barren):
            return f"no stable {title} is built for {on}"
        return f"no stable {title} for {on} has a wheel for Python {request.python}"
    together = f"{', '.join(titles[:-1])} and {titles[-1]} together" if len(titles) > 1 else titles[0]
    return f"there is no {together} for {request.accelerator} and Python {request.python} that fits the request"


def resolution_of(
    problem: Problem, selection: Selection, preferred: Mapping[str, Version] = MappingProxyType({})
) -> Resolution:
    """The selection as versions, requirements for the locker, warnings and reasons."""
    choices = problem.choices
    picked = {choice.name: _build(choice, selection.chosen[choice.name]) for choice in choices}
    packages = {choice.name: choice.versions[selection.chosen[choice.name]] for choice in choices}
    allowed = {
        name: tuple(v for position, v in enumerate(problem.variables[name].versions) if mask >> position & 1)
        for name, mask in selection.masks.items()
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
    imported = list(beside.beside(problem, selection, picked))
    taken = {**picked, **{one.name: one.build for one in imported}}
    republished = {name: day for build in taken.values() for name, day in build.republished.items()}
    for one in imported:
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
    local = {choice.name: label for choice in choices if (label := picked[choice.name].local) is not None}
    cudnn = next((v for name, v in libraries.items() if problem.role(name) == CUDNN), None)
    accelerator, gpus = problem.request.accelerator, problem.request.gpus
    floor = driver_floor(problem.matrix, accelerator, list(picked.values()), gpus, cudnn)
    return Resolution(
        request=problem.request,
        packages=_ordered(packages, choices),
        parts=parts,
        constraints=tuple(
            dict.fromkeys(
                (
                    *(text for build in taken.values() for text in build.adds),
                    *_unfollowed(problem),
                )
            )
        ),
        sources=tuple(
            SourceRelease(one.name, one.version, one.requires, one.build) for one in problem.generation.sources
        ),
        republished=republished,
        libraries=dict(sorted(libraries.items())),
        allowed=allowed,
        pinned=tuple(sorted(name for name, version in libraries.items() if _is_cuda(problem, name, version))),
        install=tuple(install),
        cuda=_cuda(problem, picked, libraries),
        cudnn=cudnn,
        driver=None if floor is None else floor.driver,
        local=local,
        warnings=(*_warnings(problem, selection, picked), *_too_late(problem.request.cutoff, republished)),
        why=(
            *(_why(problem, choice, selection) for choice in choices),
            *_why_instead(problem),
            *(beside.why(problem, one, picked, cudnn) for one in imported),
            *unstated.values(),
        ),
    )


def _is_cuda(problem: Problem, name: str, version: Version) -> bool:
    return problem.matrix.cuda_major_of(name, version) is not None


def _build(choice: Choice, position: int) -> Build:
    build = choice.builds[position]
    assert build is not None  # noqa: S101 - a base mask holds only releases with a build
    return build


def _pinned(text: str) -> Version | None:
    specifiers = list(parse_requirement(text).specifier)
    if len(specifiers) == 1 and specifiers[0].operator == "==" and "*" not in specifiers[0].version:
        return Version(specifiers[0].version)
    return None


def _ordered(packages: dict[str, Version], choices: Sequence[Choice]) -> dict[str, Version]:
    """Keras first, then the frameworks in the order of the request, then their parts."""
    order = [choices[-1].name, *(choice.name for choice in choices[:-1])]
    return {name: packages[name] for name in (*order, *(name for name in packages if name not in order))}


def _cuda(problem: Problem, picked: dict[str, Build], libraries: dict[str, Version]) -> str | None:
    if problem.request.accelerator.cuda is None:
        return None
    for name, version in libraries.items():
        if problem.role(name) == RUNTIME:
            return f"{version.major}.{version.minor}"
    built = [Version(build.cuda) for build in picked.values() if build.cuda is not None]
    return f"{max(built).major}.{max(built).minor}" if built else None


def _warnings(problem: Problem, selection: Selection, picked: dict[str, Build]) -> list[str]:
    found = []
    request = problem.request
    for name, mask in selection.masks.items():
        # only what is pinned is doubtful, and then there is no other
        if name in problem.matrix.framework_names:
            found += _doubts(name, problem.matrix.framework(name).releases[newest(mask)])
    for choice in problem.choices:
        release = choice.releases[selection.chosen[choice.name]]
        title = problem.matrix.framework(choice.name).title
        build = picked[choice.name]
        if build.known_bad is not None:
            found.append(f"{choice.name} {release.version} is to be avoided: {build.known_bad}")
        if build.cuda is not None and not (build.sass or build.ptx) and request.gpus:
            found.append(f"which GPUs {title} {release.version} serves is not known; it was not checked")
    keras = problem.choices[-1]
    version = keras.versions[selection.chosen[keras.name]]
    generation = problem.generation
    if version.major < max(one.major for one in keras.versions if one in generation.range):
        found.append(
            f"keras {version} is TensorFlow's own Keras of that day, not multi-backend Keras:"
            " `KERAS_BACKEND` does nothing in it"
        )
    ended = {generation.title: generation.ended}
    ended |= {one.title: one.ended for one in map(problem.matrix.framework, problem.frameworks)}
    found += [f"{title} was last supported on {end.day}: {end.why}" for title, end in ended.items() if end]
    return found


def _unfollowed(problem: Problem) -> Iterator[str]:
    """What libraries of models need of projects that only the resolver knows."""
    for library in problem.libraries:
        yield from (text for text in library.needs if not problem.matrix.follows(parse_requirement(text).name))


def _too_late(cutoff: datetime.date | None, republished: Mapping[str, datetime.date]) -> Iterator[str]:
    for name, day in republished.items():
        if cutoff is not None and day > cutoff:
            yield (
                f"the files of {name} that are locked were put on the index again on {day}, after {cutoff}:"
                " those of that day were deleted there"
            )


def _doubts(name: str, release: Release) -> list[str]:
    found = []
    if release.yanked:
        found.append(f"{name} {release.version} was yanked: {release.yanked}")
    if release.known_bad:
        found.append(f"{name} {release.version} is to be avoided: {release.known_bad}")
    if release.version.is_prerelease:
        found.append(f"{name} {release.version} is a pre-release, taken because it was asked for")
    return found


def _unstated(problem: Problem, picked: Mapping[str, Build], packages: Mapping[str, Version]) -> dict[str, Reason]:
    """What builds need, do not state, and nobody follows: requirement -> why it is there."""
    return {
        text: Reason(
            subject=parse_requirement(text).name,
            rule=f"{name} {packages[name]} needs {text} and does not state it",
            source=source,
        )
        for name, build in picked.items()
        for text, source in build.adds.items()
        if not problem.matrix.follows(parse_requirement(text).name)
    }


def _why_instead(problem: Problem) -> Iterator[Reason]:
    """Why a project is there that comes in the place of another, which is the same module."""
    rows = problem.matrix.backends
    for row in map(rows.__getitem__, problem.request.backends):
        if row.instead_of is not None and row.name != problem.request.name:
            other = rows[row.instead_of].framework
            module = problem.matrix.framework(row.framework).module
            yield Reason(
                subject=row.framework,
                rule=f"in the place of {other}, as a requirement names it: both are the module `{module}`",
                source=row.provenance.source,
            )


def _why(problem: Problem, choice: Choice, selection: Selection) -> Reason:
    """Why this version: it is the newest, or what keeps the next one out."""
    position = selection.chosen[choice.name]
    build = _build(choice, position)
    subject = f"{choice.name} {choice.versions[position]}"
    source = build.provenance.source
    stable = [
        later for later in range(position + 1, len(choice.releases))
        if not choice.versions[later].is_prerelease
        and not choice.releases[later].yanked
        and problem.is_of_generation(choice.name, choice.versions[later])
    ]  # fmt: skip
    if not stable:
        return Reason(subject=subject, rule=NEWEST_RELEASE, source=source)
    unfit = {later: _unfit(problem, choice, later) for later in stable}
    joint = next((later for later in stable if unfit[later] is None), None)
    if joint is None:
        later = stable[0]
        newest_of = (
            f"newest build for {problem.request.accelerator}" if choice.builds[later] is None else "newest that fits"
        )
        return Reason(subject=subject, rule=f"{newest_of}: {choice.versions[later]} {unfit[later]}", source=source)
    company = [
        (other.name, other.versions[at], other.needs[at])
        for other in (*problem.choices, *problem.imported)
        if other.name != choice.name and other.name in selection.masks
        for at in [newest(selection.masks[other.name])]
    ]
    for name, version, needs in company:
        for theirs in needs:
            if theirs.package == choice.name and not theirs.mask >> joint & 1:
                rule = f"newest beside {name} {version}, which needs {choice.name} {theirs.text}"
                return Reason(subject=subject, rule=rule, source=theirs.source)
    for need in choice.needs[joint]:
        for name, version, needs in company:
            for theirs in needs:
                if theirs.package != need.package or theirs.mask & need.mask:
                    continue
                role = problem.role(need.package)
                rule = (
                    f"newest beside {name} {version}: {choice.versions[joint]} needs {role} {need.text},"
                    f" {name} {version} needs {theirs.text}"
                )
                return Reason(subject=subject, rule=rule, source=need.source)
    return Reason(subject=subject, rule=f"newest that fits: {choice.versions[joint]} does not", source=source)


def _unfit(problem: Problem, choice: Choice, position: int) -> str | None:
    """What keeps a release out by itself; None if only its company does."""
    return next(_obstacles(problem, choice, position), None)


def _obstacles(problem: Problem, choice: Choice, position: int) -> Iterator[str]:
    request = problem.request
    release, build = choice.releases[position], choice.builds[position]
    avoided = [one.known_bad for one in release.builds if one.known_bad and request.platform in one.platforms]
    if build is None and avoided and request.accelerator.cuda is not None:
        yield f"is to be avoided: {avoided[0]}"
        return
    if build is None:
        others = list(dict.fromkeys(map(conflict.describe_build, builds_on(request.platform, release))))
        yield f"is built for {' and '.join(others)}" if others else f"has no wheel for {request.platform}"
        return
    if request.python not in build.pythons:
        yield f"has no wheel for Python {request.python}"
    if not problem.is_sound(choice.name, release):
        yield f"is to be avoided: {release.known_bad or release.yanked or 'it is a pre-release'}"
    for units, mask in choice.filters:
        if not mask >> position & 1 and problem.is_held(units[0]):
            yield "is not what the old lock has, which is kept"
        elif not mask >> position & 1:
            yield f"is kept out by {conflict.unit_text(problem, units[0])}"
    for need in choice.needs[position]:
        variable = problem.variables.get(need.package)
        if variable is not None and not variable.allowed(None) & need.mask:
            yield f"needs {problem.role(need.package)} {need.text}, of which no release fits"
