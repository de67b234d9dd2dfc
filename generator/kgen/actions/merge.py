"""Merge two locks of the same request: it is solved again, keeping what both sides have.

Where the sides ask for different things the settings are in question, which only a person can merge.
"""

from __future__ import annotations

from pathlib import Path

from kgen import files, gittool
from kgen.errors import KgenError
from kgen.formats import interface
from kgen.model import format as formats


class MergeConflict(ValueError):  # noqa: N818 - what git calls it
    """Two sides that cannot be merged; the text says why."""


def merge(folder: Path, base: Path, ours: Path, theirs: Path, name: Path) -> None:
    """Merge into the file of our side; where that is impossible, git's conflict markers are put into it.

    Args:
        folder: a folder of the repository.
        base: the file that both sides come from.
        ours: the file of our side, which gets the result.
        theirs: the file of their side.
        name: where the lock is in the project.

    Raises:
        MergeConflict: the sides cannot be merged; our file has conflict markers.
    """
    try:
        text = _merger(name).merged(files.read(ours), files.read(theirs), name)
    except (KgenError, ValueError, OSError) as error:
        gittool.mark_conflict(folder, ours, base, theirs)
        raise MergeConflict(error.message if isinstance(error, KgenError) else str(error)) from error
    ours.write_text(text, encoding="utf-8")


def _merger(name: Path) -> interface.Merger:
    """What merges the locks that a file is of, or is made beside.

    Raises:
        ValueError: nothing does.
    """
    found = interface.merger(formats.made_by(name.name) or formats.default())
    if found is None:
        raise ValueError("kgen does not merge locks of this form")
    return found
