"""Solve environments from the matrix alone, without an index."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kgen import files
from kgen.actions import plan
from kgen.actions.lock_options import ProvenOptions
from kgen.actions.plan import Plan
from kgen.actions.pythons import allowed_by
from kgen.actions.request_flags import RequestFlags
from kgen.errors import KgenError
from kgen.formats.wheels import company
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict, Resolution, Suggestion
from kgen.project import LOCKS
from kgen.solver.resolve import own_index_gain
from kgen.solver.sharing import solve_together


class SolveResult(NamedTuple):
    """The answers of the solver.

    Attributes:
        answers: for each environment on each platform its resolution, or why there is none.
        gains: for each answer the gain of using a framework's own index; None if there is none.
        plan: the plan, with the choices that kgen made.
        kept: the environments that kgen solved with the versions of their locks.
    """

    answers: tuple[Resolution | Conflict, ...]
    gains: tuple[Suggestion | None, ...]
    plan: Plan
    kept: tuple[str, ...] = ()

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """The environments without a solution."""
        return tuple(answer for answer in self.answers if isinstance(answer, Conflict))

    @property
    def solved(self) -> tuple[tuple[Resolution, Suggestion | None], ...]:
        """The solved environments, each with the gain of using a framework's own index."""
        return tuple(
            (answer, gain)
            for answer, gain in zip(self.answers, self.gains, strict=True)
            if isinstance(answer, Resolution)
        )


def solve(
    asked: RequestFlags,
    matrix: CompatibilityMatrix,
    folder: Path,
    *,
    upgrade: bool = False,
    proven: ProvenOptions | None = None,
) -> SolveResult:
    """Solve each requested environment as locking would: with the locked versions, and with shared libraries.

    Args:
        asked: the flags.
        matrix: the facts.
        folder: a folder in the project.
        upgrade: whether to ignore the existing locks.
        proven: how receipts of the project count; None to ignore them.

    Raises:
        UsageError: the flags contradict each other.
        SettingsError: the settings are invalid.
    """
    planned = plan.make(asked, matrix, folder)
    locks = planned.settings.root / LOCKS
    if proven is not None:
        from kgen.actions.preference import with_proven  # noqa: PLC0415 - most questions are asked without receipts

        notes: list[str] = []
        planned = with_proven(matrix, planned, proven, notes)
        planned = planned._replace(notes=(*planned.notes, *notes))
    if not upgrade and files.is_folder(locks):
        planned = planned._replace(requests=_as_locked(matrix, planned, locks))
    answers = tuple(solve_together(matrix, company.joined_as_locked(matrix, planned.requests)))
    gains = tuple(own_index_gain(matrix, one) if isinstance(one, Resolution) else None for one in answers)
    kept = () if proven is not None else (answer.request.environment for answer in answers if answer.request.held)
    return SolveResult(answers, gains, planned, tuple(dict.fromkeys(kept)))


def _as_locked(matrix: CompatibilityMatrix, planned: Plan, locks: Path) -> tuple[EnvironmentRequest, ...]:
    """The requests with what locking would keep; unchanged if a lock cannot be read, as `kgen lock` says why."""
    from kgen.actions.keep import keep  # noqa: PLC0415 - most projects that are tried out have no locks

    allowed = allowed_by(planned.settings, matrix)
    minors = None if allowed is None else allowed.minors
    try:
        return keep(matrix, planned.requests, locks, upgraded=(), allowed=minors, merge=False, notes=[])
    except KgenError:
        return planned.requests
