"""`kgen matrix audit`: the facts read again from the wheels, by code that did not write them."""

from __future__ import annotations

__command__ = {
    "rank": 4,
    "purpose": "read the facts again from the wheels, and report each that differs",
    "example": "kgen matrix audit torch --sample 5",
}

from pathlib import Path
from typing import Annotated

from kgen import project
from kgen.actions import audit
from kgen.audit.run import Audited
from kgen.cli import candidates, console, progress
from kgen.cli.options import Json, argument, option
from kgen.errors import ExitStatus, UsageError
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix

_WHAT = "What is read"
_DIGITS = 6
_LISTED = 40
"""So many differences are printed; all of them are in --json."""


def run(
    name: Annotated[
        list[str] | None,
        argument("NAME", "frameworks and libraries; by default all", panel=_WHAT, values=candidates.facts),
    ] = None,
    *,
    sample: Annotated[
        str | None,
        option(
            "--sample",
            metavar="N",
            text="only N builds of each framework and N libraries, the same ones for the same matrix",
            panel=_WHAT,
        ),
    ] = None,
    fatbins: Annotated[
        bool,
        option("--fatbins", text="also read the code for GPUs from the large libraries, whole", panel=_WHAT),
    ] = False,
    json: Json = False,
) -> ExitStatus:
    """Read wheels, compare, tell."""
    texts, _ = origin.texts_in_use()
    matrix = CompatibilityMatrix(texts)
    matrix.check()
    with progress.bars() as report:
        found = audit.audit(
            project.find_root(Path.cwd()),
            matrix,
            names=name or (),
            sample=_count(sample),
            fatbins=fatbins,
            progress=lambda done, total: report("rows", done, total),
        )
    if json:
        console.data(_data(found, matrix.revision))
    else:
        _tell(found, matrix.revision)
    return ExitStatus.CHECK_FAILED if found.differences else ExitStatus.DONE


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS or int(text) == 0:
        raise UsageError(f"`--sample {text}` is not a count", hints=["kgen matrix audit --sample 5"])
    return int(text)


def _tell(found: Audited, revision: str) -> None:
    fields = sorted({*found.right, *found.unreadable, *(one.field for one in found.differences)})
    rows = [
        (
            field,
            str(found.right[field]),
            str(sum(one.field == field for one in found.differences)),
            str(sum(found.unreadable.get(field, {}).values())),
        )
        for field in fields
    ]
    console.result(console.table(("field", "agrees", "differs", "not read"), rows))
    for one in found.differences[:_LISTED]:
        console.say(f"{one.row}: `{one.field}` is {one.matrix} in the matrix, and {one.found} in {one.where}")
    if len(found.differences) > _LISTED:
        console.say(f"… and {len(found.differences) - _LISTED} more: --json")
    for one in found.missing:
        console.say(f"note: {one.row}: the index has {one.found}, and the matrix {one.matrix}")
    for field, reasons in sorted(found.unreadable.items()):
        for reason, count in reasons.most_common():
            console.say(f"note: `{field}` was not read {count} {_plural('time', count)}: {reason}")
    differ = len(found.differences)
    console.say(
        f"matrix {revision}: {found.rows} {_plural('row', found.rows)} read, {differ} {_plural('field', differ)} differ"
    )


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _data(found: Audited, revision: str) -> dict[str, object]:
    return {
        "revision": revision,
        "rows": found.rows,
        "agrees": dict(sorted(found.right.items())),
        "differences": [one._asdict() for one in found.differences],
        "missing": [one._asdict() for one in found.missing],
        "not-read": {field: dict(reasons) for field, reasons in sorted(found.unreadable.items())},
    }
