"""Why these versions, and what would have to change to get the newest."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import fields, lockfiles, settings
from kgen.actions import plan
from kgen.actions.plan import Plan
from kgen.actions.request_flags import RequestFlags
from kgen.errors import KgenError, SettingsError, UnknownNameError, UsageError
from kgen.explain.reasons import recorded_in
from kgen.formats.wheels import company
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model.causes import Cause, Wish
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.requirement import Requirement
from kgen.model.resolution import Conflict, Resolution, Suggestion
from kgen.project import find_root
from kgen.settings import Settings
from kgen.solver.explanation import Explanation
from kgen.solver.explanation import explain as explain_resolution
from kgen.solver.resolve import own_index_gain
from kgen.solver.retention import keeping
from kgen.solver.sharing import solve_together
from kgen.tables import nearest


class ExplainedResolution(NamedTuple):
    """A resolution, why it is what it is, and what a framework's own index would add to it."""

    resolution: Resolution
    explanations: tuple[Explanation, ...]
    gain: Suggestion | None


class ExplainResult(NamedTuple):
    """The answers.

    Attributes:
        explained: the environments that can be had.
        conflicts: those that cannot.
        notes: choices that were made for the user.
        form: what flags and settings ask for beside a request: field -> value.
        written: the settings without the flags.
    """

    explained: tuple[ExplainedResolution, ...]
    conflicts: tuple[Conflict, ...]
    notes: tuple[str, ...]
    form: Mapping[str, object]
    written: Settings


def explain(
    asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path, *, newest: str | None = None
) -> ExplainResult:
    """Solve each environment and explain the answers; one that is locked, by its own request and versions.

    Args:
        asked: what is asked for; locked environments by their whole names, the rest as `solve` has it.
        matrix: the facts.
        folder: a folder of the project.
        newest: the one package to explain; None for all.

    Raises:
        UsageError: what is asked makes no sense, or no environment has the package.
        SettingsError: the settings or a lock cannot be read.
    """
    requests, planned = _requests(asked, matrix, folder)
    answers = solve_together(matrix, requests)
    solved = [answer for answer in answers if isinstance(answer, Resolution)]
    conflicts = tuple(answer for answer in answers if isinstance(answer, Conflict))
    found = [
        ExplainedResolution(
            one, _with_image(explain_resolution(matrix, one, newest), asked, matrix), own_index_gain(matrix, one)
        )
        for one in solved
    ]
    if newest is not None:
        if solved and not any(one.explanations for one in found):
            raise _unknown(newest, solved)
        # what another index has is of interest where it is about what was asked
        found = [
            one if one.gain is not None and newest in one.gain.gives else one._replace(gain=None)
            for one in found
            if one.explanations
        ]
    if planned is None:
        return ExplainResult(tuple(found), conflicts, (), {}, settings.read(find_root(folder), matrix))
    return ExplainResult(tuple(found), conflicts, planned.notes, planned.form, planned.written)


def _with_image(
    explanations: Sequence[Explanation], asked: RequestFlags, matrix: CompatibilityMatrix
) -> tuple[Explanation, ...]:
    """The explanations, with the image where that is what asks for a version: its versions are required like others."""
    image = matrix.images.get(asked.like or "")
    if image is None:
        return tuple(explanations)
    given = asked.flags.get("require") or ()
    own = {given} if isinstance(given, str) else set() if isinstance(given, bool) else {*given}
    pins = {f"{name}=={version.public}" for name, version in image.packages.items()} - own

    def named(cause: Cause) -> Cause:
        fact = cause.facts[0].fact
        of_image = cause.source is RequestField.REQUIREMENT and isinstance(fact, Wish) and fact.value in pins
        return cause._replace(source=f"--like {image.name}") if of_image else cause

    return tuple(one._replace(causes=tuple(map(named, one.causes))) for one in explanations)


def _unknown(name: str, solved: list[Resolution]) -> KgenError:
    known = list(dict.fromkeys(one for answer in solved for one in (*answer.packages, *answer.libraries)))
    near = nearest(name, known)
    return UsageError(
        f"`--newest {name}`: none of these environments has it",
        hints=[f"did you mean `{near}`?"] if near else [f"they have {', '.join(known)}"],
    )


def _requests(
    asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path
) -> tuple[list[EnvironmentRequest], Plan | None]:
    """What is to be explained: locked environments by their whole names, the rest as `solve` has it."""
    root = find_root(folder)
    locked = {one.name: one for one in lockfiles.environments(root)}
    named = [locked[name] for name in dict.fromkeys(asked.names) if name in locked]
    requests = [_recorded(path, matrix) for environment in named for path in environment.platforms.values()]
    others = [name for name in asked.names if name not in locked]
    if named and not others:
        return requests, None
    package = next((name for name in others if name not in matrix.short_names and matrix.follows(name)), None)
    if package is not None and asked.command == "explain":
        rest = [name for name in asked.names if name != package]
        raise UnknownNameError(
            f"unknown backend `{package}`", hints=[shlex.join(["kgen", "explain", *rest, "--newest", package])]
        )
    for environment, request in zip((one.name for one in named for _ in one.platforms), requests, strict=True):
        brought = next((name for name in others if any(name == one.name for one in request.held)), None)
        if brought is not None:
            raise UsageError(
                f"the matrix does not follow {brought}, which is in {environment} as something needs it",
                hints=[shlex.join(["kgen", "tree", environment, "--invert", "--package", brought])],
            )
    planned = plan.make(asked._replace(names=tuple(others)), matrix, folder)
    return [*requests, *company.joined_as_locked(matrix, planned.requests)], planned


def _recorded(path: Path, matrix: CompatibilityMatrix) -> EnvironmentRequest:
    try:
        lock, data = lockfiles.parse(path, lockfiles.content_of(path))
        require_known(matrix, lock)
        request = fields.request_of(data["tool"]["kgen"])._replace(python_open=False)
        # what came along then bounds the others as it did, and would again
        request = company.joined_beside(matrix, request, lock.versions).request
        held = tuple(Requirement(f"{name}=={version}") for name, version in sorted(lock.versions.items()))
        return keeping(matrix, request._replace(held=held, recorded=recorded_in(data["tool"]["kgen"])))
    except ValueError as error:
        raise SettingsError(f"{path} cannot be relied on: {error}", hints=["kgen check"]) from None
