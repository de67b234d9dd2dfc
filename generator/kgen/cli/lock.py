"""`kgen lock`: solve, resolve, verify, write."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 3,
    "purpose": "solve, resolve all packages, and write locks/ with its hooks",
    "example": "kgen lock jax torch --cuda 12",
}

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from kgen import host
from kgen.actions import flake, plan
from kgen.actions.lock import LockOptions, LockResult, kept_although_newer, lock
from kgen.actions.plan import Plan, RequestFlags
from kgen.cli import console, outcomes
from kgen.cli.formats import MoreFormats, naming_formats
from kgen.cli.options import LOCKING, Json, option
from kgen.cli.request import asking
from kgen.errors import ExitStatus, OutsideError
from kgen.explain.commands import CommandForm
from kgen.fields import Scope, lock_command
from kgen.formats.outcome import Reporter
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest


@asking(Scope.LOCK, "lock")
@naming_formats
def run(
    asked: RequestFlags,
    *,
    installers: MoreFormats = (),
    dry_run: Annotated[bool, option("--dry-run", text="do everything but write", panel=LOCKING)] = False,
    upgrade: Annotated[
        bool, option("--upgrade", text="take the newest of everything, whatever the old locks have", panel=LOCKING)
    ] = False,
    upgrade_package: Annotated[
        list[str] | None,
        option("--upgrade-package", metavar="P", text="take the newest P and keep the rest; repeatable", panel=LOCKING),
    ] = None,
    merge: Annotated[
        bool,
        option("--merge", text="solve locks in conflict again, keeping what both sides share", panel=LOCKING),
    ] = False,
    json: Json = False,
) -> ExitStatus:
    """Lock what was asked, and print what became of it."""
    options = LockOptions(
        dry_run=dry_run,
        upgrade=upgrade,
        upgrade_packages=tuple(upgrade_package or ()),
        merge=merge,
        installers=installers,
        given=asked.given,
        all_platforms=not {"platforms", "targets"} & set(asked.given),
    )

    return lock_and_tell(asked, options, json=json)


def lock_and_tell(asked: RequestFlags, options: LockOptions, *, json: bool = False) -> ExitStatus:
    """Lock what a call asks for, and print what became of it.

    Args:
        asked: what was typed.
        options: how.
        json: whether the result is printed as data.

    Raises:
        KgenError: nothing could be begun.
    """
    matrix = origin.current()
    planned = plan.make(asked, matrix, Path.cwd())

    def say_choices() -> None:
        for note in planned.notes:
            console.say(f"note: {note}")

    # of a wrong call nothing is said but what is wrong with it
    result = lock(matrix, planned, options, _progress, accepted=say_choices)
    _tell(matrix, planned, result, options, json=json)
    return result.status


@contextlib.contextmanager
def _progress(requests: Sequence[EnvironmentRequest]) -> Iterator[Reporter]:
    """A line for each environment with its stage, where stderr is a terminal; silence elsewhere."""
    if not host.is_terminal(sys.stderr):
        yield lambda _request, _stage: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[stage]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        tasks = {request: progress.add_task(_label(request), total=None, stage="waiting") for request in requests}
        yield lambda request, stage: progress.update(tasks[request], stage=stage)


def _label(request: EnvironmentRequest) -> str:
    return f"{request.environment} ({request.platform})"


def _emit_flake(matrix: CompatibilityMatrix, planned: Plan) -> bool:
    """Write a `flake.nix` where there is none; a failure is reported, and leaves the locks as they are."""
    try:
        return flake.emit(planned.settings, planned.settings.backends or tuple(matrix.backends))
    except OutsideError as error:
        console.error(error)
        return False


# -- telling -----------------------------------------------------------------------------------------------------------


def _tell(matrix: CompatibilityMatrix, planned: Plan, result: LockResult, options: LockOptions, *, json: bool) -> None:
    locked = [outcome for outcome in result.outcomes if outcome.lock is not None]
    if any(outcome.form.is_default for outcome in locked):
        for note in result.notes:
            console.say(f"note: {note}")
    form = CommandForm(lock_command, planned.form, planned.written)
    new_flake = bool(result.written) and _emit_flake(matrix, planned)
    if json:
        console.data(outcomes.data(result.outcomes, result.written, form))
    elif locked:
        console.result(outcomes.table(result.outcomes, result.written))
    outcomes.tell(result.outcomes, form, standing=not options.dry_run, portable=planned.settings.portable)
    _tell_newer(matrix, result)
    if len(locked) == len(result.outcomes) and not options.dry_run and not json:
        _tell_next([outcome.request for outcome in locked], new_flake=new_flake)


def _tell_newer(matrix: CompatibilityMatrix, result: LockResult) -> None:
    """Name the frameworks that were kept although a newer one would fit."""
    found = list(kept_although_newer(matrix, result))
    for one in found:
        console.say(f"note: {one.environment} keeps {one.name} {one.version}; {one.newer} would fit")
    if found:
        console.say("note: `kgen lock --upgrade` takes the newest of all, `--upgrade-package P` that of P")


def _tell_next(requests: Sequence[EnvironmentRequest], *, new_flake: bool) -> None:
    here = next((request.environment for request in requests if request.platform == host.subdir()), None)
    console.say(
        f"\nnext: commit locks/{f' and {flake.NAME} (for `nix develop`)' if new_flake else ''}"
        + (f"; `kgen shell {here}` enters the environment, `kgen validate {here}` trains in it" if here else "")
    )
