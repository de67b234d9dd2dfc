"""`kgen validate`: train in locked environments, say how that went, leave receipts."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 1,
    "purpose": "train in an environment and write a receipt",
    "example": "kgen validate jax-cuda12 --device gpu",
}

import contextlib
import datetime as dt
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from kgen import host, lockfiles, project, storage
from kgen.actions.sync import entered, find, sweep, sync
from kgen.cli import candidates, console
from kgen.cli.formats import OnlyFormat, naming_formats
from kgen.cli.options import OUTPUT, Envs, Json, argument, one_of, option, seconds
from kgen.errors import ExitStatus, KgenError, UsageError
from kgen.formats import interface
from kgen.host import Host
from kgen.lockfiles import LockedEnvironment
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import SHARE, require_known
from kgen.model import format as formats
from kgen.model.format import Format
from kgen.model.lockfile import Lockfile
from kgen.tables import nearest
from kgen.validate import receipts, reference
from kgen.validate.judge import Fault, Outcome, Verdict, judge, skipped
from kgen.validate.running import Subject, observe

Reporter = Callable[[str], None]

_NO_GPU = "no GPU here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """An environment on disk.

    Attributes:
        interpreter: its Python.
        variables: what activation sets, but for what its scripts set.
        way: what runs its scripts and then the interpreter; nothing where it has none.
    """

    interpreter: Path
    variables: Mapping[str, str]
    way: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What one line of the table is about.

    Attributes:
        name: the environment, or the backend where there is no lock.
        locked: its lock; None with `--no-lock`.
        backends: the backends to train with, one after the other.
        device: `cpu` or `gpu`.
        note: what is to be said beside the device on every line.
        skip: why nothing is run; None if something is.
    """

    name: str
    locked: Lockfile | None
    backends: tuple[str, ...]
    device: str
    note: str | None = None
    skip: str | None = None

    @property
    def where(self) -> str:
        return self.device if self.note is None else f"{self.device} ({self.note})"


@dataclass(slots=True, kw_only=True)
class _Report:
    """What came of a target.

    Attributes:
        target: the target.
        verdicts: backend -> its verdict.
        error: why not all of it could be run.
        installs: whether the environment could be had on disk.
        receipt: where the receipt is.
        stands: whether a stronger receipt was left in place.
    """

    target: _Target
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    error: KgenError | None = None
    installs: bool = True
    receipt: Path | None = None
    stands: bool = False


class ValidateOptions(NamedTuple):
    """What is to be validated, and how.

    Attributes:
        environments: names of environments; of the backend with `no_lock`; all that are locked without any.
        device: `gpu`, `cpu` or `auto`.
        python: the interpreter of an environment that kgen did not make; None for those that it makes.
        no_lock: whether it is compared with no lock.
        timeout: seconds for each.
        list: whether nothing is run, and receipts are listed.
        form: the form of locks that alone is meant; None for all of them.
        envs: the folder of the environments; None for that of the settings.
        json: whether the result is data.
    """

    environments: tuple[str, ...] = ()
    device: str = "auto"
    python: str | None = None
    no_lock: bool = False
    timeout: float = 900.0
    list: bool = False
    form: Format | None = None
    envs: str | None = None
    json: bool = False


_TRAINING = "How it is trained"


