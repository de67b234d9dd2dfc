"""What `kgen validate --fleet` shows of a cluster: jobs as they go, a table of the answers, what to type next."""

from __future__ import annotations

import contextlib
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kgen.actions import fleet as action
from kgen.actions.fleet import FleetOptions, FleetResult
from kgen.cli import console, progress
from kgen.errors import ExitStatus
from kgen.findings import Finding
from kgen.fleet.shape import Answer, Progress, State
from kgen.matrix.compatibility import CompatibilityMatrix

_HEADINGS = ("environment", "nodes", "verdict", "device", "driver", "ran on", "what")


def validate_fleet(
    root: Path,
    matrix: CompatibilityMatrix,
    site: str,
    names: Sequence[str],
    options: FleetOptions,
    *,
    image: str | None,
    json: bool,
) -> ExitStatus:
    """Validate on a fleet, and print what came of it.

    Args:
        root: the project's folder.
        matrix: the facts.
        site: what `--fleet` says.
        names: environments; none for all.
        options: how.
        image: what `--image` says.
        json: whether to print data.
    """
    engine = action.engine_of(site, matrix, image)
    with showing() as report:
        result = action.validate(root, matrix, engine, names, options, progress=report, notify=console.say)
    if json:
        console.data(_data(result, root))
    else:
        console.result(console.table(_HEADINGS, [_row(one) for one in result.answers]))
    for pool, findings in result.findings.items():
        _print_findings(pool, findings)
    again = [*names, "--fleet", site, *(() if image is None else ("--image", image))]
    _print_summary(result, [*again, *(("--each-node",) if options.each_node else ()), "--resume"])
    return result.status


@contextlib.contextmanager
def showing() -> Iterator[Progress]:
    """One line with the newest event and counts, where stderr is a terminal; a line an event elsewhere."""
    if not progress.is_shown():
        yield lambda job, what: console.say(f"{job}: {what}")
        return
    latest: dict[str, str] = {}
    with progress.line("asking the engine") as show:

        def report(job: str, what: str) -> None:
            latest[job] = what
            counts = ", ".join(f"{count} {word}" for word, count in Counter(latest.values()).items())
            show(f"{counts} - {job}: {what}")

        yield report


def _row(one: Answer) -> tuple[str, ...]:
    slot = one.slot
    return (
        slot.environment,
        f"{slot.pool} {slot.node}".rstrip(),
        one.state.value,
        one.device or "-",
        one.driver or "-",
        f"{one.date}, before" if one.stands else one.node or "-",
        "; ".join(filter(None, (one.reason, *one.notes))) or "-",
    )


def _print_findings(pool: str, findings: Sequence[Finding]) -> None:
    for one in findings:
        console.say(f"\n{one.kind}: {pool}: {one.what}")
        console.say(f"  why:   {one.why}")
        console.say(f"  fix:   {one.fix}")


def _print_summary(result: FleetResult, again: Sequence[str]) -> None:
    """How many of what there are, and what is to be typed for the rest."""
    counts = Counter(one.state for one in result.answers)
    console.say(", ".join(f"{counts[state]} {state.value}" for state in State if counts[state]))
    if result.fault is not None:
        console.say("")
        console.error(result.fault)
    elif counts[State.LOST] or counts[State.NOT_SCHEDULED]:
        console.hints([f"kgen validate {shlex.join(again)}"])


def _data(result: FleetResult, root: Path) -> Mapping[str, Any]:
    data: dict[str, Any] = {
        "answers": [
            {
                "environment": one.slot.environment,
                "pool": one.slot.pool,
                "node": one.slot.node or one.node,
                "verdict": one.state.value,
                "reason": one.reason,
                "notes": list(one.notes),
                "receipt": None if one.receipt is None else one.receipt.relative_to(root).as_posix(),
                "device": one.device,
                "driver": one.driver,
                "date": one.date,
                "attempts": one.attempts,
                "stands": one.stands,
            }
            for one in result.answers
        ],
        "findings": {pool: [one._asdict() for one in findings] for pool, findings in result.findings.items()},
        "receipts": [path.relative_to(root).as_posix() for path in result.receipts],
    }
    if result.fault is not None:
        data["error"] = {"message": result.fault.message, "hints": list(result.fault.hints)}
    return data
