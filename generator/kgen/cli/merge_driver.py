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

from kgen import files, gittool
from kgen.cli import console
from kgen.cli.options import argument
from kgen.errors import ExitStatus, KgenError
from kgen.formats import interface
from kgen.model import format as formats

_FILES = "What git gives"


def run(
    base: Annotated[str, argument("BASE", "the file that both sides come from (%O)", panel=_FILES)],
    ours: Annotated[str, argument("OURS", "the file of our side, which gets the result (%A)", panel=_FILES)],
    theirs: Annotated[str, argument("THEIRS", "the file of their side (%B)", panel=_FILES)],
    path: Annotated[str, argument("PATH", "where the lock is in the project (%P)", panel=_FILES)],
) -> ExitStatus:
    """Merge into the file of our side; anything but 0 tells git that it is in conflict."""
    mine, other, name = Path(ours), Path(theirs), Path(path)
    try:
        merged = _merger(name).merged(files.read(mine), files.read(other), name)
    except (KgenError, ValueError, OSError) as error:
        gittool.mark_conflict(Path.cwd(), mine, Path(base), other)
        reason = error.message if isinstance(error, KgenError) else str(error)
        console.say(f"{name}: not merged: {reason}")
        console.say("hint: merge the settings, then `kgen lock --merge`")
        return ExitStatus.CHECK_FAILED
    mine.write_text(merged, encoding="utf-8")
    console.say(f"{name}: solved again, keeping what both sides share")
    return ExitStatus.DONE


def _merger(name: Path) -> interface.Merger:
    """What merges the locks that a file is of, or is made beside.

    Raises:
        ValueError: nothing does.
    """
    found = interface.merger(formats.made_by(name.name) or formats.default())
    if found is None:
        raise ValueError("kgen does not merge locks of this form")
    return found
