"""`kgen validate`: train in locked environments, print the verdicts."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 1,
    "purpose": "train in an environment and write a receipt",
    "example": "kgen validate jax-cuda12 --device gpu",
}

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from kgen import accelerators, host, project
from kgen.actions import validate as action
from kgen.actions.fleet import FleetOptions
from kgen.actions.validate import (
    ProvenEnvironments,
    ValidateOptions,
    ValidateResult,
    Validation,
    ValidationTarget,
)
from kgen.cli import candidates, console, progress
from kgen.cli.devices import device, fleet, image
from kgen.cli.fleets import validate_fleet
from kgen.cli.formats import OnlyFormat, naming_formats
from kgen.cli.options import OUTPUT, Envs, Json, argument, jobs, one_of, option, seconds
from kgen.errors import ContradictionError, ExitStatus, UsageError
from kgen.matrix import origin
from kgen.model import format as formats
from kgen.model.driver import DriverVersion
from kgen.parsers import parse_driver
from kgen.validation import pins, receipts
from kgen.validation.judge import Fault, Outcome, Verdict
from kgen.validation.receipts import Receipt

_NAMED = 2
"""So many packages a line of `--list` names."""

_TRAINING = "How it is trained"
_FLEET = "On the nodes of a cluster"
_MOST_RETRIES = 100


def _retries(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:4]) > _MOST_RETRIES:
        raise UsageError(
            f"`--retries` is not a number from 0 to {_MOST_RETRIES}", hints=["leave it out, or give one such as 2"]
        )
    return int(text)


def _driver(text: str) -> DriverVersion:
    try:
        return parse_driver(text)
    except ValueError as error:
        raise UsageError(f"--driver: {error}", hints=["give one such as 595"]) from None


@naming_formats
def run(
    environments: Annotated[
        list[str] | None,
        argument("ENV", "a locked environment; all without any", values=candidates.environments),
    ] = None,
    *,
    device: Annotated[str, device(_TRAINING)] = "auto",
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
    suite: Annotated[
        str,
        option(
            "--suite",
            metavar=f"{{{','.join(receipts.SUITES)}}}",
            text="what is proven: full adds precision, attention, recurrence, saving, pipelines, two processes",
            panel=_TRAINING,
            values=candidates.of(*receipts.SUITES),
            parse=one_of("suite", "--suite", *receipts.SUITES),
        ),
    ] = receipts.BASIC,
    at_once: Annotated[
        int | None,
        option(
            "--jobs",
            metavar="N",
            text="so many environments at once, each on a GPU of its own; 1 by default",
            panel=_TRAINING,
            parse=jobs,
        ),
    ] = None,
    listed: Annotated[bool, option("--list", text="list what is proven where, and run nothing", panel=OUTPUT)] = False,
    below: Annotated[
        str | None,
        option("--receipts", metavar="DIR", text="write receipts below DIR, and not beside the locks", panel=OUTPUT),
    ] = None,
    site: Annotated[str | None, fleet(_FLEET)] = None,
    image: Annotated[str | None, image(_FLEET)] = None,
    each_node: Annotated[
        bool, option("--each-node", text="on every node, and not on one of each partition", panel=_FLEET)
    ] = False,
    resume: Annotated[
        bool, option("--resume", text="leave out what has a receipt of this lock from there", panel=_FLEET)
    ] = False,
    retries: Annotated[
        int | None,
        option(
            "--retries",
            metavar="N",
            text="repeat a job that brings no answer up to N times",
            panel=_FLEET,
            parse=_retries,
        ),
    ] = None,
    driver: Annotated[
        DriverVersion | None,
        option(
            "--driver",
            metavar="V",
            text="say what breaks with this driver, then try one node of each kind before the others",
            panel=_FLEET,
            parse=_driver,
        ),
    ] = None,
    form: OnlyFormat = None,
    envs: Envs = None,
    json: Json = False,
) -> ExitStatus:
    """Validate what was asked, one environment after the other."""
    matrix = origin.current()
    root = project.find_root(Path.cwd())
    names = tuple(environments or ())
    place = None if below is None else Path.cwd() / below
    options = ValidateOptions(device, python, no_lock, timeout, form, envs, place, suite, at_once or 1)
    action.refuse_contradictions(names, options)
    asked = FleetOptions(device, timeout, form, envs, each_node, resume, retries or 0, driver, suite)
    if site is not None:
        _refuse_with_fleet(
            {"--python": python, "--no-lock": no_lock, "--list": listed, "--receipts": below, "--jobs": at_once}
        )
        return validate_fleet(root, matrix, site, names, asked, image=image, json=json)
    _refuse_without_fleet(
        {"--image": image, "--each-node": each_node, "--resume": resume, "--retries": retries, "--driver": driver}
    )
    if listed:
        return _list(root, action.proven(root, names, form=form), json=json)
    machine = host.inspect()
    targets = action.targets(root, matrix, machine, names, options)
    for devices in machine.devices.values():
        if devices.note is not None:
            console.say(f"note: {devices.note}")
    with _progress(targets) as report:
        result = action.validate(root, matrix, machine, targets, options, progress=report, notify=console.say)
    _print(result, root, json=json)
    return result.status


def _refuse_with_fleet(given: Mapping[str, object]) -> None:
    for name in (name for name, value in given.items() if value):
        raise ContradictionError(f"`{name}` contradicts `--fleet`", hints=["keep one of the two"])


def _refuse_without_fleet(given: Mapping[str, object]) -> None:
    for name in (name for name, value in given.items() if value is not None and value is not False):
        raise UsageError(f"`{name}` is for `--fleet`", hints=[f"kgen validate --fleet SITE {name}"])


@contextlib.contextmanager
def _progress(targets: Sequence[ValidationTarget]) -> Iterator[Callable[[ValidationTarget, str], None]]:
    labels = {target.name: f"{target.name} on {_device(target)}" for target in targets}
    with progress.lines(labels, ends={outcome.value for outcome in Outcome}) as report:
        yield lambda target, stage: report(target.name, stage)


def _device(target: ValidationTarget) -> str:
    return target.device if target.note is None else f"{target.device} ({target.note})"


# -- printing ----------------------------------------------------------------------------------------------------------


def _print(result: ValidateResult, root: Path, *, json: bool) -> None:
    if json:
        console.data({"environments": [_data(one, root) for one in result.validations]})
    else:
        rows = [row for one in result.validations for row in _rows(one)]
        headings = ("environment", "backend", "device", "verdict", "found", "off by", "first step", "step")
        console.result(console.table(headings, rows))
    for one in result.validations:
        _print_details(one)
    agreement = result.agreement
    for one in result.validations:
        for backend, verdict in one.verdicts.items():
            _print_parts(f"{one.target.name}, {backend}", verdict)
    if agreement is not None:
        farthest = " and ".join(agreement.pair)
        console.say(
            f"\n{agreement.trajectories} trajectories agree to {agreement.distance:.1e}; {farthest} are farthest apart"
        )


def _print_details(validation: Validation) -> None:
    """What the table has no room for."""
    name = validation.target.name
    for backend, verdict in validation.verdicts.items():
        if verdict.outcome is Outcome.FAILED:
            assert verdict.fault is not None  # noqa: S101 - a failure has one
            alone = {name, accelerators.without_ending(formats.without_suffix(name))}
            what = name if backend in alone else f"{name}, {backend}"
            console.say(f"\nerror: {what} {verdict.fault.value} on {_device(validation.target)}: {verdict.message}")
            for cause in verdict.diagnosis.causes:
                console.say(f"  {cause}")
            for quote in verdict.diagnosis.quotes:
                console.say(f"  | {quote}")
            console.hints(verdict.diagnosis.hints or [_HINTS[verdict.fault].format(environment=name)])
    _print_differences(validation)
    for one in dict.fromkeys(m for v in validation.verdicts.values() for m in v.mismatches if not m.judged):
        console.say(f"note: {name}: {one.title} {one.loaded} was loaded ({one.path}); {one.package} is {one.wanted}")
    if validation.receipt_kept:
        console.say(f"note: {name}: kept the receipt that is there: it is of what is locked, and this run was not")
    if validation.error is not None:
        console.say("")
        console.error(validation.error)


def _print_parts(name: str, verdict: Verdict) -> None:
    """The parts of the full suite, each with how far its numbers are from their reference."""
    if verdict.parts:
        rows = [
            (part.name, part.outcome, f"{off:.1e}" if (off := part.distance) is not None else "-", part.remark)
            for part in verdict.parts
        ]
        console.say(f"\n{name}:")
        console.say(console.table(("part", "verdict", "off by", "remark"), rows))


def _print_differences(validation: Validation) -> None:
    """The pins that are not kept: what a proof depends on by name, the rest as a count."""
    differences = next((v.differences for v in validation.verdicts.values() if v.differences), ())
    if differences:
        console.say(f"\nnote: {validation.target.name}: what is installed is not what is locked:")
    locked = validation.target.locked
    # a conda lock does not say which of its packages were decided on; what was imported does
    imported = {package for v in validation.verdicts.values() for package in v.result.get("versions", {})}
    telling, others = pins.telling(differences, imported | set(() if locked is None else locked.packages))
    for pin in telling:
        console.say(f"  {pin.package} {pin.locked} is locked, {pin.installed or 'none'} is installed")
    if others:
        console.say(
            f"  {'and ' if telling else ''}{_packages(others, other=bool(telling))}; `--json` lists what differs"
        )


def _packages(count: int, *, other: bool) -> str:
    """`3 other packages differ`."""
    return f"{count} {'other ' if other else ''}package{'s' if count != 1 else ''} differ{'' if count != 1 else 's'}"


_HINTS: Mapping[Fault, str] = {
    Fault.INSTALL: "kgen sync {environment}",
    Fault.IMPORT: "kgen sync {environment}",
    Fault.BACKEND: "unset KERAS_BACKEND",
    Fault.NO_DEVICE: "kgen doctor {environment}   # names what hides the device",
    Fault.FAILS: "`kgen validate {environment} --json` prints all that it reported; `--timeout S` allows more time",
    Fault.MEMORY: "end what else uses the memory of the device, and run again",
    Fault.NOT_COMPILED: "`env` shows what is set; unset what turns compilation off",
    Fault.ELSEWHERE: "kgen doctor {environment}   # names what hides the device",
    Fault.LIBRARIES: "kgen doctor {environment}   # names what leads the loader there",
    Fault.PART: "`kgen validate {environment} --suite full --json` prints all that it reported",
    Fault.NUMBERS: "kgen sync {environment}   # and run it once more; then it is worth a report to the framework",
    Fault.NOT_FINITE: "kgen sync {environment}   # and run it once more; then it is worth a report to the framework",
}
"""What to type where the diagnosis has nothing better."""


def _rows(validation: Validation) -> Iterator[tuple[str, ...]]:
    target = validation.target
    if validation.error is not None:
        found = "see below" if validation.installed else Fault.INSTALL.value
        yield (target.name, "-", _device(target), "failed", found, "-", "-", "-")
    for backend, verdict in validation.verdicts.items():
        seconds = verdict.result.get("seconds", {})
        yield (
            target.name,
            backend,
            _device(target),
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


def _data(validation: Validation, root: Path) -> dict[str, Any]:
    target = validation.target
    data: dict[str, Any] = {
        "environment": target.name,
        "device": target.device,
        "note": target.note,
        "receipt": None if validation.receipt is None else _shown_path(validation.receipt, root),
        "steps": [_step_data(backend, verdict) for backend, verdict in validation.verdicts.items()],
    }
    if validation.error is not None:
        data["fault"] = None if validation.installed else Fault.INSTALL.value
        data["error"] = {"message": validation.error.message, "hints": list(validation.error.hints)}
    return data


def _shown_path(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _step_data(backend: str, verdict: Verdict) -> dict[str, Any]:
    distance = verdict.distance
    return {
        "backend": backend,
        "verdict": verdict.outcome.value,
        "fault": None if verdict.fault is None else verdict.fault.value,
        "message": verdict.message,
        "errors": list(verdict.whole),
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
        "parts": [{**one.receipt, "why": one.why} for one in verdict.parts],
        "seconds": round(verdict.seconds, 3),
        "result": {key: value for key, value in verdict.result.items() if key not in {"weights", "event", "parts"}},
    }


def _list(root: Path, found: ProvenEnvironments, *, json: bool) -> ExitStatus:
    """What is proven where."""
    if json:
        console.data(
            {
                "receipts": [
                    {
                        "environment": name,
                        "path": receipt.path.relative_to(root).as_posix(),
                        "current": not receipt.stale,
                        **receipt.data,
                    }
                    for name, receipt in found.receipts
                ]
            }
        )
        return ExitStatus.DONE
    rows = [_list_row(name, receipt) for name, receipt in found.receipts]
    if rows:
        console.result(
            console.table(("environment", "device", "driver", "suite", "verdict", "date", "lock", "installed"), rows)
        )
    if found.unproven:
        console.say(f"not proven anywhere: {', '.join(found.unproven)}")
        console.hints(["kgen validate"])
    return ExitStatus.DONE


def _list_row(name: str, receipt: Receipt) -> tuple[str, ...]:
    return (
        name,
        receipt.device,
        receipt.driver or "-",
        receipt.suite,
        receipt.verdict,
        receipt.date,
        "changed since" if receipt.stale else "this one",
        "as locked" if receipt.as_locked else _otherwise(receipt),
    )


def _otherwise(receipt: Receipt) -> str:
    """What was installed otherwise, the first of what matters by name and the rest as a count."""
    rows = receipt.data["installed"].get("differences", ())
    found = [pins.Difference(row["package"], row["locked"], row["installed"]) for row in rows]
    steps = receipt.data.get("steps", ())
    telling, others = pins.telling(found, {name for step in steps for name in step.get("versions", {})})
    named = [f"{one.package} {one.installed or 'missing'}" for one in telling[:_NAMED]]
    others += len(telling) - len(named)
    return ", ".join([*named, *([_packages(others, other=bool(named))] if others else [])]) or "otherwise"