@naming_formats
def run(
    environments: Annotated[
        list[str] | None,
        argument("ENV", "a locked environment; all without any", values=candidates.environments),
    ] = None,
    *,
    device: Annotated[
        str,
        option(
            "--device",
            metavar="{gpu,cpu,auto}",
            text="where to train; auto takes the GPU where the lock is for one and one is there",
            panel=_TRAINING,
            values=candidates.of("gpu", "cpu", "auto"),
            parse=one_of("device", "--device", "gpu", "cpu", "auto"),
        ),
    ] = "auto",
    python: Annotated[
        str | None,
        option(
            "--python", metavar="PATH", text="the interpreter of an environment that kgen did not make", panel=_TRAINING
        ),
    ] = None,
    no_lock: Annotated[
        bool,
        option(
            "--no-lock",
            text="with --python: compare with no lock and write no receipt; ENV is a backend",
            panel=_TRAINING,
        ),
    ] = False,
    timeout: Annotated[
        float,
        option("--timeout", metavar="S", text="seconds for each; 900 by default", panel=_TRAINING, parse=seconds),
    ] = 900.0,
    listed: Annotated[bool, option("--list", text="list what is proven where, and run nothing", panel=OUTPUT)] = False,
    form: OnlyFormat = None,
    envs: Envs = None,
    json: Json = False,
) -> ExitStatus:
    """Validate what was asked, one environment after the other."""
    arguments = ValidateOptions(tuple(environments or ()), device, python, no_lock, timeout, listed, form, envs, json)
    matrix = origin.current()
    root = project.find_root(Path.cwd())
    _refuse_contradictions(arguments)
    if arguments.list:
        return _list(root, arguments)
    machine = host.inspect()
    targets = _targets(arguments, matrix, root, machine)
    if machine.note is not None:
        console.say(f"note: {machine.note}")
    reports = [_Report(target=target) for target in targets]
    with _progress(targets) as told:
        for report in reports:
            _validate(report, arguments=arguments, matrix=matrix, machine=machine, told=told(report.target))
    _tell(reports, arguments, root)
    return _status(reports)


def _refuse_contradictions(arguments: ValidateOptions) -> None:
    if arguments.no_lock and arguments.python is None:
        raise UsageError(
            "`--no-lock` is for an environment that kgen did not make",
            hints=["kgen validate --no-lock --python PATH BACKEND"],
        )
    if arguments.python is not None and len(arguments.environments) != 1:
        raise UsageError(
            "`--python` needs the one environment that it is compared with",
            hints=["kgen validate --python PATH ENV", "kgen validate --no-lock --python PATH BACKEND"],
        )


# -- what to validate --------------------------------------------------------------------------------------------------


def _targets(arguments: ValidateOptions, matrix: CompatibilityMatrix, root: Path, machine: Host) -> tuple[_Target, ...]:
    if arguments.no_lock:
        name = arguments.environments[0]
        row = matrix.backend_named(name, None)
        if row is None:
            near = nearest(name, [*matrix.short_names, *matrix.backends])
            raise UsageError(
                f"unknown backend `{name}`",
                hints=[f"did you mean `{near}`?" if near else f"the backends are {', '.join(matrix.short_names)}"],
            )
        return (_aimed(name, None, (row.name,), accelerated=row.accelerated, asked=arguments.device, machine=machine),)
    every = _asked(arguments.environments, root, machine, arguments.form)
    for one in every:
        require_known(matrix, one)
    return tuple(
        _aimed(
            locked.environment,
            locked,
            locked.backends,
            accelerated=locked.accelerated,
            asked=arguments.device,
            machine=machine,
        )
        for locked in every
    )


def _aimed(
    name: str,
    locked: Lockfile | None,
    backends: tuple[str, ...],
    *,
    accelerated: bool,
    asked: str,
    machine: Host,
) -> _Target:
    """The target on the device that is asked for, or that `auto` comes to."""
    note = skip = None
    device = asked
    if asked == "auto":
        device = "gpu" if accelerated and machine.gpus else "cpu"
        note = _NO_GPU if device == "cpu" and accelerated else None
    elif asked == "gpu" and not accelerated:
        skip = "it is for the CPU"
    elif asked == "gpu" and not machine.gpus:
        skip = _NO_GPU
    return _Target(name=name, locked=locked, backends=backends, device=device, note=note, skip=skip)


def _asked(names: Sequence[str], root: Path, machine: Host, form: Format | None) -> list[Lockfile]:
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
        which, words = ("lock", "") if form is None else (f"{form.name} lock", form.words)
        raise UsageError(
            f"there is no {which} for {machine.platform or 'this machine'} in {root / project.LOCKS}",
            hints=[f"kgen lock{words}"],
        )
    return sorted(found, key=lambda one: one.environment)


def _named(names: Sequence[str], root: Path, form: Format | None) -> list[tuple[LockedEnvironment, Format]]:
    return [lockfiles.choose_on_disk(root, name, form) for name in names]


def _every(root: Path, form: Format | None) -> list[tuple[LockedEnvironment, Format]]:
    """Every environment in every form that it is locked in, or in one."""
    return [
        (one, of)
        for of in ((form,) if form is not None else formats.known())
        for one in lockfiles.environments(root)
        if lockfiles.lock_path(one, of) is not None
    ]


