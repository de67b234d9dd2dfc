"""`kgen update`: newer versions into the locks."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 6,
    "purpose": "take the newest versions of some packages, or of all, into the locks",
    "example": "kgen update optax",
    "options_by": "lock",
}

import shlex
from pathlib import Path
from typing import Annotated

from kgen.actions import locked_requests
from kgen.actions.lock_options import LockOptions
from kgen.actions.request_flags import RequestFlags
from kgen.actions.requirement_settings import bound_of
from kgen.cli import console
from kgen.cli.lock import lock_and_tell
from kgen.cli.options import ASKED, Json, argument
from kgen.errors import ExitStatus, UsageError
from kgen.project import find_root, locate


def run(
    packages: Annotated[
        list[str] | None, argument("PKG", "the packages; without any, all of them", panel=ASKED)
    ] = None,
    *,
    json: Json = False,
) -> ExitStatus:
    """Lock again, with what the settings ask for.

    Raises:
        UsageError: there are no settings, and locks that were made by flags.
    """
    for one in packages or ():
        wish = bound_of(one)
        if wish is not None:
            raise UsageError(
                f"`{console.plain(one)}` bounds a package, and `kgen update` takes names: what bounds it stands in the"
                " settings",
                hints=[f"kgen add {shlex.quote(str(wish))}", f"kgen update {wish.name}   # the newest that is allowed"],
            )
    root = find_root(Path.cwd())
    if locate(root) is None and (asked := locked_requests.requests(root)):
        moving = ["--upgrade"] if not packages else [f"--upgrade-package {shlex.quote(one)}" for one in packages]
        raise UsageError(
            "no settings say what is to be locked: what is locked was asked for by flags",
            hints=[*locked_requests.commands(asked, *moving), "kgen init   # writes settings"],
        )
    options = LockOptions(upgrade=not packages, upgrade_packages=tuple(packages or ()))
    return lock_and_tell(RequestFlags(), options, json=json)
