"""Why these versions, what holds each back, and what would have to change to get the newest; each change was solved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from packaging.version import Version

from kgen.matrix.candidates import BuildTarget, candidate
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Cause, Reason, Resolution, Suggestion
from kgen.solver import conflict, report, suggest
from kgen.solver.problem import CUDNN, REQUEST, Problem
from kgen.solver.report import target_data
from kgen.solver.resolve import NEWEST_RELEASE, attempt, select


class Explanation(NamedTuple):
    """Why a package has the version that it has.

    Attributes:
        package: the package.
        version: what it has.
        newest: the newest release that is neither early nor withdrawn nor known to be bad.
        reasons: why it has this version.
        causes: what holds the newest back: a minimal set; () where it is the newest.
        ways: changes to the request with which it would be the newest; None where nobody looked for any.
    """

    package: str
    version: Version
    newest: Version
    reasons: tuple[Reason, ...]
    causes: tuple[Cause, ...]
    ways: tuple[Suggestion, ...] | None


def explain(matrix: CompatibilityMatrix, resolution: Resolution, package: str | None = None) -> tuple[Explanation, ...]:
    """Explain a resolution: its frameworks and Keras, and its cuDNN.

    Args:
        matrix: the facts.
        resolution: what was solved.
        package: a package, or a library by its role as `cudnn`, if only that is asked about.
    """
    problem = Problem(matrix, resolution.request)
    followed = [name for name in resolution.packages if name in matrix.framework_names]
    libraries = [name for name in resolution.libraries if matrix.library(name) is not None]
    if package is not None:
        names = [name for name in (*followed, *libraries) if package in {name, problem.role(name)}]
    else:
        names = [*followed, *(name for name in libraries if problem.role(name) == CUDNN)]
    # nobody wants the newest cuDNN for its own sake, and to look for it takes longer than all the rest
    return tuple(
        _explanation(problem, resolution, name, thorough=package is not None or name in followed) for name in names
    )


def _explanation(problem: Problem, resolution: Resolution, name: str, *, thorough: bool) -> Explanation:
    version = resolution.packages.get(name) or resolution.libraries[name]
    newest = max((*_sound(problem, name), version))
    reasons = tuple(reason for reason in resolution.why if reason.subject.split()[0] == name)
    reasons = reasons or tuple(_needs(problem, resolution, name))
    if newest == version or not thorough:
        return Explanation(name, version, newest, reasons, (), None)
    request = resolution.request
    goal = Requirement(f"{name}=={newest}")
    wished = request._replace(requirements=(*request.requirements, goal))
    asked = Problem(problem.matrix, wished)

    def reaching(changed: EnvironmentRequest) -> Resolution | None:
        if not may_be_had(problem.matrix, name, newest, changed):
            return None
        found = attempt(problem.matrix, changed)
        taken = {} if found is None else {**found.packages, **found.libraries}
        # where each backend has an environment of its own, the others are only to be possible
        beside = request.joint and not changed.joint and name not in taken and name in problem.frameworks
        return found if beside or taken.get(name) == newest else None

    if select(asked) is not None:
        found = reaching(wished)
        gives = {} if found is None else {one: str(found.packages[one]) for one in problem.frameworks}
        return Explanation(name, version, newest, reasons, (), (Suggestion(f"--require '{goal}'", gives),))
    causes = tuple(cause for cause in conflict.causes(asked) if (cause.subject, cause.requires) != (REQUEST, str(goal)))
    return Explanation(name, version, newest, reasons, causes, suggest.suggestions(asked, reaching))


def may_be_had(matrix: CompatibilityMatrix, name: str, version: Version, request: EnvironmentRequest) -> bool:
    """Whether a release has a build at all for what is asked; to find that out by solving takes much longer.

    Args:
        matrix: the facts.
        name: a framework, Keras or a library.
        version: the release.
        request: what is asked.

    Returns:
        False only where no solution of the request can have it.
    """
    release = matrix.release(name, version) if name in matrix.framework_names else None
    if release is None or name not in {matrix.backends[backend].framework for backend in request.backends}:
        return True
    # a Python that is open may be another in a solution, and a minor limit only narrows
    target = BuildTarget(
        request.accelerator._replace(minor=None),
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


def _needs(problem: Problem, resolution: Resolution, name: str) -> Iterator[Reason]:
    """Who asks for a library, and for which of it."""
    for choice in problem.choices:
        position = list(choice.versions).index(resolution.packages[choice.name])
        for need in choice.needs[position]:
            if need.package == name:
                subject = f"{choice.name} {choice.versions[position]}"
                yield Reason(subject, f"needs {problem.role(name)} {need.text}".strip(), need.source)


def data(
    resolution: Resolution, explanations: tuple[Explanation, ...], gain: Suggestion | None = None
) -> dict[str, Any]:
    """An explanation as plain data, its keys in a fixed order."""
    return {
        **target_data(resolution.request),
        "cuda": resolution.cuda,
        "versions": [
            {
                "package": one.package,
                "version": str(one.version),
                "newest": str(one.newest),
                "reasons": [reason._asdict() for reason in one.reasons],
                "held-by": [cause._asdict() for cause in one.causes],
                "ways": [{"change": way.change, "gives": dict(way.gives)} for way in one.ways or ()],
            }
            for one in explanations
        ],
        **report.gain_data(gain),
    }


def text(resolution: Resolution, explanations: tuple[Explanation, ...], gain: Suggestion | None = None) -> str:
    """An explanation for people; with what would give newer frameworks, if not the newest."""
    lines = [report.head(resolution)]
    for one in explanations:
        lines += ["", *_paragraph(one)]
    lines += [] if gain is None else ["", f"  {report.gain_text(gain)}."]
    return "\n".join(lines)


def _paragraph(one: Explanation) -> Iterator[str]:
    held = one.version != one.newest
    if held:
        yield f"  {one.package} is {one.version}, and the newest is {one.newest}."
    else:
        yield f"  {one.package} {one.version} is the newest there is."
    for reason in one.reasons:
        if reason.subject.split()[0] != one.package:
            yield f"    {reason.subject} {reason.rule}"
        elif held or reason.rule != NEWEST_RELEASE:
            yield f"    {reason.rule}"
    if one.causes:
        yield f"    {one.newest} is held back, as"
    for cause in one.causes:
        yield f"      {report.cause_text(cause)}"
        yield from [f"        source: {cause.source}"] if cause.subject != REQUEST else []
    if one.ways is not None:
        yield from _ways(one.ways)


def _ways(ways: tuple[Suggestion, ...]) -> Iterator[str]:
    if not ways:
        yield "    no single change to this request gives it"
        return
    yield "    it would be had with"
    for way in ways:
        gives = ", ".join(f"{name} {version}" for name, version in way.gives.items())
        yield f"      {way.change}, which gives {gives}"
