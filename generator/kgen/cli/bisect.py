"""`kgen bisect GOOD BAD`: which package made a lock fail, found through valid locks in between."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 5,
    "purpose": "find the package that made a lock fail",
    "example": "kgen bisect HEAD~1 locks/jax-cpu/pylock.linux-64.toml -- python train.py",
    "program": "[-- COMMAND ...]",
}

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kgen import host
from kgen.actions.bisect import Bisected, BisectOptions, bisect
from kgen.cli import console, progress
from kgen.cli.command import PROGRAM
from kgen.cli.devices import device
from kgen.cli.options import Json, argument, option, repeats, seconds
from kgen.errors import ExitStatus, UsageError
from kgen.matrix import origin
from kgen.project import find_root

_SIDES = "The two locks"
_HOW = "How each is tried"


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError("`--slower` is not a percentage", hints=["leave it out, or give one such as 20"])
    return value


def run(
    context: typer.Context,
    good: Annotated[str, argument("GOOD", "a lock that passes: its file, REVISION:FILE, or a revision", panel=_SIDES)],
    bad: Annotated[str, argument("BAD", "a lock that does not, the same", panel=_SIDES)],
    *,
    device: Annotated[str, device(_HOW)] = "auto",
    slower: Annotated[
        float | None,
        option(
            "--slower",
            metavar="X",
            text="a lock fails that takes X percent more time than GOOD",
            panel=_HOW,
            parse=_percent,
        ),
    ] = None,
    repeat: Annotated[
        int | None,
        option("--repeat", metavar="N", text="runs of each; the median time counts", panel=_HOW, parse=repeats),
    ] = None,
    timeout: Annotated[
        float,
        option("--timeout", metavar="S", text="seconds for each run; 3600 by default", panel=_HOW, parse=seconds),
    ] = 3600.0,
    again: Annotated[
        bool, option("--again", text="try everything anew, whatever a former run has found", panel=_HOW)
    ] = False,
    json: Json = False,
) -> ExitStatus:
    """Bisect, and print the packages that matter."""
    command: Sequence[str] = context.meta.get(PROGRAM, ())
    with progress.line("preparing") as report:
        found = bisect(
            find_root(Path.cwd()),
            good,
            bad,
            command,
            matrix=origin.current(),
            machine=host.inspect(),
            options=BisectOptions(device, slower, repeat or 1, timeout, again),
            progress=report,
            notify=console.say,
        )
    if json:
        console.data(_data(found))
    else:
        console.result("\n".join(_lines(found)))
    return ExitStatus.DONE


def _change(found: Bisected, name: str) -> str:
    before, after = found.before.get(name), found.after.get(name)
    if before is None or after is None:
        return f"{name} {after or before} {'added' if before is None else 'removed'}"
    return f"{name} {before} -> {after}"


def _lines(found: Bisected) -> Iterator[str]:
    yield f"{found.environment} passes before, and fails with:"
    for name in found.packages:
        yield f"  {_change(found, name)}"
    if found.trial.said:
        yield f"  {found.trial.said}"
    steps = found.culprit.first - found.culprit.last
    if steps > 1:
        yield f"{steps} steps could not be told apart: what is between them cannot be tried"
    elif len(found.packages) > 1:
        yield "these packages can only go together"
    if found.alone == "fails":
        yield "on the lock that passes, that alone makes it fail"
    elif found.alone == "passes":
        yield "on the lock that passes, that alone does no harm: it takes what went before it, too"
    elif found.alone is None:
        yield "it cannot be tried alone, as it needs what went before it"
    tried = f"tried {found.tried} locks"
    yield f"{tried}; {found.known} were known from a former run" if found.known else tried


def _data(found: Bisected) -> dict[str, Any]:
    return {
        "environment": found.environment,
        "packages": [
            {"name": name, "before": found.before.get(name), "after": found.after.get(name)} for name in found.packages
        ],
        "said": found.trial.said,
        "alone": found.alone,
        "steps": [list(move.packages) for move in found.moves],
        "passes": found.culprit.last,
        "fails": found.culprit.first,
        "tried": found.tried,
        "known": found.known,
    }
