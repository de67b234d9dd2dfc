"""`kgen remove`: requirements out of the settings, and out of the locks."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 5,
    "purpose": "remove packages from the settings, and lock",
    "example": "kgen remove optax --backend jax",
}

from pathlib import Path
from typing import Annotated

from kgen.actions.requirement_settings import Edit, Place, remove
from kgen.cli.edit import BackendOf, EnvironmentOf, NoLock, apply
from kgen.cli.options import ASKED, Json, argument
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.project import find_root


def run(
    packages: Annotated[list[str], argument("PKG", "the name of a package", panel=ASKED)],
    *,
    backend: BackendOf = None,
    environment: EnvironmentOf = None,
    no_lock: NoLock = False,
    json: Json = False,
) -> ExitStatus:
    """Remove the packages, and lock; settings that no lock follows from are put back."""
    edit = remove(find_root(Path.cwd()), origin.current(), packages, Place(backend, environment))

    def said(edit: Edit) -> str:
        return f"{edit.path.name} no longer requires {', '.join(edit.changed)}"

    return apply(edit, said, no_lock=no_lock, json=json, let_go=edit.changed)
