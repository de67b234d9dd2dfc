"""`kgen list`: what is in the locked environments."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 2,
    "purpose": "list the packages that are locked, and their versions",
    "example": "kgen list jax",
}

from pathlib import Path

from kgen.actions.status import packages
from kgen.cli import console
from kgen.cli.options import Environments, Json
from kgen.errors import ExitStatus, NotLockedError, UsageError
from kgen.model.direct import DYNAMIC, SHOWN_DYNAMIC
from kgen.project import find_root


def run(environments: Environments = None, *, json: Json = False) -> ExitStatus:
    """Print each package with its version in each environment.

    Raises:
        UsageError: there is no such environment, or it is a package.
    """
    root = find_root(Path.cwd())
    try:
        found = packages(root, environments or ())
    except NotLockedError:
        from kgen.actions.tree import needing  # noqa: PLC0415 - only a mistake pays for it

        for name in environments or ():
            if (needed_by := needing(root, name)) is not None:
                raise UsageError(
                    f"`{console.plain(name)}` is a package, and `kgen list` takes environments",
                    hints=[needed_by, "kgen list   # every package, with its version in each environment"],
                ) from None
        raise
    if json:
        console.data({"environments": found})
        return ExitStatus.DONE
    names = sorted({name for own in found.values() for name in own})
    shown = {DYNAMIC: SHOWN_DYNAMIC}
    rows = [(name, *(shown.get(one, one) for one in (own.get(name, "-") for own in found.values()))) for name in names]
    console.result(console.table(("package", *found), rows))
    return ExitStatus.DONE
