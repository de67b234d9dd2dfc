"""`kgen plan`: what a move to another version of CUDA or ROCm means for this project."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 5,
    "purpose": "plan the move to another CUDA: what moves, what waits, which GPUs fall out",
    "example": "kgen plan --cuda 13",
}

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kgen.accelerators import title
from kgen.actions.move import EnvironmentMove, MovePlan, plan_move
from kgen.actions.request_flags import RequestFlags
from kgen.cli import console
from kgen.cli.options import Json
from kgen.cli.request import asking
from kgen.errors import ExitStatus
from kgen.explain.moves import driver_text, gpus_text, moves_text, row, waiting_rows
from kgen.fields import Scope
from kgen.matrix import origin


@asking(Scope.REQUEST, "plan")
def run(asked: RequestFlags, *, json: Json = False) -> ExitStatus:
    """Print what becomes of each environment; the exit status is 1 while any of them cannot move."""
    found = plan_move(asked, origin.current(), Path.cwd())
    if json:
        console.data(_data(found))
    else:
        console.result("\n".join(_text(found, console.columns())))
        for note in found.notes:
            console.say(f"note: {note}")
        console.hints(one.command for one in found.environments if one.can_move)
    return ExitStatus.DONE if found.complete else ExitStatus.CHECK_FAILED


def _text(found: MovePlan, room: int) -> Iterator[str]:
    movable = sum(one.can_move for one in found.environments)
    yield f"{title(found.old)} -> {title(found.new)}: {movable} of {len(found.environments)} environments can move"
    for one in found.environments:
        yield ""
        python = "" if one.python is None else f"Python {one.python}, "
        yield f"{one.name}: {python}{one.platform}"
        yield from (row(label, text, room) for label, text in _rows(one, title(found.new.whole)))
    if found.unaffected:
        yield ""
        yield row("same", ", ".join(found.unaffected), room)


def _rows(one: EnvironmentMove, accelerator: str) -> Iterator[tuple[str, str]]:
    if one.nothing_before:
        yield "new", f"nothing to move from: {one.nothing_before}"
    yield from waiting_rows(one.waits_for, one.waiting, accelerator)
    for position, line in enumerate(one.obstacle):
        yield "" if position else "blocked", line
    if one.moves:
        yield "moves", moves_text(one.moves)
    elif one.can_move:
        yield "moves", "nothing but the libraries of the accelerator"
    driver = driver_text(one.driver)
    if driver:
        yield "driver", driver
    if one.leaves:
        yield "loses", gpus_text(one.leaves)
    if one.gains:
        yield "gains", gpus_text(one.gains)


def _data(found: MovePlan) -> dict[str, Any]:
    return {
        "from": found.old.name,
        "to": found.new.name,
        "complete": found.complete,
        "environments": [
            {
                "environment": one.old,
                "nothing-before": one.nothing_before or None,
                "becomes": one.new,
                "platform": one.platform,
                "python": one.python,
                "moves": [move._asdict() for move in one.moves],
                "driver": {"old": one.driver[0], "new": one.driver[1]},
                "waits-for": [
                    {
                        "framework": waiting.framework,
                        "newest": waiting.newest,
                        "built-for": waiting.built_for,
                        "early": None
                        if waiting.early is None
                        else {"version": waiting.early[0], "built-for": waiting.early[1]},
                        "elsewhere": list(waiting.elsewhere),
                    }
                    for waiting in one.waits_for
                ],
                "waiting": list(one.waiting),
                "obstacle": list(one.obstacle),
                "loses": [gpu._asdict() for gpu in one.leaves],
                "gains": [gpu._asdict() for gpu in one.gains],
                "command": one.command or None,
            }
            for one in found.environments
        ],
        "unaffected": list(found.unaffected),
    }
