"""`kgen merge-driver`: what git calls to merge two locks, once `kgen init --git` has told it to.

Two locks of the same request are solved again, keeping what both have. Where the sides ask for different things the
settings are in question, which only a person can merge: git's own conflict markers are left then.
"""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 5,
    "purpose": "merge two locks; git calls it, after `kgen init --git`",
    "example": "git config merge.kgen.driver 'kgen merge-driver %O %A %B %P'",
}

from pathlib import Path
from typing import Annotated

from kgen.actions.merge import MergeConflict, merge
from kgen.cli import console
from kgen.cli.options import argument
from kgen.errors import ExitStatus

_FILES = "What git gives"


def run(
    base: Annotated[str, argument("BASE", "the file that both sides come from (%O)", panel=_FILES)],
    ours: Annotated[str, argument("OURS", "the file of our side, which gets the result (%A)", panel=_FILES)],
    theirs: Annotated[str, argument("THEIRS", "the file of their side (%B)", panel=_FILES)],
    path: Annotated[str, argument("PATH", "where the lock is in the project (%P)", panel=_FILES)],
) -> ExitStatus:
    """Merge into the file of our side; anything but 0 tells git that it is in conflict."""
    name = Path(path)
    try:
        merge(Path.cwd(), Path(base), Path(ours), Path(theirs), name)
    except MergeConflict as reason:
        console.say(f"{name}: not merged: {reason}")
        console.say("hint: merge the settings, then `kgen lock --merge`")
        return ExitStatus.CHECK_FAILED
    console.say(f"{name}: solved again, keeping what both sides share")
    return ExitStatus.DONE
