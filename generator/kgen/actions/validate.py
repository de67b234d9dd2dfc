"""Trains in locked environments, and reports the result: targets -> validations, each with a receipt."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kgen import accelerators, files, host, lockfiles, project, storage, surroundings
from kgen.actions import sync
from kgen.actions.choose import choose
from kgen.errors import LOCK, ExitStatus, KgenError, OtherPlatformError, UnknownNameError, Unlocked, UsageError
from kgen.formats import environment as environments
from kgen.formats import interface
from kgen.host import Host
from kgen.loader import owners
from kgen.lockfiles import LockedEnvironment
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model import format as formats
from kgen.model.accelerator import CPU
from kgen.model.format import Format
from kgen.model.lockfile import Lockfile
from kgen.tables import nearest
from kgen.validation import receipts, reference
from kgen.validation.judge import Outcome, Verdict, judge, skipped
from kgen.validation.observation import Subject, observe
from kgen.validation.receipts import Receipt
from kgen.validation.seats import ANY, Seat, Seats, at_once, seats

Reporter = Callable[[str], None]
"""A function that takes a stage, or a remark."""


def ignore(_text: str) -> None:
    """Report nothing."""


_NO_GPU = "no GPU here"

DEVICES = ("gpu", "cpu", "auto")
"""The devices on which the user can ask to train."""


class ValidateOptions(NamedTuple):
    """How to validate environments.

    Attributes:
        device: one of :data:`DEVICES`; `auto` takes the GPU if the lock is for one and this machine has one.
        python: the interpreter, or the folder, of an environment that kgen did not make; None for kgen's own.
        no_lock: whether to compare with no lock and to write no receipt; names are then names of backends.
        timeout: seconds for each backend.
        form: the only form of locks to validate; None for all of them.
        envs: the folder of the environments; None for the one in the settings.
        below: the folder for receipts, as `<env>/<device>.json` below it; None to write them beside the locks.
        suite: what to prove, one of :data:`kgen.validation.receipts.SUITES`.
        jobs: the largest number of environments to validate at once; each has a GPU to itself, or waits for one.
    """

    device: str = "auto"
    python: str | None = None
    no_lock: bool = False
    timeout: float = 900.0
    form: Format | None = None
    envs: str | None = None
    below: Path | None = None
    suite: str = receipts.BASIC
    jobs: int = 1


AS_USUAL = ValidateOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationTarget:
    """An environment, and the device that its backends train on.

    Attributes:
        name: the environment, or the backend if there is no lock.
        locked: its lock; None with `no_lock`.
        backends: the backends to train with, one after the other.
        device: `cpu` or `gpu`.
        note: what to print beside the device.
        skip: the reason for running nothing; None to run.
        kind: the kind of accelerator of the environment, or of the machine if there is no lock.
    """

    name: str
    locked: Lockfile | None
    backends: tuple[str, ...]
    device: str
    kind: str = CPU.kind
    note: str | None = None
    skip: str | None = None


@dataclass(slots=True, kw_only=True)
class Validation:
    """The validation of one target.

    Attributes:
        target: the target.
        verdicts: backend -> its verdict.
        error: why some of it could not run.
        installed: whether the environment could be installed.
        receipt: the path of the receipt.
        receipt_kept: whether an existing, stronger receipt was kept.
    """

    target: ValidationTarget
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    error: KgenError | None = None
    installed: bool = True
    receipt: Path | None = None
    receipt_kept: bool = False


class Agreement(NamedTuple):
    """How closely the losses of several backends agree.

    Attributes:
        trajectories: the number of trajectories that were compared.
        distance: the distance of the two that are farthest apart, see :func:`kgen.validation.reference.apart`.
        pair: these two, each as `environment/backend`.
    """

    trajectories: int
    distance: float
    pair: tuple[str, str]


class ValidateResult(NamedTuple):
    """The validation of each environment.

    Attributes:
        validations: one for each target, in their order.
    """

    validations: tuple[Validation, ...]

    @property
    def status(self) -> ExitStatus:
        """`DONE` only if everything passed; else the status of the first error, or `CHECK_FAILED`."""
        errors = [one.error.status for one in self.validations if one.error is not None]
        if errors:
            return errors[0]
        passed = all(v.outcome is Outcome.PASSED for one in self.validations for v in one.verdicts.values())
        return ExitStatus.DONE if passed else ExitStatus.CHECK_FAILED

    @property
    def agreement(self) -> Agreement | None:
        """How closely the backends that trained agree; None if fewer than two trained."""
        trained = [
            (f"{one.target.name}/{backend}", verdict.result["losses"])
            for one in self.validations
            for backend, verdict in one.verdicts.items()
            if verdict.outcome is Outcome.PASSED and verdict.result.get("losses")
        ]
        pairs = list(itertools.combinations(trained, 2))
        if not pairs:
            return None
        distance, one, other = max((reference.apart(a[1], b[1]), a[0], b[0]) for a, b in pairs)
        return Agreement(len(trained), distance, (one, other))


class ProvenEnvironments(NamedTuple):
    """The receipts of environments.

    Attributes:
        environments: the names of all environments in question.
        receipts: each receipt with the name of its environment.
    """

    environments: tuple[str, ...]
    receipts: tuple[tuple[str, Receipt], ...]

    @property
    def unproven(self) -> tuple[str, ...]:
        """The environments without a receipt."""
        proven = {name for name, _ in self.receipts}
        return tuple(name for name in self.environments if name not in proven)


class EnteredInterpreter(NamedTuple):
    """The interpreter of an environment, and how to enter the environment.

    Attributes:
        path: the interpreter.
        variables: the variables that activation sets, without those that its scripts set.
        entry: the words of a program that runs these scripts and then the interpreter; none if there are no scripts.
    """

    path: Path
    variables: Mapping[str, str]
    entry: tuple[str, ...] = ()


# -- what to validate --------------------------------------------------------------------------------------------------


def targets(
    root: Path,
    matrix: CompatibilityMatrix,
    machine: Host,
    names: Sequence[str] = (),
    options: ValidateOptions = AS_USUAL,
) -> tuple[ValidationTarget, ...]:
    """The targets of a validation.

    Args:
        root: the project's folder.
        matrix: the facts.
        machine: what this machine has.
        names: environments; none for all that are locked for this machine; the backend with `no_lock`.
        options: how to validate them.

    Raises:
        UsageError: the options contradict each other, or there is no such environment or backend.
        SettingsError: a lock cannot be read, or is for something that the matrix does not know.
    """
    refuse_contradictions(names, options)
    if options.no_lock:
        name = names[0]
        row = matrix.backend_named(name, None)
        if row is None:
            near = nearest(name, [*matrix.short_names, *matrix.backends])
            raise UnknownNameError(
                f"unknown backend `{name}`",
                hints=[f"did you mean `{near}`?" if near else f"the backends are {', '.join(matrix.short_names)}"],
            )
        kind = machine.best if row.accelerated else CPU.kind
        return (_target(name, None, (row.name,), kind=kind, asked=options.device, machine=machine),)
    every = _locks(names, root, machine, options.form)
    for one in every:
        require_known(matrix, one)
    return tuple(
        _target(
            locked.environment,
            locked,
            locked.backends,
            kind=locked.computes_on.kind,
            asked=options.device,
            machine=machine,
            wanted=_is_wanted(root, locked, machine, names, options),
        )
        for locked in every
    )


def _is_wanted(root: Path, locked: Lockfile, machine: Host, names: Sequence[str], options: ValidateOptions) -> bool:
    """Whether to make an environment here: it was named, this machine has a device for it, or it is on disk."""
    kind, name = locked.computes_on.kind, f"{locked.environment}{locked.form.suffix}"
    if kind == CPU.kind or machine.of(kind).found or options.device != "auto" or options.python is not None:
        return True
    return bool({name, locked.environment} & set(names)) or environments.is_whole(
        sync.find(root, name, options.envs, locked.form)
    )


def refuse_contradictions(names: Sequence[str], options: ValidateOptions) -> None:
    """Check that the options are compatible with each other and with the names.

    Raises:
        UsageError: they are not.
    """
    if options.device not in DEVICES:
        raise UsageError(f"unknown device `{options.device}`", hints=[f"give one of {', '.join(DEVICES)}"])
    if options.suite not in receipts.SUITES:
        raise UsageError(f"unknown suite `{options.suite}`", hints=[f"give one of {', '.join(receipts.SUITES)}"])
    if options.jobs < 1:
        raise UsageError(f"`jobs` is {options.jobs}, and one environment at least is validated at once")
    if options.no_lock and options.python is None:
        raise UsageError(
            "`--no-lock` is for an environment that kgen did not make",
            hints=["kgen validate --no-lock --python PATH BACKEND"],
        )
    if options.python is not None and len(names) != 1:
        raise UsageError(
            "`--python` needs the one environment that it is compared with",
            hints=["kgen validate --python PATH ENV", "kgen validate --no-lock --python PATH BACKEND"],
        )


def _target(
    name: str,
    locked: Lockfile | None,
    backends: tuple[str, ...],
    *,
    kind: str,
    asked: str,
    machine: Host,
    wanted: bool = True,
) -> ValidationTarget:
    """The target on the requested device, or the one that `auto` selects; skipped if this call leaves it out."""
    note = skip = None
    device = asked
    accelerated, gpus = kind != CPU.kind, machine.of(kind).gpus
    if asked == "auto":
        device = "gpu" if accelerated and gpus else "cpu"
        note = _NO_GPU if device == "cpu" and accelerated else None
        skip = None if wanted else f"{_NO_GPU}; name it to train on the CPU"
    elif asked == "gpu" and not accelerated:
        skip = "it is for the CPU"
    elif asked == "gpu" and not gpus:
        skip = _NO_GPU
    return ValidationTarget(name=name, locked=locked, backends=backends, device=device, kind=kind, note=note, skip=skip)


def _locks(names: Sequence[str], root: Path, machine: Host, form: Format | None) -> list[Lockfile]:
    """The locks of these environments, or of all, for this machine's platform."""
    if names:
        chosen = {(one.name, of.name): (one, of) for one, of in _named(names, root, form)}
        return [
            interface.read(of, lockfiles.lock_of(one, of, machine.platform), machine.platform)
            for one, of in chosen.values()
        ]
    here = machine.platform or ""
    found = [
        lock
        for one, of in _every(root, form)
        if (path := lockfiles.lock_path(one, of, here)) is not None
        for lock in interface.read_every(of, path)
        if lock.platform == here
    ]
    if not found:
        which = "lock" if form is None else f"{form.name} lock"
        raise OtherPlatformError(
            f"there is no {which} for {machine.platform or 'this machine'} in {root / project.LOCKS}",
            hints=[LOCK],
            unlocked=Unlocked(None, machine.platform, None if form is None else form.name),
        )
    return sorted(found, key=lambda one: one.environment)


