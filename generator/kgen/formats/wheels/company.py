"""Frameworks that dependencies bring along: solved together with those of the environment, or taken for the CPU."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from kgen import accelerators
from kgen.fields import lock_command
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Backend
from kgen.model.accelerator import CPU
from kgen.model.request import CPU_BUILDS, EnvironmentRequest
from kgen.model.requirement import parse_requirement
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.python import best_python
from kgen.solver.resolve import solve


class Company(NamedTuple):
    """A request with what came along.

    Attributes:
        request: the request, with further members.
        notes: what the user should know about them.
    """

    request: EnvironmentRequest
    notes: tuple[str, ...] = ()


def joined(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, names: Collection[str], decided: Collection[str] = ()
) -> Company:
    """The request with the frameworks among packages as members.

    Each is solved for the accelerator of the request, unless CPU builds are asked for or only a CPU build can be had.

    Args:
        matrix: the facts.
        request: what is asked.
        names: the packages that come in.
        decided: those that the solver has decided on: what Keras imports is none that comes along.
    """
    notes: list[str] = []
    for row, cpu_only in _coming_along(matrix, request, names, decided):
        title = matrix.framework(row.framework).title
        bringing = _brings_accelerator(matrix, row.framework)
        on_cpu = request._replace(cpu_members=(*request.cpu_members, row.name))
        if request.accelerator != CPU and (cpu_only or request.other_frameworks == CPU_BUILDS):
            request = on_cpu
            continue
        together = request._replace(members=(*request.members, row.name))
        fits = isinstance(solve(matrix, together), Resolution)
        if fits or bringing or request.accelerator == CPU or not isinstance(solve(matrix, on_cpu), Resolution):
            # what does not fit is refused by the solver, which knows why, and what would
            request = together
        else:
            request = on_cpu
            notes.append(
                f"{request.environment}: {title}, which dependencies bring in, computes on the CPU: no release of it"
                f" for {accelerators.title(request.accelerator)} fits the others"
            )
    return Company(request, tuple(notes))


def joined_beside(
    matrix: CompatibilityMatrix,
    request: EnvironmentRequest,
    names: Collection[str],
    alone: Callable[[], Resolution | Conflict] | None = None,
) -> Company:
    """The request with the frameworks among packages as members, besides those that it comes to without them.

    Args:
        matrix: the facts.
        request: what is asked.
        names: the packages that come in.
        alone: gives what the request comes to without them, where that is known already.
    """
    if next(_coming_along(matrix, request, names, ()), None) is None:
        return Company(request)  # as most do, and nothing has to be solved for it
    answer = solve(matrix, request) if alone is None else alone()
    decided = {*answer.packages, *answer.parts} if isinstance(answer, Resolution) else ()
    return joined(matrix, request, names, decided)


def joined_by_name(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, alone: Callable[[], Resolution | Conflict] | None = None
) -> Company:
    """The request with the frameworks as members that the user names as dependencies; see :func:`joined_beside`."""
    return joined_beside(matrix, request, [one.name for one in matrix.applying(request)], alone)


def joined_as_locked(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest]) -> list[EnvironmentRequest]:
    """The requests as locking joins them before an index is asked, each on the Python that it would be told about.

    Args:
        matrix: the facts.
        requests: what is asked for.
    """
    found = [joined_by_name(matrix, request).request for request in requests]
    for position, request in enumerate(found):
        if not _moves_python(request) or isinstance(solve(matrix, request), Resolution):
            continue
        answer = on_best_python(matrix, request)
        if isinstance(answer, Resolution):
            # environments that are asked for together have their Python together
            python = answer.request.python
            moved = (one._replace(python=python) if one.python_open else one for one in requests)
            return [joined_by_name(matrix, one).request for one in moved]
        if answer is not None:
            found[position] = answer.request
    return found


def on_best_python(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Resolution | Conflict | None:
    """What a request comes to on the Python on which most of its frameworks can be had.

    None where its Python is not open, or was chosen with all of its frameworks in view.
    """
    if not _moves_python(request):
        return None
    return solve(matrix, request._replace(python=best_python(matrix, [request])))


def _moves_python(request: EnvironmentRequest) -> bool:
    """Whether a request may be had on another Python than the one that was chosen without what came along."""
    return request.python_open and bool(request.members or request.cpu_members)


def together_note(
    matrix: CompatibilityMatrix, resolution: Resolution, command: Callable[[EnvironmentRequest], str] = lock_command
) -> Iterator[str]:
    """That a framework which the user names as a dependency can be a backend of the environment, and how.

    Args:
        matrix: the facts.
        resolution: what was decided.
        command: the call that asks for a request.
    """
    request = resolution.request
    named = {wish.name for wish in matrix.applying(request)}
    members = [one for one in request.members if matrix.backends[one].framework in named]
    if not members:
        return
    frameworks = {matrix.backends[one].framework for one in members}
    moved = [wish for wish in request.dependencies if wish.name in frameworks and not wish.extras and wish.specifier]
    backends = (*request.backends, *members)
    both = request._replace(
        name="-".join(matrix.backends[one].short for one in backends),
        backends=backends,
        members=tuple(one for one in request.members if one not in members),
        dependencies=tuple(wish for wish in request.dependencies if wish.name not in frameworks),
        requirements=(*request.requirements, *moved),
        held=(),
    )
    answer = solve(matrix, both)
    if isinstance(answer, Resolution):
        taken = " and ".join(f"{name} {resolution.packages[name]}" for name in sorted(frameworks))
        yield (
            f"{request.environment}: {taken} is a dependency, for {accelerators.title(request.accelerator)}; for an"
            f" environment with both backends: {command(both)}"
        )


def _coming_along(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, names: Collection[str], decided: Collection[str]
) -> Iterator[tuple[Backend, bool]]:
    """The backends whose frameworks come along, and whether each does as a distribution for the CPU alone."""
    own = {
        matrix.backends[backend].framework for backend in (*request.backends, *request.members, *request.cpu_members)
    }
    generation = matrix.generation_of(request.backends).name
    for row in matrix.backends.values():
        name = row.framework
        if row.generation != generation or not row.accelerated or row.instead_of is not None:
            continue
        if name in own or name in decided or not any(one.startswith(name) for one in names):
            continue
        if name in names:
            yield row, False
        elif _only_for_cpu(matrix, name) & {*names}:
            yield row, True


def _only_for_cpu(matrix: CompatibilityMatrix, framework: str) -> frozenset[str]:
    """The distributions of a framework that no build for an accelerator is installed by: tensorflow-cpu.

    What else is installed along with a build, as setuptools, is none of the framework.
    """
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for release in matrix.framework(framework).releases:
        for build in release.builds:
            names = (parse_requirement(text).name for text in build.install)
            found[build.accelerated].update(one for one in names if one.startswith(framework))
    return frozenset(found[False] - found[True])


def _brings_accelerator(matrix: CompatibilityMatrix, framework: str) -> bool:
    """Whether a framework's newest build for an accelerator is its plain distribution, as PyTorch's is."""
    for release in reversed(matrix.framework(framework).releases):
        builds = [build for build in release.builds if build.accelerated and build.local is None]
        if builds:
            return any(all("[" not in text for text in build.install) for build in builds)
    return False
