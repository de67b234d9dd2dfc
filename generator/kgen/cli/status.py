"""`kgen status`: what is locked, on disk, proven, out of date."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 2,
    "purpose": "show which environments are locked, on disk, proven and out of date",
    "example": "kgen status",
}

from pathlib import Path

from kgen.actions.status import EnvironmentStatus, status
from kgen.cli import console
from kgen.cli.options import Json
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.project import find_root


def run(*, json: Json = False) -> ExitStatus:
    """Print how each environment stands."""
    found = status(find_root(Path.cwd()), origin.current())
    if json:
        console.data({"environments": [one._asdict() for one in found]})
    else:
        console.result(console.table(("environment", "platforms", "lock", "on disk", "proven"), list(map(_row, found))))
        if any(one.lock != "in order" for one in found):
            console.hints(["kgen check"])
    return ExitStatus.DONE


def _row(one: EnvironmentStatus) -> tuple[str, ...]:
    proven = ", ".join(f"{device}: {verdict}" for device, verdict in one.proven.items())
    return one.environment, ", ".join(one.platforms) or "-", one.lock, one.on_disk or "-", proven or "-"