def _named(names: Sequence[str], root: Path, form: Format | None) -> list[tuple[LockedEnvironment, Format]]:
    found = [choose(root, name, form) for name in names]
    return [(one.environment, one.form) for one in found]


def _every(root: Path, form: Format | None) -> list[tuple[LockedEnvironment, Format]]:
    """Every environment in every form that it is locked in, or in the given form."""
    return [
        (one, of)
        for of in ((form,) if form is not None else formats.known())
        for one in lockfiles.environments(root)
        if lockfiles.lock_path(one, of) is not None
    ]


# -- doing it ----------------------------------------------------------------------------------------------------------


def validate(
    root: Path,
    matrix: CompatibilityMatrix,
    machine: Host,
    chosen: Sequence[ValidationTarget],
    options: ValidateOptions = AS_USUAL,
    *,
    progress: Callable[[ValidationTarget, str], None] | None = None,
    notify: Callable[[str], None] = ignore,
) -> ValidateResult:
    """Train on each target, one after the other or several at once, and write the receipts.

    A validation contains the errors of its target; the other targets are validated all the same.

    Args:
        root: the project's folder.
        matrix: the facts.
        machine: what this machine has.
        chosen: the targets.
        options: how to validate them.
        progress: called with each stage of each target, possibly from another thread, and finally with the outcome.
        notify: called with each remark about the environments that a person should read.
    """
    found = [Validation(target=target) for target in chosen]
    run = _Run(root, matrix, machine, options, notify)
    reports = [ignore if progress is None else _reporter(progress, target) for target in chosen]
    if options.jobs == 1:
        for validation, report in zip(found, reports, strict=True):
            _validate(validation, run, report, ANY)
        return ValidateResult(tuple(found))
    seats = {kind: Seats(every) for kind in {one.kind for one in chosen} if (every := seats_of(kind, matrix, machine))}

    def work(validation: Validation, report: Reporter) -> None:
        target = validation.target
        shared = seats.get(target.kind) if target.device != CPU.kind and target.skip is None else None
        with contextlib.nullcontext(ANY) if shared is None else shared.taken(over=run.cancel.is_set) as seat:
            _validate(validation, run, report, seat)

    calls = (functools.partial(work, *one) for one in zip(found, reports, strict=True))
    at_once(options.jobs, calls, run.cancel)
    return ValidateResult(tuple(found))