def realised(locked: Lockfile, variables: Mapping[str, str], arguments: ValidateOptions, told: Reporter) -> Realised:
    """The environment of a lock on disk; it is made if it is not there.

    Raises:
        KgenError: it could not be made.
    """
    source = find(project.find_root(Path.cwd()), locked.environment, arguments.envs)
    sweep(source)
    synced = sync(
        source,
        progress=lambda _name: contextlib.nullcontext(told),
        waiting=lambda: told(f"waiting for another `kgen sync` of {source.name}"),
    )
    for note in synced.notes:
        console.say(f"note: {note}")
    if source.form.scripts is None:
        return Realised(interpreter=source.python, variables=variables)
    # what packages put into `activate.d` counts, as it does for who trains in it; what selects another backend of a
    # joint environment than its first comes after that
    chosen = [f"{name}={value}" for name, value in sorted(variables.items())]
    way = ("/bin/sh", str(source.prefix / SHARE / "run.sh"), "/usr/bin/env", *chosen)
    inside = {name: value for name, value in entered(source).items() if value is not None}
    return Realised(interpreter=source.python, variables=inside, way=way)


def _foreign(path: Path, variables: Mapping[str, str]) -> Realised:
    """An environment that kgen did not make: what its caller has set stands."""
    interpreter = path / "bin" / "python" if path.is_dir() else path
    if not interpreter.exists():
        raise UsageError(f"`--python`: there is no interpreter {interpreter}", hints=[f"ls {path}"])
    missing = {name: value for name, value in variables.items() if host.variable(name) is None}
    # Not resolved: a virtual environment's interpreter is known by its own path.
    return Realised(interpreter=interpreter.absolute(), variables=missing)


# -- doing it ----------------------------------------------------------------------------------------------------------


def _validate(
    report: _Report,
    *,
    arguments: ValidateOptions,
    matrix: CompatibilityMatrix,
    machine: Host,
    told: Reporter,
) -> None:
    target = report.target
    locked = target.locked
    if target.skip is not None:
        report.verdicts = {backend: skipped(target.skip) for backend in target.backends}
        told(target.skip)
        return
    try:
        for backend in target.backends:
            variables = matrix.backends[backend].environment
            if arguments.python is not None:
                place = _foreign(Path(arguments.python), variables)
            else:
                assert locked is not None  # noqa: S101 - `--no-lock` needs `--python`
                report.installs = False
                place = realised(locked, variables, arguments, told)
                report.installs = True
            row = matrix.backends[backend]
            subject = Subject(
                name=target.name,
                backend=row.selected,
                step=row.step,
                module=matrix.generations[row.generation].module,
                device=target.device,
                interpreter=place.interpreter,
                variables=place.variables,
                timeout=arguments.timeout,
                way=place.way,
                listed="installed" if locked is None else locked.form.listed,
            )
            verdict = judge(subject, observe(subject, told), {} if locked is None else locked.versions)
            report.verdicts[backend] = verdict
            told(verdict.outcome.value)
        if locked is not None:
            data = receipts.compose(
                locked, _device(target, report, machine), report.verdicts, today=dt.datetime.now(dt.timezone.utc).date()
            )
            with storage.exclusive(locked.path.parent.parent, wait=lambda: told("waiting for another kgen")):
                report.receipt = receipts.write(locked, data)
            report.stands = report.receipt is None
    except KgenError as error:
        report.error = error
        told("failed")


def _device(target: _Target, report: _Report, machine: Host) -> dict[str, str | None]:
    """The device as a receipt names it; what the framework could not tell, the driver tells."""
    if target.device == "cpu":
        return {"kind": "cpu", "name": None, "capability": None, "driver": None}
    told: Mapping[str, Any] = next((v.result["device"] for v in report.verdicts.values() if v.result), {})
    gpu = machine.gpus[0] if machine.gpus else None
    return {
        "kind": "gpu",
        "name": told.get("name") or (gpu.name if gpu else None),
        "capability": told.get("capability") or (str(gpu.capability) if gpu else None),
        "driver": None if machine.driver is None else str(machine.driver),
    }


def _silent(_target: _Target) -> Reporter:
    return lambda _stage: None


