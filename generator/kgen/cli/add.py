"""`kgen add`: requirements into the settings, and into the locks."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 4,
    "purpose": "add packages to the settings, and lock",
    "example": "kgen add optax --backend jax",
}

from pathlib import Path
from typing import Annotated

from kgen import host
from kgen.actions.init import interpreter_here, write_settings
from kgen.actions.requirement_settings import Edit, Place, add
from kgen.cli import console
from kgen.cli.edit import BackendOf, EnvironmentOf, NoLock, apply
from kgen.cli.options import ASKED, argument
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.project import find_root, locate


def run(
    packages: Annotated[list[str], argument("PKG", "a requirement, such as optax>=0.2", panel=ASKED)],
    *,
    backend: BackendOf = None,
    environment: EnvironmentOf = None,
    no_lock: NoLock = False,
) -> ExitStatus:
    """Add the packages, and lock; settings that no lock follows from are put back."""
    root, matrix = find_root(Path.cwd()), origin.current()
    if locate(root) is None:
        found = host.variable("UV_FIND_LINKS") is not None
        made, _ = write_settings(root, host.inspect(), matrix, find_links=found, installed=interpreter_here)
        console.say(f"there were no settings; {made.name} has those that suit this machine")

    def said(edit: Edit) -> str:
        return f"{edit.path.name} requires {', '.join(edit.changed)}"

    return apply(add(root, matrix, packages, Place(backend, environment)), said, no_lock=no_lock)
