"""Turns the report of a run of the step into a verdict. Decides from data only; starts and reads nothing."""

from __future__ import annotations

import enum
import math
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kgen.validation import parts, pins, receipts, reference
from kgen.validation.diagnosis import NOTHING, Diagnosis, diagnose, folded, out_of_memory
from kgen.validation.observation import Observation, Subject
from kgen.validation.parts import Part
from kgen.validation.pins import Difference, Mismatch
from kgen.validation.reference import TOLERANCES, Distance


class Outcome(enum.Enum):
    """The three verdicts."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Fault(enum.Enum):
    """The ways in which an environment fails."""

    INSTALL = "will not install"
    IMPORT = "will not import"
    BACKEND = "selects another backend"
    NO_DEVICE = "imports without the device"
    FAILS = "compiles and fails"
    MEMORY = "runs out of memory"
    NOT_COMPILED = "is not compiled"
    ELSEWHERE = "runs on another device"
    LIBRARIES = "loads other libraries"
    NUMBERS = "runs with wrong numbers"
    NOT_FINITE = "runs into NaN or infinity"
    PART = "fails in a part of the full suite"


_DRIVERS = frozenset({"cuda", "nvidia-ml"})
"""Libraries that come with the driver, never from an environment."""

_STAGES = {
    "start": Fault.IMPORT,
    "import": Fault.IMPORT,
    "device": Fault.NO_DEVICE,
    "build": Fault.FAILS,
    "uncompiled": Fault.FAILS,
    "compile": Fault.FAILS,
    "steps": Fault.FAILS,
    "proof": Fault.FAILS,
    "libraries": Fault.FAILS,
    "end": Fault.FAILS,
}
"""What it means to fail in a stage of the step."""

_LEFT = {parts.CONTRACT: "not in its contract", parts.ABSENT: "not here"}
"""Parts that were not run, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on one backend of one environment on one device.

    Attributes:
        outcome: passed, failed or skipped.
        fault: how it failed; None if it did not.
        message: the result in a sentence; for a skip, the reason.
        whole: the framework's errors in full. They may contain paths, and are left out of receipts.
        diagnosis: why it failed, if it did.
        result: the step's own result; empty if it gave none.
        distance: the largest distance from the reference; None if there was nothing to compare.
        differences: pins of the lock that the environment does not have.
        mismatches: loaded libraries whose versions differ from their packages'.
        parts: the verdict on each part of the full suite.
        seconds: the duration of the whole step.
    """

    outcome: Outcome
    fault: Fault | None = None
    message: str
    whole: tuple[str, ...] = ()
    diagnosis: Diagnosis = NOTHING
    result: Mapping[str, Any]
    distance: Distance | None = None
    differences: tuple[Difference, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    parts: tuple[Part, ...] = ()
    seconds: float = 0.0


def skipped(reason: str) -> Verdict:
    """The verdict if nothing was run."""
    return Verdict(outcome=Outcome.SKIPPED, message=reason, result={})


def judge(subject: Subject, observation: Observation, locked: Mapping[str, str]) -> Verdict:
    """The verdict on a run.

    Args:
        subject: what was run.
        observation: what it reported.
        locked: normalised name -> version in the lock, by the names of its form; empty without a lock.
    """
    result = observation.last("result")
    reported = observation.last("installed")
    # two forms may use one name for different packages: names of the lock's own form take precedence
    lists = {name: rows for name, rows in reported.items() if isinstance(rows, Mapping)}
    own = lists.pop(subject.listed, {})
    installed = {name: version for rows in (*lists.values(), own) for name, version in rows.items()}
    loaded = result.get("libraries") or observation.last("libraries").get("libraries", ())
    wrong = pins.mismatches(loaded, installed, locked)
    trained = [one for one in (result, result.get("uncompiled")) if one]
    distance = max(map(reference.distance, trained), key=_width, default=None)
    found = parts.judged(result)
    failure = observation.last("failed")
    if result:
        fault, message = _of_result(subject, result, wrong, distance)
        if fault is None and subject.suite == receipts.FULL:
            fault, message, failure = _of_parts(found, message)
    else:
        fault, message = _of_failure(subject, observation)
    diagnosis = NOTHING
    if fault is not None:
        diagnosis = diagnose(
            fault.value,
            environment=subject.name,
            output=observation.output,
            failure=failure,
            watched=observation.last("started").get("watched", {}),
            missing=observation.last("libraries").get("missing", ()),
            installed=installed,
            synced=bool(locked),
            status=observation.status,
            foreign=any(row["where"] != "environment" and row["name"] not in _DRIVERS for row in loaded),
        )
        causes = tuple(_mismatch_text(one) for one in wrong if one.judged)
        diagnosis = diagnosis._replace(causes=(*causes, *diagnosis.causes))
    return Verdict(
        outcome=Outcome.PASSED if fault is None else Outcome.FAILED,
        fault=fault,
        message=message,
        whole=tuple(f"{one['type']}: {one['message']}" for one in failure.get("errors", ())),
        diagnosis=diagnosis,
        result=result,
        distance=distance,
        differences=pins.differences(locked, installed) if installed else (),
        mismatches=wrong,
        parts=found,
        seconds=observation.seconds,
    )


def _of_failure(subject: Subject, observation: Observation) -> tuple[Fault, str]:
    """The meaning of a missing result."""
    failed = observation.last("failed")
    stage = failed.get("stage") or observation.stage or "start"
    fault = Fault.BACKEND if failed.get("kind") == "wrong-backend" else _STAGES.get(stage, Fault.PART)
    if observation.status is None:
        return fault, f"did not end within {subject.timeout:g} s; it was in the stage `{stage}`"
    if not failed:
        return fault, f"ended by {_end(observation.status)} in the stage `{stage}`"
    if fault is Fault.BACKEND:
        facts = failed["facts"]
        set_to = facts.get("variable")
        by = f"KERAS_BACKEND is `{set_to}`" if set_to is not None else "KERAS_BACKEND is not set"
        return fault, f"Keras runs on `{facts['found']}`, and this environment is for `{facts['wanted']}`; {by}"
    errors = failed.get("errors") or [{"type": "Error", "message": ""}]
    # The innermost error is what a person looks for; the outermost may be Keras's wrapper around it.
    first = errors[0]
    text = folded(first["message"])
    if fault in {Fault.FAILS, Fault.PART} and out_of_memory(failed):
        fault = Fault.MEMORY
    said = f"{first['type']}: {text}" if text else first["type"]
    return fault, said if failed.get("kind") is None else text or first["type"]


def _end(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _of_result(
    subject: Subject, result: Mapping[str, Any], wrong: tuple[Mismatch, ...], distance: Distance | None
) -> tuple[Fault | None, str]:
    """The meaning of a result: where it ran, if it was compiled, what was loaded, and the numbers, in this order."""
    elsewhere = _elsewhere(subject, result)
    if elsewhere is not None:
        return Fault.ELSEWHERE, elsewhere
    proof = result["proof"]
    training = result["contract"] == "training"
    if training and not proof["convolutions"]:
        instead = "; ".join(str(proof[key]) for key in ("instead", "because") if key in proof)
        return Fault.NOT_COMPILED, "no convolution in what was compiled" + (f": {instead}" if instead else "")
    if any(one.judged for one in wrong):
        return Fault.LIBRARIES, _mismatch_text(next(one for one in wrong if one.judged))
    if distance is None or not distance.within(TOLERANCES[subject.device]):
        return _of_numbers(distance, result)
    if not training:
        return None, f"forward pass only: Keras cannot train on {subject.backend}"
    verb = "run" if proof.get("engine") else "compiled"
    both = "; the same uncompiled" if "uncompiled" in result and not proof.get("engine") else ""
    return None, f"{proof['convolutions']} convolutions {verb} by {proof['compiler']}{both}"


def _of_numbers(distance: Distance | None, result: Mapping[str, Any]) -> tuple[Fault, str]:
    """The meaning of numbers that are too far from the reference."""
    endless = next(filter(None, map(_not_finite, (result, result.get("uncompiled") or {}))), None)
    if endless is not None:
        return Fault.NOT_FINITE, endless
    return Fault.NUMBERS, _distance_text(distance, result)


def _of_parts(found: tuple[Part, ...], message: str) -> tuple[Fault | None, str, Mapping[str, Any]]:
    """The meaning of the full suite's parts, if the network trained as it should; and the first error of a part."""
    failed = [one for one in found if one.outcome == parts.FAILED]
    failure = next((one.failure for one in failed if one.failure), {})
    if failed:
        fault = Fault.MEMORY if failure and out_of_memory(failure) else Fault.PART
        return fault, "; ".join(f"{one.name}: {one.why}" for one in failed), failure
    if not found:
        return Fault.PART, "the step reported none", failure
    counts = Counter(one.outcome for one in found)
    left = "".join(f", {counts[outcome]} {words}" for outcome, words in _LEFT.items() if counts[outcome])
    return None, f"{message}; {counts[parts.PASSED]} parts passed{left}", failure


