"""`kgen update`: newer versions into the locks."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 6,
    "purpose": "take the newest versions of some packages, or of all, into the locks",
    "example": "kgen update optax",
    "elsewhere": ("upgrade",),
}

from typing import Annotated

from kgen.actions.lock_options import LockOptions
from kgen.actions.plan import RequestFlags
from kgen.cli.lock import lock_and_tell
from kgen.cli.options import ASKED, Json, argument
from kgen.errors import ExitStatus


def run(
    packages: Annotated[
        list[str] | None, argument("PKG", "the packages; without any, all of them", panel=ASKED)
    ] = None,
    *,
    json: Json = False,
) -> ExitStatus:
    """Lock again, with what the settings ask for."""
    options = LockOptions(upgrade=not packages, upgrade_packages=tuple(packages or ()))
    return lock_and_tell(RequestFlags(), options, json=json)
