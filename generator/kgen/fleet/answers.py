"""What came back from a node, and what it is worth.

Only a receipt of this lock, of this kind of node and of now counts. kgen reports what is wrong with a receipt; the file
stays where it came back.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kgen import files
from kgen.errors import KgenError
from kgen.fleet.shape import Answer, Job, Returned, Slot, State
from kgen.model.accelerator import CPU
from kgen.model.grammar import printable
from kgen.validation import receipts

ANSWER, RECEIPTS, NODE = "answer.json", "receipts", "node"
"""What a job leaves in its folder: what `kgen validate --json` says, its receipts, and where it runs."""

_SHOWN = 300
_PASSED = "passed"


class Span(NamedTuple):
    """The days within which a receipt can have been made.

    Attributes:
        first: the day on which it was asked for.
        last: today.
    """

    first: dt.date
    last: dt.date


def judge(returned: Returned, job: Job, span: Span) -> Answer:
    """What became of a slot, by what came back.

    Args:
        returned: what came back.
        job: what was asked for.
        span: when it was asked for.
    """
    slot, node = returned.slot, returned.node
    answer = Answer(slot, State.LOST, returned.reason, node=node, attempts=returned.attempts)
    found = [] if returned.folder is None else receipts_in(returned.folder)
    faults = []
    for path in found:
        try:
            data = receipts.load(path, "")
        except KgenError as error:
            faults.append(error.message)
            continue
        fault = receipt_fault(data, job, span)
        if fault is None:
            return of_receipt(slot, path, data)._replace(node=node, attempts=returned.attempts)
        faults.append(f"{path}: {fault}")
    if faults:
        return answer._replace(reason="; ".join(faults))
    said = None if returned.folder is None else _said(returned.folder / ANSWER, job.environment)
    if said is not None:
        return answer._replace(state=said[0], reason=said[1])
    if node is None:
        return answer._replace(state=State.NOT_SCHEDULED, reason=returned.reason or "it never began")
    return answer._replace(reason=returned.reason or "it ended without a receipt")


def of_receipt(slot: Slot, path: Path, data: Mapping[str, Any]) -> Answer:
    """What a receipt says about a slot."""
    device = data["device"]
    causes = [f"{step['backend']} {step['fault']}" for step in data["steps"] if step.get("fault")]
    notes = () if data["installed"]["as_locked"] else ("what is installed is not what is locked",)
    return Answer(
        slot,
        State.PASSED if data["verdict"] == _PASSED else State.FAILED,
        ", ".join(printable(cause) for cause in causes),
        receipt=path,
        device=device["name"] or device["kind"],
        driver=device["driver"],
        date=data["date"],
        notes=notes,
    )


def receipt_fault(data: Mapping[str, Any], job: Job, span: Span | None = None) -> str | None:
    """Why a receipt is none of a job's lock on its kind of node; None if it is.

    Args:
        data: the receipt.
        job: what was asked for.
        span: when it must have been made; None for whenever.
    """
    lock = job.lock
    if data["environment"] != job.environment or data["platform"] != lock.platform:
        return f"it is a receipt of {data['environment']} on {data['platform']}"
    if data["lock"].get("content") != lock.content:
        return f"it is a receipt of another lock than {lock.path}; is the project there up to date?"
    if span is not None:
        day = dt.date.fromisoformat(data["date"])
        if not span.first - receipts.SKEW <= day <= span.last + receipts.SKEW:
            return f"it is dated {day}, and today is {span.last}; is the clock of the node right?"
    return _device_fault(data["device"], job)


def _device_fault(device: Mapping[str, Any], job: Job) -> str | None:
    pool, target = job.pool, job.pool.target
    if not job.accelerated:
        return None if device["kind"] == CPU.kind else "it was trained on a GPU, and the CPU was asked for"
    if device["kind"] == CPU.kind:
        return f"it was trained on the CPU, and {pool.name} has GPUs"
    kind = device.get("accelerator")
    if kind is not None and kind != target.accelerator.kind:
        return f"it was trained on {kind}, and {pool.name} is described as {target.accelerator.kind}"
    if target.gpu and device["capability"] is not None and device["capability"] not in target.gpu:
        described = ", ".join(target.gpu)
        return f"it was trained on a GPU of {device['capability']}, and {pool.name} is described as {described}"
    return None


def receipts_in(folder: Path) -> list[Path]:
    """The receipts of a job."""
    return sorted((folder / RECEIPTS).glob("*/*.json"))


def is_answered(folder: Path) -> bool:
    """Whether a job has said something that it will not say again otherwise."""
    return bool(receipts_in(folder)) or _answer(folder / ANSWER) is not None


def _answer(path: Path) -> Mapping[str, Any] | None:
    try:
        data: Any = json.loads(files.read(path))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("environments"), list) else None


def _said(path: Path, environment: str) -> tuple[State, str] | None:
    """What kgen has printed where it left no receipt: that it skipped, or that something kept it from training."""
    data = _answer(path)
    rows = [] if data is None else [one for one in data["environments"] if isinstance(one, dict)]
    for row in rows:
        if row.get("environment") != environment:
            continue
        error = row.get("error")
        if isinstance(error, dict):
            return State.FAILED, _shown(error.get("message"))
        steps = [step for step in row.get("steps") or () if isinstance(step, dict)]
        if steps and all(step.get("verdict") == State.SKIPPED.value for step in steps):
            return State.SKIPPED, _shown(steps[0].get("message"))
    return None


def _shown(value: object) -> str:
    text = " ".join(str(value or "").split())
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
