"""`kgen check`: is what is there what it should be? No network."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 3,
    "purpose": "verify locks against the matrix and the settings, or environments on disk against their locks",
    "example": "kgen check --installed",
}

from pathlib import Path
from typing import Annotated

from kgen import project
from kgen.actions.check import check
from kgen.cli import console
from kgen.cli.options import PLACE, Environments, Envs, Json, option
from kgen.errors import ExitStatus
from kgen.matrix import origin


def run(
    environments: Environments = None,
    *,
    installed: Annotated[
        bool, option("--installed", text="compare every file on disk with the lock", panel=PLACE)
    ] = False,
    conda_lock: Annotated[
        bool, option("--conda-lock", text="have conda-lock judge its locks too, where it is installed", panel=PLACE)
    ] = False,
    envs: Envs = None,
    json: Json = False,
) -> ExitStatus:
    """Look at the locks, or at what is installed from them."""
    root = project.find_root(Path.cwd())
    if installed:
        from kgen.cli import check_installed as on_disk  # noqa: PLC0415 - locks alone take a fraction of its imports

        return on_disk.run(root, environments or (), envs, json=json)
    result = check(root, origin.current(), environments or (), judges=conda_lock)
    if json:
        console.data({"findings": [finding._asdict() for finding in result.findings]})
    else:
        for finding in result.findings:
            console.result(f"{finding.kind}: {finding.environment}: {finding.path} {finding.what}")
        console.hints(finding.fix for finding in result.findings if finding.fix is not None)
        names = ", ".join(result.faulty or result.environments)
        state = "out of order" if result.faulty else "in order"
        console.say(f"{chr(10) if result.findings else ''}{names}: {state}")
    return ExitStatus.CHECK_FAILED if result.faulty else ExitStatus.DONE