@contextlib.contextmanager
def _progress(targets: Sequence[_Target]) -> Iterator[Callable[[_Target], Reporter]]:
    """A line for each environment with its stage, where stderr is a terminal; silence elsewhere."""
    if not host.is_terminal(sys.stderr):
        yield _silent
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[stage]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        tasks = {
            target.name: progress.add_task(f"{target.name} on {target.where}", total=None, start=False, stage="waiting")
            for target in targets
        }

        def reporter(target: _Target) -> Reporter:
            task = tasks[target.name]
            progress.start_task(task)

            def report(stage: str) -> None:
                progress.update(task, stage=stage)
                if stage in {outcome.value for outcome in Outcome}:
                    progress.stop_task(task)

            return report

        yield reporter


# -- telling -----------------------------------------------------------------------------------------------------------


def _tell(reports: Sequence[_Report], arguments: ValidateOptions, root: Path) -> None:
    if arguments.json:
        console.data({"environments": [_data(report, root) for report in reports]})
    else:
        rows = [row for report in reports for row in _rows(report)]
        headings = ("environment", "backend", "device", "verdict", "found", "off by", "first step", "step")
        console.result(console.table(headings, rows))
    for report in reports:
        _tell_one(report)
    _tell_apart(reports)


def _tell_one(report: _Report) -> None:
    """What the table has no room for."""
    name = report.target.name
    for backend, verdict in report.verdicts.items():
        if verdict.outcome is Outcome.FAILED:
            assert verdict.fault is not None  # noqa: S101 - a failure has one
            alone = {name, formats.without_suffix(name).rpartition("-")[0]}
            what = name if backend in alone else f"{name}, {backend}"
            console.say(f"\nerror: {what} {verdict.fault.value} on {report.target.where}: {verdict.message}")
            for cause in verdict.diagnosis.causes:
                console.say(f"  {cause}")
            for quote in verdict.diagnosis.quotes:
                console.say(f"  | {quote}")
            console.hints(verdict.diagnosis.hints or [_HINTS[verdict.fault].format(environment=name)])
    differences = next((v.differences for v in report.verdicts.values() if v.differences), ())
    if differences:
        console.say(f"\nnote: {name}: what is installed is not what is locked:")
    for pin in differences:
        console.say(f"  {pin.package} {pin.locked} is locked, {pin.installed or 'none'} is installed")
    for one in dict.fromkeys(m for v in report.verdicts.values() for m in v.mismatches if not m.judged):
        console.say(f"note: {name}: {one.title} {one.loaded} was loaded ({one.path}); {one.package} is {one.wanted}")
    if report.stands:
        console.say(f"note: {name}: the receipt that is there stands: it is of what is locked, and this run was not")
    if report.error is not None:
        console.say("")
        console.error(report.error)


_HINTS: Mapping[Fault, str] = {
    Fault.INSTALL: "kgen sync {environment}",
    Fault.IMPORT: "kgen sync {environment}",
    Fault.BACKEND: "unset KERAS_BACKEND",
    Fault.NO_DEVICE: "nvidia-smi",
    Fault.FAILS: "`kgen validate {environment} --json` has all that it told; `--timeout S` gives it longer",
    Fault.NOT_COMPILED: "`env` shows what is set; unset what turns compilation off",
    Fault.ELSEWHERE: "nvidia-smi",
    Fault.LIBRARIES: "unset LD_LIBRARY_PATH",
    Fault.NUMBERS: "kgen sync {environment}, and run it once more; then it is worth a report to the framework",
}
"""What to type where the diagnosis has nothing better."""


def _tell_apart(reports: Sequence[_Report]) -> None:
    """How far the backends that trained are from each other."""
    trained = [
        (f"{report.target.name}/{backend}", verdict.result["losses"])
        for report in reports
        for backend, verdict in report.verdicts.items()
        if verdict.outcome is Outcome.PASSED and verdict.result.get("losses")
    ]
    pairs = list(itertools.combinations(trained, 2))
    if pairs:
        far, one, other = max((reference.apart(a[1], b[1]), a[0], b[0]) for a, b in pairs)
        console.say(f"\n{len(trained)} trajectories agree to {far:.1e}, the two farthest apart are {one} and {other}")


