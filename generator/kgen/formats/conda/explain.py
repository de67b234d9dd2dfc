"""Why conda's solver found nothing, as typed causes: what excludes each other, and what works instead.

The solver's own tree names every build of every Python that it tried. Here kgen leaves out each wish, and each fact
about the target machine, in turn: what it can leave out is not part of the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kgen.errors import OutsideError
from kgen.formats.conda.names import Names, is_module
from kgen.formats.conda.rattlertool import CondaRecord, Query, Unsolvable
from kgen.formats.conda.target import MatchSpec, Target, refusal, target
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import (
    REQUEST,
    Cause,
    Change,
    DriverRuns,
    Fact,
    Origin,
    OtherThing,
    Refusal,
    RefusalKind,
    Source,
    Spec,
    Stated,
    TermKind,
    Undated,
    Wish,
)
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.resolution import Conflict, Suggestion
from kgen.parsers import CondaName

Answer = list[CondaRecord] | Unsolvable | OutsideError
Solver = Callable[[Query], Answer]

_MOST = 3
"""The number of working changes that kgen shows."""
_MOST_TOGETHER = 32
"""The number of combined changes that kgen tries where no change works alone; it solves each of them."""
_Candidate = tuple[tuple[Change, ...], EnvironmentRequest, Names]
"""Changes, the request with them, and the names of conda packages with them."""


class _Condition(NamedTuple):
    """A condition of the target that can be left out.

    Attributes:
        cause: the condition as a cause of the conflict.
        relaxed: returns the target without the condition.
    """

    cause: Cause
    relaxed: Callable[[Target], Target]


def explain(matrix: CompatibilityMatrix, asked: Target, solve: Solver) -> Conflict:
    """The conflict behind a request that conda's channels have no packages for.

    Args:
        matrix: the facts.
        asked: the target that has no solution.
        solve: the solver, which has read the channels.
    """
    # the solver keeps locked versions only where it can, so they are never the reason
    asked = asked._replace(locked=())
    left, causes = asked, list(_undated(asked, solve))
    for condition in () if causes else (*_machine(matrix, asked), *_wishes(asked)):
        fewer = condition.relaxed(left)
        if isinstance(solve(fewer.query()), Unsolvable):
            left = fewer
        else:
            causes.append(condition.cause)
    return Conflict(
        request=asked.request,
        refusals=(Refusal(RefusalKind.CHANNELS_LACK_PACKAGES, asked.channels),),
        causes=tuple(sorted(causes, key=lambda cause: cause.subject != REQUEST)),
        suggestions=tuple(suggestions(matrix, asked, solve)),
    )


def _undated(asked: Target, solve: Solver) -> Iterator[Cause]:
    """The packages that would fit, but have no publishing date in their channel, as a cut-off requires."""
    found = solve(asked._replace(undated=True).query()) if asked.cutoff is not None else None
    if not isinstance(found, list):
        return
    yield _cutoff(asked)
    undated = [one for one in found if "timestamp" not in one]
    for channel in dict.fromkeys(str(one["channel"]) for one in undated):
        packages = tuple(f"{one['name']} {one['version']}" for one in undated if one["channel"] == channel)
        yield Cause(channel, (Stated(Undated(packages)),), channel)


def no_modules(asked: Target, records: Sequence[CondaRecord]) -> tuple[tuple[MatchSpec, CondaRecord], ...]:
    """The requested projects of the Python index for which conda's package of that name is not a Python package.

    Names that the settings choose themselves are left out: the user has looked those up.
    """
    by_name = {one["name"]: one for one in records}
    return tuple(
        (wish, by_name[wish.package])
        for wish in asked.specs
        if wish.project
        and wish.project not in asked.names.chosen
        and wish.package in by_name
        and not is_module(wish.package, by_name)
    )


def not_for_python(
    matrix: CompatibilityMatrix,
    asked: Target,
    others: Sequence[tuple[MatchSpec, CondaRecord]],
    solve: Solver,
) -> Conflict:
    """The refusal of conda packages that have the name of a project and contain something else.

    Args:
        matrix: the facts.
        asked: the target.
        others: from :func:`no_modules`.
        solve: the solver.
    """
    wishes = (Cause(REQUEST, (Stated(Spec(wish.project)),), wish.source) for wish, _ in others)
    facts = (
        Cause(f"{record['name']} {record['version']}", (Stated(OtherThing(record["name"])),), str(record["channel"]))
        for _, record in others
    )
    return Conflict(
        request=asked.request,
        refusals=(Refusal(RefusalKind.CHANNELS_LACK_PACKAGES, asked.channels),),
        causes=(*wishes, *facts),
        suggestions=tuple(suggestions(matrix, asked, solve)),
    )


def _wishes(asked: Target) -> Iterator[_Condition]:
    # leave out the facts first, so that what remains is what the user asked for
    for wish in sorted((*asked.specs, *asked.constraints), key=lambda wish: wish.asked):
        subject = REQUEST if wish.asked else asked.request.environment
        yield _Condition(
            Cause(subject, (Stated(Spec(wish.spec, wish.renamed)),), wish.source),
            lambda old, wish=wish: _without(old, wish),  # type: ignore[misc]
        )


def _without(old: Target, wish: MatchSpec) -> Target:
    return old._replace(
        specs=tuple(one for one in old.specs if one != wish),
        constraints=tuple(one for one in old.constraints if one != wish),
    )


def _machine(matrix: CompatibilityMatrix, asked: Target) -> Iterator[_Condition]:
    """The assumed facts about the target machine, each to be replaced by the newest value there is."""
    conda, request = matrix.conda, asked.request
    virtuals = dict(asked.virtuals)
    better: dict[str, tuple[Fact, Source, str]] = {}
    if "__glibc" in virtuals:
        source: Source = RequestField.GLIBC if request.glibc is not None else Origin.PLATFORM_FLOOR
        newest = matrix.platforms[request.platform].uv_glibc[-1]
        better["__glibc"] = (Wish(TermKind.GLIBC, virtuals["__glibc"]), source, str(newest))
    if conda.virtual in virtuals:
        toolkits = matrix.toolkits_of(request.accelerator.kind)
        majors = [row.version for row in toolkits if row.version.major == request.accelerator.major]
        source = RequestField.ACCELERATOR if request.oldest_driver is None else RequestField.DRIVER
        driver = DriverRuns(Accelerator.numbered(conda.kind, virtuals[conda.virtual]))
        if majors:
            better[conda.virtual] = (driver, source, f"{majors[-1].major}.{majors[-1].minor}")
    for name, (fact, source, version) in better.items():
        changed = tuple(sorted({**virtuals, name: version}.items()))
        yield _Condition(
            Cause(REQUEST, (Stated(fact),), source),
            lambda old, changed=changed: old._replace(virtuals=changed),  # type: ignore[misc]
        )
    if asked.cutoff is not None:
        yield _Condition(_cutoff(asked), lambda old: old._replace(cutoff=None))


def _cutoff(asked: Target) -> Cause:
    return Cause(REQUEST, (Stated(Wish(TermKind.CUTOFF, str(asked.cutoff))),), RequestField.CUTOFF)


# -- what works --------------------------------------------------------------------------------------------------------


def suggestions(matrix: CompatibilityMatrix, asked: Target, solve: Solver) -> Iterator[Suggestion]:
    """The changes that work, smallest first; kgen has solved each of them."""
    found = 0
    for changes, request, names in _candidates(matrix, asked):
        # several changes together, and another platform, are suggested only where nothing else works
        if found and (len(changes) > 1 or any(change.field == RequestField.PLATFORM for change in changes)):
            return
        if refusal(matrix, request, asked.channels) is not None:
            continue
        wanted = target(matrix, request, asked.channels, names)
        answer = solve(wanted.query())
        if isinstance(answer, OutsideError):
            return
        # a changed name counts as a guess here: the package that it brings in must be one for Python
        guessed = wanted._replace(names=names._replace(chosen=asked.names.chosen))
        if isinstance(answer, Unsolvable) or no_modules(guessed, answer):
            continue
        yield Suggestion(changes, _gives(matrix, request, answer), (request,))
        found += 1
        if found == _MOST:
            return


def _candidates(matrix: CompatibilityMatrix, asked: Target) -> Iterator[_Candidate]:
    """The candidates: single changes first, then several together, as a name can be wrong along with another fact."""
    renamed = [*_other_names(asked)]
    for changes, names in renamed:
        yield changes, asked.request, names
    for changes, request in _changes(matrix, asked.request):
        yield changes, request, asked.names
    several = [*itertools.islice(_several_names(asked), _MOST_TOGETHER)]
    for changes, names in several:
        yield changes, asked.request, names
    together = (
        ((*others, *changes), request, names)
        for others, names in (*reversed(several), *renamed)
        for changes, request in _changes(matrix, asked.request)
        # a project that is left out needs no name
        if not {change.field for change in changes} & {RequestField.DEPENDENCY, RequestField.REQUIREMENT}
    )
    yield from itertools.islice(together, _MOST_TOGETHER)


def _several_names(asked: Target) -> Iterator[tuple[tuple[Change, ...], Names]]:
    """Other packages for several of the requested projects at once, fewest projects first."""
    by_project: dict[str, list[tuple[tuple[Change, ...], Names]]] = {}
    for changes, names in _other_names(asked):
        (project,) = names.chosen.keys() - asked.names.chosen.keys()
        by_project.setdefault(project, []).append((changes, names))
    for number in range(2, len(by_project) + 1):
        for projects in itertools.combinations(by_project, number):
            for chosen in itertools.product(*(by_project[project] for project in projects)):
                changes = tuple(change for one, _ in chosen for change in one)
                merged = {project: package for _, names in chosen for project, package in names.chosen.items()}
                yield changes, asked.names._replace(chosen=merged)


def _other_names(asked: Target) -> Iterator[tuple[tuple[Change, ...], Names]]:
    """Other conda packages that may be one of the requested projects."""
    for project in dict.fromkeys(wish.project for wish in asked.specs if wish.project):
        if not asked.names.is_settled(project):
            for package in asked.names.others(project):
                change = Change(RequestField.CONDA_NAME, str(CondaName(project, package)))
                yield (change,), asked.names._replace(chosen={**asked.names.chosen, project: package})


def _changes(  # noqa: C901, PLR0912 - a way after the other
    matrix: CompatibilityMatrix, request: EnvironmentRequest
) -> Iterator[tuple[tuple[Change, ...], EnvironmentRequest]]:
    """Changes to a request, the smallest first."""
    if request.cutoff is not None:
        dropped = Change(RequestField.CUTOFF, None, str(request.cutoff))
        yield (dropped,), request._replace(cutoff=None, as_of=False)
    for field, asked in (
        (RequestField.DEPENDENCY, request.dependencies),
        (RequestField.REQUIREMENT, request.requirements),
    ):
        for requirement in asked:
            yield (
                (Change(field, None, str(requirement)),),
                request._replace(
                    dependencies=tuple(one for one in request.dependencies if one != requirement),
                    requirements=tuple(one for one in request.requirements if one != requirement),
                ),
            )
    if request.keras:
        dropped = Change(RequestField.KERAS, None, str(request.keras))
        yield (dropped,), request._replace(keras=type(request.keras)())
    accelerator = request.accelerator
    if accelerator.minor is not None:
        wider = accelerator.whole
        yield (Change(RequestField.ACCELERATOR, wider),), request._replace(accelerator=wider)
    if request.driver is not None:
        yield (Change(RequestField.DRIVER, None, str(request.driver)),), request._replace(driver=None)
    platform = matrix.platforms[request.platform]
    for glibc in platform.uv_glibc if request.glibc is not None else ():
        if request.glibc is not None and glibc > request.glibc:
            yield (Change(RequestField.GLIBC, str(glibc)),), request._replace(glibc=glibc)
    for python in _other_pythons(matrix, request):
        yield (Change(RequestField.PYTHON, python),), request._replace(python=python)
    if accelerator != CPU:
        for _, row in sorted(matrix.majors(accelerator.kind).items(), reverse=True):
            if row.accelerator != accelerator.whole:
                other = row.accelerator
                change = Change(RequestField.ACCELERATOR, other)
                yield (change,), request._replace(accelerator=other, driver=None)
        change = Change(RequestField.ACCELERATOR, CPU)
        yield (change,), request._replace(accelerator=CPU, driver=None, gpus=(), targets=())
    for name, another in matrix.platforms.items():
        if name != request.platform:
            kept = request.glibc if another.glibc is not None else None
            yield (Change(RequestField.PLATFORM, name),), request._replace(platform=name, glibc=kept)


def _other_pythons(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Iterator[str]:
    """The other Pythons, the nearest first, and of two the older."""
    known = [row.version for row in matrix.pythons]
    at = known.index(request.python)
    for version in sorted(known, key=lambda one: (abs(known.index(one) - at), known.index(one))):
        if version != request.python:
            yield version


def _gives(matrix: CompatibilityMatrix, request: EnvironmentRequest, records: Sequence[CondaRecord]) -> dict[str, str]:
    versions = {record["name"]: record["version"] for record in records}
    names = [*(matrix.backends[backend].framework for backend in request.backends), KERAS]
    packages = {name: matrix.conda.frameworks[name].packages[0] for name in dict.fromkeys(names)}
    return {package: versions[package] for package in packages.values() if package in versions}