@dataclass(slots=True)
class _Run:
    """What all validations of a run share.

    Attributes:
        root: the project's folder.
        matrix: the facts.
        machine: what this machine has.
        options: how to validate.
        notify: called with remarks.
        cancel: set to end all of them.
        writing: the lock under which validations install environments and write receipts, one at a time.
    """

    root: Path
    matrix: CompatibilityMatrix
    machine: Host
    options: ValidateOptions
    notify: Callable[[str], None]
    cancel: threading.Event = field(default_factory=threading.Event)
    writing: threading.Lock = field(default_factory=threading.Lock)


def seats_of(kind: str, matrix: CompatibilityMatrix, machine: Host) -> tuple[Seat, ...]:
    """The devices of a kind, by the variables that its accelerator declares; none if it declares none."""
    names = matrix.accelerators[kind].hiding if kind in matrix.accelerators else ()
    if not names:
        return ()
    of, variables = accelerators.kind(kind), host.variables()
    server = surroundings.server_of(of, variables)
    served = server is not None and server.runs is not False
    refusing = {one.selector for one in of.conditions() if one.refuses(served=served)}
    return seats(names, variables, machine.of(kind).gpus, refusing, of.driver_help.names_begin)


def _reporter(progress: Callable[[ValidationTarget, str], None], target: ValidationTarget) -> Reporter:
    return lambda stage: progress(target, stage)