def _rows(report: _Report) -> Iterator[tuple[str, ...]]:
    target = report.target
    if report.error is not None:
        found = "see below" if report.installs else Fault.INSTALL.value
        yield (target.name, "-", target.where, "failed", found, "-", "-", "-")
    for backend, verdict in report.verdicts.items():
        seconds = verdict.result.get("seconds", {})
        yield (
            target.name,
            backend,
            target.where,
            verdict.outcome.value,
            verdict.fault.value if verdict.fault is not None else verdict.message,
            _off(verdict),
            f"{seconds['compile']:.2f} s" if seconds else "-",
            f"{seconds['step'] * 1000:.1f} ms" if seconds else "-",
        )


def _off(verdict: Verdict) -> str:
    distance = verdict.distance
    values = () if distance is None else (distance.losses, distance.outputs)
    return next((f"{value:.1e}" for value in values if value is not None), "-")


def _data(report: _Report, root: Path) -> dict[str, Any]:
    target = report.target
    data: dict[str, Any] = {
        "environment": target.name,
        "device": target.device,
        "note": target.note,
        "receipt": None if report.receipt is None else report.receipt.relative_to(root).as_posix(),
        "steps": [_step_data(backend, verdict) for backend, verdict in report.verdicts.items()],
    }
    if report.error is not None:
        data["fault"] = None if report.installs else Fault.INSTALL.value
        data["error"] = {"message": report.error.message, "hints": list(report.error.hints)}
    return data


def _step_data(backend: str, verdict: Verdict) -> dict[str, Any]:
    distance = verdict.distance
    return {
        "backend": backend,
        "verdict": verdict.outcome.value,
        "fault": None if verdict.fault is None else verdict.fault.value,
        "message": verdict.message,
        "causes": list(verdict.diagnosis.causes),
        "quotes": list(verdict.diagnosis.quotes),
        "hints": list(verdict.diagnosis.hints),
        "differences": [one._asdict() for one in verdict.differences],
        "mismatches": [one._asdict() for one in verdict.mismatches],
        "distance": {
            name: value if math.isfinite(value) else str(value)
            for name in ("losses", "weights", "outputs")
            if distance is not None and (value := getattr(distance, name)) is not None
        },
        "seconds": round(verdict.seconds, 3),
        "result": {key: value for key, value in verdict.result.items() if key not in {"weights", "event"}},
    }


def _list(root: Path, arguments: ValidateOptions) -> ExitStatus:
    """What is proven where."""
    named = _named(arguments.environments, root, arguments.form) or _every(root, arguments.form)
    wanted = {f"{one.name}{of.suffix}": one for one, of in named}
    names = sorted(wanted)
    folders = dict.fromkeys(wanted[name].folder for name in names)
    every = [(receipt.environment, receipt) for one in folders for receipt in receipts.find(one)]
    found = [(name, receipt) for name, receipt in every if name in wanted]
    if arguments.json:
        console.data(
            {
                "receipts": [
                    {
                        "environment": name,
                        "path": receipt.path.relative_to(root).as_posix(),
                        "current": not receipt.stale,
                        **receipt.data,
                    }
                    for name, receipt in found
                ]
            }
        )
        return ExitStatus.DONE
    rows = [_list_row(name, receipt) for name, receipt in found]
    if rows:
        console.result(console.table(("environment", "device", "driver", "verdict", "date", "lock", "installed"), rows))
    bare = [name for name in names if name not in {row[0] for row in rows}]
    if bare:
        console.say(f"not proven anywhere: {', '.join(bare)}")
        console.hints(["kgen validate"])
    return ExitStatus.DONE


def _list_row(name: str, receipt: receipts.Receipt) -> tuple[str, ...]:
    return (
        name,
        receipt.device,
        receipt.driver or "-",
        receipt.verdict,
        receipt.date,
        "changed since" if receipt.stale else "this one",
        "as locked" if receipt.as_locked else "otherwise",
    )


def _status(reports: Sequence[_Report]) -> ExitStatus:
    """0 only if all of it passed."""
    errors = [report.error.status for report in reports if report.error is not None]
    if errors:
        return errors[0]
    passed = all(v.outcome is Outcome.PASSED for report in reports for v in report.verdicts.values())
    return ExitStatus.DONE if passed else ExitStatus.CHECK_FAILED