def _elsewhere(subject: Subject, result: Mapping[str, Any]) -> str | None:
    """Where the step ran instead of the requested device; None if it ran there."""
    proof = result["proof"]
    places = result["device"]["placed"]
    kind = f"{subject.device}:"
    asked = {what: places.get(what, []) for what in ("weights", "outputs")}
    astray = sorted({place for found in asked.values() for place in found if not place.startswith(kind)})
    # XLA's program states its own target, and may return a loss in the host's memory.
    if proof.get("target") == subject.device:
        astray = [place for place in astray if place in asked["weights"]]
    if astray or not any(asked.values()) or proof.get("target", subject.device) != subject.device:
        where = ", ".join(astray) or proof.get("target") or "nowhere that was reported"
        return f"the step's arrays were on {where}, not on the {subject.device}"
    computed_on = result["device"].get("accelerator")
    if None not in (computed_on, subject.accelerator) and computed_on != subject.accelerator:
        return f"the step ran on {computed_on}, and this environment is for {subject.accelerator}"
    return None


def _width(distance: Distance) -> float:
    """The overall distance, to compare two."""
    return max(value for value in (distance.losses, distance.weights, distance.outputs) if value is not None)


def _distance_text(distance: Distance | None, result: Mapping[str, Any]) -> str:
    if distance is None:
        return "there are no numbers"
    if distance.outputs is not None:
        return f"outputs are off by {distance.outputs:.2g}"
    apart = {name: one for name, one in {"": result, " uncompiled": result.get("uncompiled")}.items() if one}
    where, run = next((name, one) for name, one in apart.items() if reference.distance(one) == distance)
    losses = ", ".join(f"{float(loss):.6g}" for loss in run.get("losses", ()))
    wanted = ", ".join(f"{loss:.6g}" for loss in reference.load()["losses"])
    return (
        f"losses are off by {distance.losses:.2g} and weights by {distance.weights:.2g}{where}: "
        f"{losses or 'none'}; the reference has {wanted}"
    )


def _not_finite(result: Mapping[str, Any]) -> str | None:
    """The place of the first number in a result that is not finite; None if all are."""
    losses = zip(result.get("losses", ()), reference.load()["losses"], strict=False)
    for step, (loss, wanted) in enumerate(losses, start=1):
        if not math.isfinite(float(loss)):
            return f"the loss of step {step} is {loss}; the reference has {wanted:.6g}"
    weights = ((f"`{name}`", values) for name, values in result.get("weights", {}).items())
    outputs = ((f"output {number}", values) for number, values in enumerate(result.get("outputs", ()), start=1))
    for what, values in (*weights, *outputs):
        wrong = next((value for value in values if not math.isfinite(float(value))), None)
        if wrong is not None:
            return f"{what} has {wrong} in it, where the reference has a number"
    return None


def _mismatch_text(one: Mismatch) -> str:
    return f"{one.title} {one.loaded} was loaded ({one.path}), and {one.package} is {one.wanted}"