def _require_place(name: str, locks: Path) -> None:
    """Check that a receipt can be written beside the locks, before anything runs for it.

    Raises:
        FileError: it cannot.
    """
    refused = files.refusal(locks) if files.is_folder(locks) else None
    if refused is not None:
        raise files.unwritable(
            locks,
            refused,
            what=f"cannot be written, and the receipt of {name} is to be there",
            hints=[f"kgen validate {name} --receipts DIR   # a folder that can be written"],
        )


def _validate(validation: Validation, run: _Run, report: Reporter, seat: Seat) -> None:
    """Train on one target, which has this device to itself."""
    matrix, options, target = run.matrix, run.options, validation.target
    locked = target.locked
    if target.skip is not None:
        validation.verdicts = {backend: skipped(target.skip) for backend in target.backends}
        report(target.skip)
        return
    try:
        if locked is not None and options.below is None:
            _require_place(target.name, locked.path.parents[1])
        for backend in target.backends:
            row = matrix.backends[backend]
            variables = row.environment
            selecting: tuple[str, ...] = ()
            if target.device != CPU.kind and target.kind in matrix.accelerators:
                selecting = matrix.accelerators[target.kind].hiding
                variables = {**matrix.accelerators[target.kind].environment, **variables}
            if options.python is not None:
                interpreter = _foreign(Path(options.python), variables)
            else:
                assert locked is not None  # noqa: S101 - `no_lock` needs `python`
                validation.installed = False
                with run.writing:
                    interpreter = installed(run.root, locked, variables, options.envs, report=report, notify=run.notify)
                validation.installed = True
            subject = Subject(
                name=target.name,
                backend=row.selected,
                step=row.step,
                module=matrix.generations[row.generation].module,
                device=target.device,
                interpreter=interpreter.path,
                variables={**interpreter.variables, **seat.variables},
                timeout=options.timeout,
                way=interpreter.entry,
                accelerator=_called(matrix, target, row.framework),
                hiding=tuple(dict.fromkeys(name for kind in matrix.accelerators.values() for name in kind.hiding)),
                listed="installed" if locked is None else locked.form.listed,
                suite=options.suite,
                selecting=selecting,
            )
            verdict = judge(subject, observe(subject, report, run.cancel), {} if locked is None else locked.versions)
            if verdict.outcome is Outcome.FAILED:
                verdict = _with_owners(verdict, interpreter.path, locked)
            validation.verdicts[backend] = verdict
            report(verdict.outcome.value)
        if locked is not None:
            data = receipts.compose(
                locked,
                _device(validation, run.machine, seat.place or 0),
                validation.verdicts,
                today=dt.datetime.now(dt.timezone.utc).date(),
                suite=options.suite,
            )
            if options.below is not None:
                # the project may be read-only here, and validations of others write elsewhere
                with run.writing:
                    validation.receipt = receipts.write_below(options.below, locked, data)
            else:
                exclusive = storage.exclusive(
                    locked.path.parent.parent, wait=lambda: report("waiting for another kgen")
                )
                with run.writing, exclusive:
                    validation.receipt = receipts.write(locked, data)
            validation.receipt_kept = validation.receipt is None
    except KgenError as error:
        validation.error = error
        report("failed")


