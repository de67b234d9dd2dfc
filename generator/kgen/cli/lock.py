"""`kgen lock`: solve, close, judge, write."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 3,
    "purpose": "solve, resolve all packages, and write locks/ with its hooks",
    "example": "kgen lock jax torch --cuda 12",
}

import contextlib
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kgen import __version__, host, leftovers, lockfiles, project, storage, templates, uvtool
from kgen.cli import conda, console, flake, holding, plan
from kgen.cli.options import LOCKING, Json, option
from kgen.cli.plan import Plan, RequestFlags
from kgen.cli.request import asking
from kgen.emitters.hooks import render_hooks
from kgen.errors import ExitStatus, OutsideError, SettingsError
from kgen.fields import Scope
from kgen.lockers import pylock, uv
from kgen.lockers.lock import Lock
from kgen.lockers.session import IN_FLIGHT, Outcome, Reporter, Session
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import selection
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution
from kgen.project import LOCKS
from kgen.solver import report
from kgen.solver.resolve import solve

if TYPE_CHECKING:
    from kgen.lockers.conda.session import CondaOutcome
    from kgen.wheels import WheelReader

_HOOK = re.compile(r"(de)?activate\.d/kgen\.[a-z0-9]+")
_PYLOCK = re.compile(r"pylock\.[a-z0-9-]+\.toml")


class LockOptions(NamedTuple):
    """How a lock is to be made, beside what is asked for.

    Attributes:
        conda: whether there are to be locks for conda too.
        dry_run: whether nothing is written.
        upgrade: whether old locks do not count.
        upgrade_package: packages that are taken in their newest version.
        merge: whether the locks are in conflict after a merge.
        json: whether the result is data.
    """

    conda: bool = False
    dry_run: bool = False
    upgrade: bool = False
    upgrade_package: tuple[str, ...] = ()
    merge: bool = False
    json: bool = False


@asking(Scope.LOCK, "lock")
def run(
    asked: RequestFlags,
    *,
    conda: Annotated[bool, option("--conda", text="write conda-lock.yml beside the pylock", panel=LOCKING)] = False,
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
    """Lock what was asked and write it, each environment whole or not at all."""
    options = LockOptions(conda, dry_run, upgrade, tuple(upgrade_package or ()), merge, json)
    return _lock(asked, options)


def _lock(flags: RequestFlags, arguments: LockOptions) -> ExitStatus:
    matrix = origin.current()
    planned = plan.make(flags, matrix, Path.cwd())
    asked = conda.asked(flags, planned, named=arguments.conda)
    for note in planned.notes:
        console.say(f"note: {note}")
    locks = planned.settings.root / LOCKS
    requests = planned.requests
    notes: list[str] = []
    upgraded = arguments.upgrade_package
    if not arguments.upgrade:
        of_conda = [conda.locked(planned, request, merge=arguments.merge) for request in requests if asked]
        known = {one["name"] for packages in of_conda for one in packages}
        requests = holding.keep(
            matrix, requests, locks, upgraded=upgraded, known=known, merge=arguments.merge, notes=notes
        )
    if not arguments.dry_run:
        leftovers.sweep(locks.parent, locks, _envs(locks.parent))
    with contextlib.nullcontext() if arguments.dry_run else storage.exclusive(locks):
        if not arguments.dry_run:
            storage.recover(locks)
        moving = None if arguments.upgrade else upgraded
        every = None if arguments.dry_run else not flags.flags.get("platforms")
        merge = arguments.merge
        with conda.beside(matrix, planned, requests, wanted=asked, moving=moving, merge=merge, every=every) as finish:
            outcomes = lock(matrix, planned.settings.root, requests, torch_index=planned.settings.torch_index)
            others, files = finish(outcomes)
        written = {} if every is None else _write(matrix, planned, outcomes, files, every=every)
    if any(outcome.lock is not None for outcome in outcomes):
        for note in notes:
            console.say(f"note: {note}")
    new_flake = bool(written) and _emit_flake(matrix, planned)
    portable = planned.settings.portable
    _tell(matrix, outcomes, others, written, arguments, new_flake=new_flake, portable=portable)
    status = _status(outcomes)
    return conda.status(others) if status == ExitStatus.DONE else status


def _envs(root: Path) -> Path | None:
    """Where environments may have been left behind."""
    try:
        return project.envs(root)
    except SettingsError:  # who makes an environment will be told
        return None


def lock(
    matrix: CompatibilityMatrix, root: Path, requests: Sequence[EnvironmentRequest], *, torch_index: str | None
) -> list[Outcome]:
    """Lock these requests of the project in this folder; nothing is written.

    Args:
        matrix: the facts.
        root: the project's folder.
        requests: what is asked.
        torch_index: what the settings say about PyTorch's own index.
    """
    cancel = threading.Event()

    def open_reader() -> WheelReader:
        # called while uv is at work: what is slow to import or to prepare is seen to now
        from kgen import wheels  # noqa: PLC0415

        templates.prepare("hooks/", "pylock")
        return wheels.WheelReader(
            cache=wheels.default_cache(host.variable("KGEN_CACHE_DIR")),
            cancel=cancel,
            certificates=host.variable("SSL_CERT_FILE"),
            indexes=uvtool.configured(root),
            patience=min(wheels.PATIENCE, host.seconds(wheels.PATIENCE)),
        )

    program = uvtool.find()
    locker = uv.Uv(program, root=root, cancel=cancel, own=uvtool.own_indexes(program, root, torch_index))
    chosen = host.variable("UV_CONCURRENT_DOWNLOADS") is not None
    with _progress(requests) as told:
        session = Session(
            matrix, locker, open_reader, cancel=cancel, report=told, in_flight=None if chosen else IN_FLIGHT
        )
        return session.lock(requests)


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


# -- writing -----------------------------------------------------------------------------------------------------------


def _write(
    matrix: CompatibilityMatrix,
    planned: Plan,
    outcomes: Sequence[Outcome],
    of_conda: Mapping[str, Mapping[str, bytes]],
    *,
    every: bool,
) -> Mapping[str, bool]:
    """Write each environment that was locked on all its platforms; environment -> whether anything changed."""
    locks = planned.settings.root / LOCKS
    environments: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        environments.setdefault(outcome.request.environment, []).append(outcome)
    written = {}
    for environment, members in environments.items():
        if any(outcome.lock is None for outcome in members):
            continue
        request = members[0].request
        selected = selection(matrix, request.backends, isolated=request.isolated)
        hooks = render_hooks(environment, selected.variables)
        files = {path: text.encode() for path, text in hooks.items()}
        for outcome in members:
            platform = matrix.platforms[outcome.request.platform]
            text = pylock.render(
                _locked(outcome),
                platform=platform,
                variables=selected.variables,
                hooks=hooks,
                **selected.own,
                revision=matrix.revision,
                version=__version__,
                portable=planned.settings.portable,
            )
            files[lockfiles.filename(platform.name)] = text.encode()
        # locks of platforms that a flag left out this time stay; those that the settings dropped go
        files |= of_conda.get(environment, {})
        written[environment] = storage.replace_folder(
            locks / environment,
            files,
            owned=_owned if every else _is_hook,
        )
    return written


def _emit_flake(matrix: CompatibilityMatrix, planned: Plan) -> bool:
    """Write a `flake.nix` where there is none; that it cannot be written is told, and takes nothing from the locks."""
    try:
        return flake.emit(planned.settings, planned.settings.backends or tuple(matrix.backends))
    except OutsideError as error:
        console.error(error)
        return False


def _is_hook(path: str) -> bool:
    return _HOOK.fullmatch(path) is not None


def _owned(path: str) -> bool:
    return _is_hook(path) or _PYLOCK.fullmatch(path) is not None


def _locked(outcome: Outcome) -> Lock:
    assert outcome.lock is not None  # noqa: S101 - the caller has looked
    return outcome.lock


# -- telling -----------------------------------------------------------------------------------------------------------


def _tell(
    matrix: CompatibilityMatrix,
    outcomes: Sequence[Outcome],
    others: Sequence[CondaOutcome],
    written: Mapping[str, bool],
    arguments: LockOptions,
    *,
    new_flake: bool,
    portable: bool,
) -> None:
    locked = [outcome for outcome in outcomes if outcome.lock is not None]
    if arguments.json:
        console.data(_data(outcomes, others, written))
    elif locked:
        rows = [_row(outcome, written, dry=arguments.dry_run) for outcome in locked]
        rows += [
            conda.row(one, _STATES[written.get(one.request.environment)]) for one in others if one.lock is not None
        ]
        console.result(
            console.table(("environment", "frameworks", "CUDA", "cuDNN", "packages", "download", "time", "lock"), rows)
        )
    for outcome in outcomes:
        for note in outcome.notes:
            console.say(f"note: {note}")
        for warning in outcome.lock.resolution.warnings if outcome.lock else ():
            console.say(f"warning: {outcome.request.environment}: {warning}")
    _tell_local([] if portable else locked)
    # an index that is down is down for every environment, and once is enough to say so
    failures: dict[str, Outcome] = {}
    for outcome in outcomes:
        failures.setdefault(_failure_text(outcome), outcome)
    for outcome in failures.values():
        _tell_failure(outcome)
    if len(locked) < len(outcomes):
        standing = "" if arguments.dry_run else "; what is there of it was left as it is"
        names = ", ".join(dict.fromkeys(o.request.environment for o in outcomes if o.lock is None))
        console.say(f"\nnot locked: {names}{standing}")
    conda.tell(others, standing=not arguments.dry_run, upgraded=bool(arguments.upgrade_package))
    _tell_newer(matrix, locked)
    complete = len(locked) == len(outcomes) and all(one.lock is not None for one in others)
    if complete and not arguments.dry_run and not arguments.json:
        _tell_next([outcome.request for outcome in locked], new_flake=new_flake)


def _tell_local(locked: Sequence[Outcome]) -> None:
    """Warn of files that are locked from where this machine alone has them."""
    for outcome in locked:
        found = [wheel.filename for wheel in _locked(outcome).wheels if wheel.url.startswith("file:")]
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
        has = _locked(outcome).resolution
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


def _tell_failure(outcome: Outcome) -> None:
    if outcome.conflict is not None:
        console.say(f"\nerror: {report.conflict_text(outcome.conflict)}")
        console.hints(report.hints(outcome.conflict))
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


def _row(outcome: Outcome, written: Mapping[str, bool], *, dry: bool) -> tuple[str, ...]:
    lock = _locked(outcome)
    resolution = lock.resolution
    request = outcome.request
    state = "not written" if dry else _STATES[written.get(request.environment)]
    return (
        request.environment if request.platform == "linux-64" else f"{request.environment} ({request.platform})",
        _frameworks(resolution),
        resolution.cuda or "-",
        "-" if resolution.cudnn is None else str(resolution.cudnn),
        str(len(lock.wheels)),
        console.size(lock.size),
        f"{outcome.seconds:.1f} s",
        state,
    )


def _frameworks(resolution: Resolution) -> str:
    """Keras and the frameworks themselves, without their parts."""
    own = [name for name in resolution.packages if name not in resolution.parts]
    return ", ".join(f"{name} {resolution.packages[name]}" for name in (*own[1:], *own[:1]))


def _data(
    outcomes: Sequence[Outcome], others: Sequence[CondaOutcome], written: Mapping[str, bool]
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
            rows.append({"environment": request.environment, "conflict": report.conflict_data(outcome.conflict)})
        elif outcome.error is not None:
            fault = {"message": outcome.error.message, "hints": list(outcome.error.hints)}
            rows.append({"environment": request.environment, "platform": request.platform, "error": fault})
    return {"environments": rows, **({"conda": [conda.data(one) for one in others]} if others else {})}


def _status(outcomes: Sequence[Outcome]) -> ExitStatus:
    if any(outcome.conflict is not None for outcome in outcomes):
        return ExitStatus.NO_SOLUTION
    return next((o.error.status for o in outcomes if o.error is not None), ExitStatus.DONE)
