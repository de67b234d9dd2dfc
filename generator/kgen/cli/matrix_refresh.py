"""`kgen matrix refresh`: new releases from the index into the user's matrix, the project's, or kgen's own."""

from __future__ import annotations

__command__ = {
    "rank": 2,
    "purpose": "update the facts from the package index that uv is configured for",
    "example": "kgen matrix refresh --check",
}

from pathlib import Path
from typing import Annotated

from kgen import project
from kgen.actions.refresh import refresh
from kgen.cli import console, progress
from kgen.cli.options import OUTPUT, Json, option
from kgen.errors import ExitStatus
from kgen.refresh.run import Refreshed

_LISTED = 40
"""So many lines of a kind are printed; all of them are in --json."""


def run(
    *,
    check: Annotated[
        bool, option("--check", text="write nothing; exit status 1 if something would change", panel=OUTPUT)
    ] = False,
    for_project: Annotated[
        bool,
        option("--project", text="into matrix/ beside the settings, for all who work on the project", panel=OUTPUT),
    ] = False,
    torch_index: Annotated[
        str | None,
        option(
            "--torch-index",
            metavar="[URL]",
            text="also what only PyTorch's own index has, or the folder of a mirror of it",
            panel="The request",
        ),
    ] = None,
    json: Json = False,
) -> ExitStatus:
    """Refresh, tell, and write unless that was only to be checked."""
    root = project.find_root(Path.cwd())
    with progress.bars() as report:
        found, written = refresh(
            root,
            check=check,
            for_project=for_project,
            torch_index=torch_index,
            progress=report,
            notify=console.say,
        )
    if json:
        console.data(_data(found, written))
    else:
        _print(found)
        _print_end(found, written, check=check)
    return ExitStatus.CHECK_FAILED if check and found.files else ExitStatus.DONE


# -- printing ----------------------------------------------------------------------------------------------------------


def _print(found: Refreshed) -> None:
    rows = [(change.what, change.name, change.version, change.detail) for change in found.changes]
    if rows:
        console.result(console.table(("", "project", "release", ""), rows[:_LISTED]))
        if len(rows) > _LISTED:
            console.result(f"… and {len(rows) - _LISTED} more: --json")
    for one in found.contradictions[:_LISTED]:
        console.say(
            f"contradiction: {one.subject}: the matrix says {one.matrix} ({one.source});"
            f" the index says {one.found} ({one.page}). The matrix was left as it is"
        )
    if len(found.contradictions) > _LISTED:
        console.say(f"… and {len(found.contradictions) - _LISTED} more contradictions: --json")
    for note in found.notes:
        console.say(f"note: {note}")
    if found.gone:
        named = ", ".join(f"{name} ({len(versions)})" for name, versions in sorted(found.gone.items()))
        console.say(f"note: the index lacks releases that the matrix knows, and keeps: {named}")


def _print_end(found: Refreshed, written: Path | None, *, check: bool) -> None:
    asked = f"{found.pages} projects asked for, {found.wheels} wheels read"
    if not found.files:
        console.say(f"the matrix is up to date: {found.revision} ({asked})")
    elif check:
        console.say(f"the matrix is not up to date ({asked})")
        console.hints(["kgen matrix refresh"])
    else:
        console.say(f"matrix {found.revision} in {written} ({asked})")


def _data(found: Refreshed, written: Path | None) -> dict[str, object]:
    return {
        "revision": found.revision,
        "up-to-date": not found.files,
        "written": None if written is None else str(written),
        "changes": [
            {"what": change.what, "project": change.name, "release": change.version, "detail": change.detail}
            for change in found.changes
        ],
        "contradictions": [one._asdict() for one in found.contradictions],
        "notes": found.notes,
        "gone": found.gone,
        "files": sorted(found.files),
        "indexes": found.indexes,
        "pages": found.pages,
        "wheels": found.wheels,
    }
