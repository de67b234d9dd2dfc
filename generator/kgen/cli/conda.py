"""What is printed about the conda part of `kgen lock`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kgen.cli import console
from kgen.explain import report
from kgen.explain.commands import CommandForm
from kgen.explain.sizes import size_text

if TYPE_CHECKING:  # who locks wheels alone does not pay for it
    from kgen.formats.conda.session import CondaOutcome


def row(outcome: CondaOutcome, state: str) -> tuple[str, ...]:
    """A row of the table of results."""
    lock = outcome.lock
    assert lock is not None  # noqa: S101 - the caller has looked
    request = outcome.request
    versions = lock.versions
    names = [name for name, _ in lock.target.carriers] or [name for name in request.backends if name in versions]
    shown = [
        f"{name} {versions[name]}" for name in (*names, "keras", *(() if names else ("python",))) if name in versions
    ]
    platform = "" if request.platform == "linux-64" else f" {request.platform}"
    return (
        f"{request.environment} (conda{platform})",
        ", ".join(shown),
        lock.cuda or "-",
        lock.cudnn or "-",
        str(len(lock.records) + len(lock.wheels)),
        size_text(lock.size),
        f"{outcome.seconds:.1f} s",
        state,
    )


def tell(outcomes: Sequence[CondaOutcome], form: CommandForm, *, standing: bool, upgraded: bool) -> None:
    """Notes, refusals and failures; a channel that is down is told of once.

    Args:
        outcomes: what became of it.
        form: of the commands in hints.
        standing: whether what was there stands where nothing new is.
        upgraded: whether single packages were to be upgraded, so that it is worth telling what moved with them.
    """
    moved = filter(None, map(_moved, outcomes)) if upgraded else ()
    for note in dict.fromkeys([*(note for outcome in outcomes for note in outcome.notes), *moved]):
        console.say(f"note: {note}")
    told: set[str] = set()
    for outcome in outcomes:
        if outcome.conflict is not None:
            console.say(f"\nerror: {report.conflict_text(outcome.conflict)}")
            tree = ["`--json` has rattler's own reasons"] if outcome.tree else []
            console.hints([*(report.hints(outcome.conflict, _with_conda(form))), *tree])
        elif outcome.error is not None and outcome.error.message not in told:
            told.add(outcome.error.message)
            console.say("")
            console.error(outcome.error)
    missing = list(dict.fromkeys(one.request.environment for one in outcomes if one.lock is None))
    if missing:
        left = "; what is there of it was left as it is" if standing else ""
        console.say(f"\nnot locked for conda: {', '.join(missing)}{left}")


def _with_conda(form: CommandForm) -> CommandForm:
    return form._replace(values={**form.values, "conda": True})


def _moved(outcome: CondaOutcome) -> str | None:
    """What could not stay as it was locked."""
    lock = outcome.lock
    moved = [
        f"{one['name']} {one['version']} -> {lock.versions.get(one['name'], 'none')}"
        for one in (lock.target.locked if lock is not None else ())
        if lock is not None and lock.versions.get(one["name"]) != one["version"]
    ]
    listed = ", ".join(moved)
    return f"{outcome.request.environment}: moved as well, as what is upgraded needs it: {listed}" if moved else None


def data(outcome: CondaOutcome, form: CommandForm) -> dict[str, object]:
    """One outcome as plain data."""
    request = outcome.request
    head: dict[str, object] = {"environment": request.environment, "platform": request.platform}
    if outcome.lock is not None:
        return {
            **head,
            "locked": dict(outcome.lock.versions),
            "wheels": {wheel.name: str(wheel.version) for wheel in outcome.lock.wheels},
            "size": outcome.lock.size,
            "seconds": round(outcome.seconds, 3),
            "notes": outcome.notes,
        }
    if outcome.conflict is not None:
        return {**head, "conflict": report.conflict_data(outcome.conflict, _with_conda(form)), "tree": outcome.tree}
    error = outcome.error
    assert error is not None  # noqa: S101 - one of the three it is
    return {**head, "error": {"message": error.message, "hints": list(error.hints)}}
