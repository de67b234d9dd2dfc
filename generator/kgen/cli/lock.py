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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kgen import accelerators, host
from kgen.actions import conda as conda_part
from kgen.actions import flake, plan
from kgen.actions.lock import LockOptions, lock, locked_of
from kgen.actions.plan import Plan, RequestFlags
from kgen.cli import conda, console
from kgen.cli.options import LOCKING, Json, option
from kgen.cli.request import asking
from kgen.errors import ExitStatus, OutsideError
from kgen.explain import report
from kgen.explain.commands import CommandForm
from kgen.explain.reasons import warning_text
from kgen.explain.sizes import size_text
from kgen.fields import Scope, lock_command
from kgen.formats.wheels.session import Outcome, Reporter
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution
from kgen.solver.resolve import solve

if TYPE_CHECKING:
    from kgen.formats.conda.session import CondaOutcome


@asking(Scope.LOCK, "lock")
def run(
    asked: RequestFlags,
    *,
    for_conda: Annotated[bool, option("--conda", text="write conda-lock.yml beside the pylock", panel=LOCKING)] = False,
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
    matrix = origin.current()
    planned = plan.make(asked, matrix, Path.cwd())
    options = LockOptions(
        dry_run=dry_run,
        upgrade=upgrade,
        upgrade_packages=tuple(upgrade_package or ()),
        merge=merge,
        conda=for_conda,
        channels=bool(asked.flags.get("channels")),
        all_platforms=not asked.flags.get("platforms"),
    )
    # before anything is said of what is about to be made: a wrong call makes nothing
    conda_part.asked(planned, flag=options.conda, channels=options.channels)
    for note in planned.notes:
        console.say(f"note: {note}")
    result = lock(matrix, planned, options, _progress)
    if any(outcome.lock is not None for outcome in result.outcomes):
        for note in result.notes:
            console.say(f"note: {note}")
    new_flake = bool(result.written) and _emit_flake(matrix, planned)
    _tell(
        matrix,
        result.outcomes,
        result.conda,
        result.written,
        options,
        json=json,
        new_flake=new_flake,
        planned=planned,
    )
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
    """Write a `flake.nix` where there is none; that it cannot be written is told, and takes nothing from the locks."""
    try:
        return flake.emit(planned.settings, planned.settings.backends or tuple(matrix.backends))
    except OutsideError as error:
        console.error(error)
        return False


# -- telling -----------------------------------------------------------------------------------------------------------


def _tell(
    matrix: CompatibilityMatrix,
    outcomes: Sequence[Outcome],
    others: Sequence[CondaOutcome],
    written: Mapping[str, bool],
    options: LockOptions,
    *,
    json: bool,
    new_flake: bool,
    planned: Plan,
) -> None:
    locked = [outcome for outcome in outcomes if outcome.lock is not None]
    form = CommandForm(lock_command, planned.form, planned.written)
    if json:
        console.data(_data(outcomes, others, written, form))
    elif locked:
        rows = [_row(outcome, written, dry=options.dry_run) for outcome in locked]
        rows += [
            conda.row(one, _STATES[written.get(one.request.environment)]) for one in others if one.lock is not None
        ]
        console.result(
            console.table(
                ("environment", "frameworks", _kinds(locked), "cuDNN", "packages", "download", "time", "lock"), rows
            )
        )
    for outcome in outcomes:
        for note in outcome.notes:
            console.say(f"note: {note}")
        for warning in outcome.lock.resolution.warnings if outcome.lock else ():
            console.say(f"warning: {outcome.request.environment}: {warning_text(warning)}")
    _tell_local([] if planned.settings.portable else locked)
    # an index that is down is down for every environment, and once is enough to say so
    failures: dict[str, Outcome] = {}
    for outcome in outcomes:
        failures.setdefault(_failure_text(outcome), outcome)
    for outcome in failures.values():
        _tell_failure(outcome, form)
    if len(locked) < len(outcomes):
        standing = "" if options.dry_run else "; what is there of it was left as it is"
        names = ", ".join(dict.fromkeys(o.request.environment for o in outcomes if o.lock is None))
        console.say(f"\nnot locked: {names}{standing}")
    conda.tell(others, form, standing=not options.dry_run, upgraded=bool(options.upgrade_packages))
    _tell_newer(matrix, locked)
    complete = len(locked) == len(outcomes) and all(one.lock is not None for one in others)
    if complete and not options.dry_run and not json:
        _tell_next([outcome.request for outcome in locked], new_flake=new_flake)


def _tell_local(locked: Sequence[Outcome]) -> None:
    """Warn of files that are locked from where this machine alone has them."""
    for outcome in locked:
        found = [wheel.filename for wheel in locked_of(outcome).wheels if wheel.url.startswith("file:")]
        if found:
            others = f" and {len(found) - 1} more" if len(found) > 1 else ""
            console.say(
                f"warning: {outcome.request.environment}: {found[0]}{others} came from a folder of this machine, as uv"
                " is configured (`find-links`); nobody else has it there, and `portable = true` locks by name and hash"
            )


def _tell_newer(matrix: CompatibilityMatrix, locked: Sequence[Outcome]) -> None:
    """Name the frameworks that were kept although a newer one would fit."""
    found = False
    for outcome in locked:
        if not outcome.request.held:
            continue
        newest = solve(matrix, outcome.request._replace(held=()))
        if not isinstance(newest, Resolution):
            continue
        has = locked_of(outcome).resolution
        for name, version in newest.packages.items():
            if name in has.packages and name not in has.parts and has.packages[name] < version:
                found = True
                console.say(
                    f"note: {outcome.request.environment} keeps {name} {has.packages[name]}; {version} would fit"
                )
    if found:
        console.say("note: `kgen lock --upgrade` takes the newest of all, `--upgrade-package P` that of P")


def _failure_text(outcome: Outcome) -> str:
    return outcome.request.environment if outcome.error is None else outcome.error.message


def _tell_failure(outcome: Outcome, form: CommandForm) -> None:
    if outcome.conflict is not None:
        console.say(f"\nerror: {report.conflict_text(outcome.conflict)}")
        console.hints(report.hints(outcome.conflict, form))
    elif outcome.error is not None:
        console.say("")
        console.error(outcome.error)


def _tell_next(requests: Sequence[EnvironmentRequest], *, new_flake: bool) -> None:
    here = next((request.environment for request in requests if request.platform == host.subdir()), None)
    console.say(
        f"\nnext: commit locks/{f' and {flake.NAME} (for `nix develop`)' if new_flake else ''}"
        + (f"; `kgen shell {here}` enters the environment, `kgen validate {here}` trains in it" if here else "")
    )


_STATES = {None: "not written", True: "written", False: "unchanged"}
"""What became of an environment's folder; without an answer one of its platforms could not be locked."""


def _kinds(locked: Sequence[Outcome]) -> str:
    """What the versions of runtimes in the table are of."""
    runtimes = [locked_of(outcome).resolution.runtime for outcome in locked]
    kinds = dict.fromkeys(accelerators.kind(one.kind).title for one in runtimes if one is not None)
    return ", ".join(kinds) or accelerators.probed()[0].title


def _row(outcome: Outcome, written: Mapping[str, bool], *, dry: bool) -> tuple[str, ...]:
    lock = locked_of(outcome)
    resolution = lock.resolution
    request = outcome.request
    state = "not written" if dry else _STATES[written.get(request.environment)]
    return (
        request.environment if request.platform == "linux-64" else f"{request.environment} ({request.platform})",
        _frameworks(resolution),
        "-" if resolution.runtime is None else resolution.runtime.number,
        "-" if resolution.cudnn is None else str(resolution.cudnn),
        str(len(lock.wheels)),
        size_text(lock.size),
        f"{outcome.seconds:.1f} s",
        state,
    )


def _frameworks(resolution: Resolution) -> str:
    """Keras and the frameworks themselves, without their parts."""
    own = [name for name in resolution.packages if name not in resolution.parts]
    return ", ".join(f"{name} {resolution.packages[name]}" for name in (*own[1:], *own[:1]))


def _data(
    outcomes: Sequence[Outcome], others: Sequence[CondaOutcome], written: Mapping[str, bool], form: CommandForm
) -> dict[str, object]:
    rows: list[dict[str, object]] = []
    for outcome in outcomes:
        request = outcome.request
        if outcome.lock is not None:
            rows.append(
                {
                    **report.solution_data(outcome.lock.resolution),
                    "locked": {name: str(version) for name, version in outcome.lock.versions.items()},
                    "licences": outcome.lock.licences,
                    "size": outcome.lock.size,
                    "seconds": round(outcome.seconds, 3),
                    "changed": written.get(request.environment),
                    "notes": outcome.notes,
                }
            )
        elif outcome.conflict is not None:
            rows.append({"environment": request.environment, "conflict": report.conflict_data(outcome.conflict, form)})
        elif outcome.error is not None:
            fault = {"message": outcome.error.message, "hints": list(outcome.error.hints)}
            rows.append({"environment": request.environment, "platform": request.platform, "error": fault})
    return {"environments": rows, **({"conda": [conda.data(one, form) for one in others]} if others else {})}
