"""Lock the requested environments and print the result, unless all of them are up to date."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from kgen.actions import flake
from kgen.actions.interpreters import absent
from kgen.actions.lock import LockResult, kept_although_newer, lock
from kgen.actions.lock_options import LockOptions
from kgen.actions.plan import Plan
from kgen.actions.uptodate import unnamed
from kgen.cli import console, outcomes, progress
from kgen.cli.lock import tell_next, tell_unnamed
from kgen.errors import ExitStatus, OutsideError
from kgen.explain.commands import CommandForm
from kgen.fields import lock_command
from kgen.formats.outcome import Reporter
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats
from kgen.model.request import EnvironmentRequest


def lock_and_tell(
    matrix: CompatibilityMatrix, planned: Plan, options: LockOptions, *, json: bool = False, done: str | None = None
) -> ExitStatus:
    """Lock a plan, and print the result.

    Args:
        matrix: the facts.
        planned: the plan.
        options: how to lock.
        json: whether to print the result as JSON.
        done: a note of what else was done, which kgen prints before the next steps if it could lock everything.

    Raises:
        KgenError: kgen could not start to lock.
    """

    def say_choices() -> None:
        for note in planned.notes:
            console.say(f"note: {note}")

    # for a wrong call, print only what is wrong with it
    result = lock(matrix, planned, options, _progress, accepted=say_choices)
    _tell(matrix, planned, result, options, json=json, done=done)
    return result.status


@contextlib.contextmanager
def _progress(requests: Sequence[EnvironmentRequest]) -> Iterator[Reporter]:
    """Report progress in a line for each lock, under its name: kgen may try other requests than the original one."""
    with progress.lines({name: name for name in map(_label, requests)}) as report:
        yield lambda request, stage: report(_label(request), stage)


def _label(request: EnvironmentRequest) -> str:
    return f"{request.environment} ({request.platform})"


def _emit_flake(matrix: CompatibilityMatrix, planned: Plan) -> bool:
    """Write a `flake.nix` if there is none. A failure is reported, and the locks stay."""
    try:
        return flake.emit(planned.settings, planned.settings.backends or tuple(matrix.backends))
    except OutsideError as error:
        console.error(error)
        return False


# -- telling -----------------------------------------------------------------------------------------------------------


def _tell(
    matrix: CompatibilityMatrix,
    planned: Plan,
    result: LockResult,
    options: LockOptions,
    *,
    json: bool,
    done: str | None,
) -> None:
    locked = [outcome for outcome in result.outcomes if outcome.lock is not None]
    if any(outcome.form.is_default for outcome in locked):
        for note in result.notes:
            console.say(f"note: {note}")
    installers = tuple(map(formats.named, options.installers))
    form = CommandForm(lock_command, {**planned.form, "installers": installers}, planned.written)
    new_flake = bool(result.written) and _emit_flake(matrix, planned)
    if json:
        console.data(outcomes.data(result.outcomes, result.written, form))
    elif locked:
        console.result(outcomes.table(result.outcomes, result.written))
    outcomes.tell(result.outcomes, form, standing=not options.dry_run, portable=planned.settings.portable)
    _tell_newer(matrix, result)
    if len(locked) == len(result.outcomes) and not options.dry_run and not json:
        tell_unnamed(unnamed(planned.settings, [outcome.request for outcome in locked], options))
        _tell_absent(matrix, [outcome.request for outcome in locked if not outcome.form.brings_python])
        tell_next([outcome.request for outcome in locked], new_flake=new_flake, done=done)


def _tell_absent(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest]) -> None:
    """Name the chosen Pythons that this machine lacks, before `kgen sync` fails without them."""
    for one in absent(matrix, requests):
        named = ", ".join(one.environments)
        same = f"; `--python {one.instead}`, which is, gives the same frameworks" if one.instead else ""
        console.say(f"note: {named}: Python {one.version} is not on this machine: `{one.install}`{same}")


def _tell_newer(matrix: CompatibilityMatrix, result: LockResult) -> None:
    """Name the frameworks that kgen kept although the matrix has a newer one for them."""
    found = list(kept_although_newer(matrix, result))
    for one in found:
        console.say(f"note: {one.environment} keeps {one.name} {one.version}; the matrix has {one.newer} for it")
    if found:
        console.say("note: `kgen lock --upgrade` tries the newest of all, `--upgrade-package P` that of P")