def installed(
    root: Path,
    locked: Lockfile,
    variables: Mapping[str, str],
    envs: str | None,
    *,
    report: Reporter,
    notify: Callable[[str], None],
) -> EnteredInterpreter:
    """The interpreter of a lock's environment, which is installed first if it is not on disk.

    Raises:
        KgenError: it could not be installed.
    """
    source = sync.find(root, locked.environment, envs)
    sync.sweep(source)
    synced = sync.sync(
        source,
        progress=lambda _name: contextlib.nullcontext(report),
        waiting=lambda: report(f"waiting for another `kgen sync` of {source.name}"),
    )
    for note in synced.notes:
        notify(note)
    if source.form.scripts is None:
        return EnteredInterpreter(source.python, variables)
    # scripts that packages put into `activate.d` run, as they do for a user who trains; variables that select another
    # backend of a joint environment than its first come after them
    chosen = [f"{name}={value}" for name, value in sorted(variables.items())]
    entering, inside = sync.way_in(source)
    return EnteredInterpreter(source.python, inside, (*entering, "/usr/bin/env", *chosen))


def _foreign(path: Path, variables: Mapping[str, str]) -> EnteredInterpreter:
    """The interpreter of an environment that kgen did not make, with the variables that its caller has set."""
    interpreter = path / "bin" / "python" if files.is_folder(path) else path
    if not files.exists(interpreter):
        raise UsageError(f"`--python`: there is no interpreter {interpreter}", hints=[f"ls {files.typed(path)}"])
    missing = {name: value for name, value in variables.items() if host.variable(name) is None}
    # Not resolved: Python recognises a virtual environment by the path of its interpreter.
    return EnteredInterpreter(interpreter.absolute(), missing)


def _with_owners(verdict: Verdict, interpreter: Path, locked: Lockfile | None) -> Verdict:
    """A failure, with libraries that two packages own with different content as its first causes: one is broken."""
    allowed = () if locked is None else locked.allow_overlap
    sites = interpreter.parent.parent.glob("lib/python3*/site-packages")
    shared = [one for site in sites for one in owners.shared(site, allowed)]
    if not shared:
        return verdict
    first = shared[0]
    more = f", as is the case of {len(shared) - 1} more" if len(shared) > 1 else ""
    shown = Path(first.path).name if ".so" in first.path else first.path
    cause = f"{shown} is of {' and '.join(first.owners)}, and one of them is broken{more}"
    hint = "uninstall these packages, and install the one that is locked"
    diagnosis = verdict.diagnosis
    return dataclasses.replace(
        verdict, diagnosis=diagnosis._replace(causes=(cause, *diagnosis.causes), hints=(hint, *diagnosis.hints))
    )


def _called(matrix: CompatibilityMatrix, target: ValidationTarget, framework: str) -> str | None:
    """A framework's name for the accelerator that a target computes on; None on the CPU, or if unknown."""
    kind = matrix.accelerators.get(target.kind)
    return None if target.device == CPU.kind or kind is None else kind.devices.get(framework)


def _device(validation: Validation, machine: Host, place: int) -> dict[str, str | None]:
    """The device in a receipt's terms; the driver adds what the framework did not report.

    Args:
        validation: the validation.
        machine: what this machine has.
        place: the index of the device among those of its kind.
    """
    if validation.target.device == "cpu":
        return {"kind": "cpu", "name": None, "capability": None, "driver": None}
    reported: Mapping[str, Any] = next((v.result["device"] for v in validation.verdicts.values() if v.result), {})
    here = machine.of(validation.target.kind)
    gpu = here.gpus[min(place, len(here.gpus) - 1)] if here.gpus else None
    return {
        "kind": "gpu",
        "accelerator": validation.target.kind,
        "name": reported.get("name") or (gpu.name if gpu else None),
        "capability": reported.get("capability") or (gpu.architecture if gpu else None),
        "driver": None if here.driver is None else str(here.driver),
    }


# -- what is proven ----------------------------------------------------------------------------------------------------


def proven(root: Path, names: Sequence[str] = (), *, form: Format | None = None) -> ProvenEnvironments:
    """The receipts of environments, and the environments that have none.

    Args:
        root: the project's folder.
        names: environments; none for all that are locked.
        form: the only form of locks to consider; None for all of them.

    Raises:
        UsageError: there is no such environment.
    """
    named = _named(names, root, form) or _every(root, form)
    wanted = {f"{one.name}{of.suffix}": one for one, of in named}
    ordered = tuple(sorted(wanted))
    folders = dict.fromkeys(wanted[name].folder for name in ordered)
    every = [(receipt.environment, receipt) for one in folders for receipt in receipts.find(one)]
    return ProvenEnvironments(ordered, tuple((name, receipt) for name, receipt in every if name in wanted))
