"""Frameworks that dependencies bring in: solved together with the environment's own, or taken as CPU builds."""

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
    """A request with the frameworks that its dependencies bring in.

    Attributes:
        request: the request, with these frameworks as further members.
        notes: notes about them for the user.
    """

    request: EnvironmentRequest
    notes: tuple[str, ...] = ()


def joined(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, names: Collection[str], decided: Collection[str] = ()
) -> Company:
    """The request with the frameworks among the given packages as members.

    Each is solved for the request's accelerator, unless the request takes CPU builds or only a CPU build fits.

    Args:
        matrix: the facts.
        request: the request.
        names: the packages that dependencies bring in.
        decided: the packages that the solver has already decided, as the framework that Keras imports.
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
            # if the frameworks do not fit together, the solver says why, and what would fit
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
    """The request with the frameworks among the given packages as members, except those that it has anyway.

    Args:
        matrix: the facts.
        request: the request.
        names: the packages that dependencies bring in.
        alone: returns the request's own resolution, if the caller has it; None to solve.
    """
    if next(_coming_along(matrix, request, names, ()), None) is None:
        return Company(request)  # the usual case, which needs no solving
    answer = solve(matrix, request) if alone is None else alone()
    decided = {*answer.packages, *answer.parts} if isinstance(answer, Resolution) else ()
    return joined(matrix, request, names, decided)


def joined_by_name(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, alone: Callable[[], Resolution | Conflict] | None = None
) -> Company:
    """The request with the frameworks that the user names as dependencies as members; see :func:`joined_beside`."""
    return joined_beside(matrix, request, [one.name for one in matrix.applying(request)], alone)


def joined_as_locked(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest]) -> list[EnvironmentRequest]:
    """The requests as locking joins them before it reads an index, each on the Python that it would use.

    Args:
        matrix: the facts.
        requests: the requests.
    """
    found = [joined_by_name(matrix, request).request for request in requests]
    for position, request in enumerate(found):
        if not _moves_python(request) or isinstance(solve(matrix, request), Resolution):
            continue
        answer = on_best_python(matrix, request)
        if isinstance(answer, Resolution):
            # environments that are locked together have the same Python
            python = answer.request.python
            moved = (one._replace(python=python) if one.python_open else one for one in requests)
            return [joined_by_name(matrix, one).request for one in moved]
        if answer is not None:
            found[position] = answer.request
    return found


def on_best_python(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Resolution | Conflict | None:
    """The answer to a request on the Python that most of its frameworks have builds for.

    None if the request fixes its Python, or if all of its frameworks were known when the Python was chosen.
    """
    if not _moves_python(request):
        return None
    return solve(matrix, request._replace(python=best_python(matrix, [request])))


def _moves_python(request: EnvironmentRequest) -> bool:
    """Whether frameworks that came in later may change the request's Python."""
    return request.python_open and bool(request.members or request.cpu_members)


def together_note(
    matrix: CompatibilityMatrix, resolution: Resolution, command: Callable[[EnvironmentRequest], str] = lock_command
) -> Iterator[str]:
    """A note that a framework among the user's dependencies can be a backend, with the command for it.

    Args:
        matrix: the facts.
        resolution: the resolution of the environment.
        command: returns the command line that makes a request.
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
    """The backends whose frameworks come in, and whether each comes as a distribution for the CPU only."""
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
    """The distributions of a framework that only its CPU builds install, as tensorflow-cpu.

    Other packages that a build installs, as setuptools, do not belong to the framework.
    """
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for release in matrix.framework(framework).releases:
        for build in release.builds:
            names = (parse_requirement(text).name for text in build.install)
            found[build.accelerated].update(one for one in names if one.startswith(framework))
    return frozenset(found[False] - found[True])


def _brings_accelerator(matrix: CompatibilityMatrix, framework: str) -> bool:
    """Whether the plain distribution of a framework is its newest build for an accelerator, as with PyTorch."""
    for release in reversed(matrix.framework(framework).releases):
        builds = [build for build in release.builds if build.accelerated and build.local is None]
        if builds:
            return any(all("[" not in text for text in build.install) for build in builds)
    return False
