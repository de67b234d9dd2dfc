"""Why conda's solver found nothing, in kgen's words: what excludes each other, and what works instead.

The solver's own tree names every build of every Python on its way. Here each wish, and each thing that the target
machine is assumed to have, is left out in turn: what can go is no part of the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kgen.errors import OutsideError
from kgen.lockers.conda.target import Target, Wish, refusal, target
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Cause, Conflict, Suggestion
from kgen.rattlertool import CondaRecord, Query, Unsolvable
from kgen.solver.problem import REQUEST

Answer = list[CondaRecord] | Unsolvable | OutsideError
Solver = Callable[[Query], Answer]

_MOST = 3
"""So many changes that work are shown."""


class _Unit(NamedTuple):
    """Something that can be left out of what is asked.

    Attributes:
        cause: what to say of it.
        relaxed: the target without it.
    """

    cause: Cause
    relaxed: Callable[[Target], Target]


def explain(matrix: CompatibilityMatrix, asked: Target, solve: Solver) -> Conflict:
    """The conflict behind a request that conda's channels have no packages for.

    Args:
        matrix: the facts.
        asked: what has no solution.
        solve: the solver, which has the channels at hand by now.
    """
    # what is locked is kept where it can be, and so never the reason
    asked = asked._replace(locked=())
    left, causes = asked, []
    for unit in (*_machine(matrix, asked), *_wishes(asked)):
        fewer = unit.relaxed(left)
        if isinstance(solve(fewer.query()), Unsolvable):
            left = fewer
        else:
            causes.append(unit.cause)
    channels = " and ".join(asked.channels)
    has = "has" if len(asked.channels) == 1 else "have"
    return Conflict(
        request=asked.request,
        message=f"{channels} {has} no packages for this on {asked.request.platform}",
        causes=tuple(sorted(causes, key=lambda cause: cause.subject != REQUEST)),
        suggestions=tuple(_suggestions(matrix, asked, solve)),
    )


def _wishes(asked: Target) -> Iterator[_Unit]:
    # the facts first, so that what remains is what a person asked for
    for wish in sorted(asked.wishes, key=lambda wish: wish.asked):
        subject, requires = (REQUEST, wish.spec) if wish.asked else _fact(asked, wish)
        yield _Unit(Cause(subject, requires, wish.source), lambda old, wish=wish: _without(old, wish))  # type: ignore[misc]


def _fact(asked: Target, wish: Wish) -> tuple[str, str]:
    name, _, rest = wish.spec.partition(" ")
    return asked.request.environment, f"{name} {rest}".strip()


def _without(old: Target, wish: Wish) -> Target:
    return old._replace(wishes=tuple(one for one in old.wishes if one != wish))


def _machine(matrix: CompatibilityMatrix, asked: Target) -> Iterator[_Unit]:
    """What the target machine is assumed to have; with the newest of it in its place, does it solve?"""
    conda, request = matrix.conda, asked.request
    virtuals = dict(asked.virtuals)
    better = {}
    if "__glibc" in virtuals:
        source = "--glibc" if request.glibc is not None else f"the floor of {request.platform}"
        newest = matrix.platforms[request.platform].uv_glibc[-1]
        better["__glibc"] = (f"glibc {virtuals['__glibc']}", source, str(newest))
    if conda.virtual in virtuals:
        majors = [row.version for row in matrix.toolkits if row.version.major == request.accelerator.cuda]
        source = "--driver" if request.driver is not None else "--cuda"
        text = f"a driver for CUDA {virtuals[conda.virtual]}"
        if majors:
            better[conda.virtual] = (text, source, f"{majors[-1].major}.{majors[-1].minor}")
    for name, (text, source, version) in better.items():
        changed = tuple(sorted({**virtuals, name: version}.items()))
        yield _Unit(Cause(REQUEST, text, source), lambda old, changed=changed: old._replace(virtuals=changed))  # type: ignore[misc]
    if asked.cutoff is not None:
        yield _Unit(
            Cause(REQUEST, f"nothing published after {asked.cutoff}", request.cutoff_flag),
            lambda old: old._replace(cutoff=None),
        )


# -- what works --------------------------------------------------------------------------------------------------------


def _suggestions(matrix: CompatibilityMatrix, asked: Target, solve: Solver) -> Iterator[Suggestion]:
    found = 0
    for change, request in _changes(matrix, asked.request):
        if refusal(matrix, request, asked.channels) is not None:
            continue
        answer = solve(target(matrix, request, asked.channels).query())
        if not isinstance(answer, list):
            continue
        yield Suggestion(change, _gives(matrix, request, answer))
        found += 1
        if found == _MOST:
            return


def _changes(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Iterator[tuple[str, EnvironmentRequest]]:
    """Changes to a request, the smallest first."""
    if request.cutoff is not None:
        yield f"without {request.cutoff_flag}", request._replace(cutoff=None, as_of=False)
    for requirement in (*request.dependencies, *request.requirements):
        yield (
            f"without `{requirement}`",
            request._replace(
                dependencies=tuple(one for one in request.dependencies if one != requirement),
                requirements=tuple(one for one in request.requirements if one != requirement),
            ),
        )
    if request.keras:
        yield "without --keras", request._replace(keras=type(request.keras)())
    accelerator = request.accelerator
    if accelerator.minor is not None:
        wider = Accelerator(cuda=accelerator.cuda)
        yield f"--cuda {wider.version}", request._replace(accelerator=wider)
    if request.driver is not None:
        yield "a newer driver", request._replace(driver=None)
    yield from _other_pythons(matrix, request)
    if accelerator.cuda is not None:
        for major in sorted(matrix.cuda_majors, reverse=True):
            if major != accelerator.cuda:
                yield f"--cuda {major}", request._replace(accelerator=Accelerator(cuda=major), driver=None)
        yield "--cpu", request._replace(accelerator=CPU, driver=None, gpus=())


def _other_pythons(
    matrix: CompatibilityMatrix, request: EnvironmentRequest
) -> Iterator[tuple[str, EnvironmentRequest]]:
    """The other Pythons, the nearest first, and of two the older."""
    known = [row.version for row in matrix.pythons]
    at = known.index(request.python)
    for version in sorted(known, key=lambda one: (abs(known.index(one) - at), known.index(one))):
        if version != request.python:
            yield f"--python {version}", request._replace(python=version)


def _gives(matrix: CompatibilityMatrix, request: EnvironmentRequest, records: Sequence[CondaRecord]) -> dict[str, str]:
    versions = {record["name"]: record["version"] for record in records}
    names = [*(matrix.backends[backend].framework for backend in request.backends), KERAS]
    packages = {name: matrix.conda.frameworks[name].packages[0] for name in dict.fromkeys(names)}
    return {package: versions[package] for package in packages.values() if package in versions}
