"""`kgen matrix show`: the compatibility facts as a table or as data."""

from __future__ import annotations

__command__ = {
    "rank": 1,
    "purpose": "print the facts as tables",
    "example": "kgen matrix show torch",
}

from typing import Annotated

from kgen import __version__, accelerators
from kgen.actions.matrix_show import Facts, tables
from kgen.cli import candidates, console
from kgen.cli.options import OUTPUT, Json, argument
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.origin import Origin


def run(
    framework: Annotated[
        str | None,
        argument(
            "FRAMEWORK",
            "torch, jax, …, cuda, cudnn, gpus or images; by default all frameworks",
            panel=OUTPUT,
            values=candidates.facts,
        ),
    ] = None,
    *,
    json: Json = False,
) -> ExitStatus:
    """Print one framework's facts, or those of all frameworks; CUDA, cuDNN, GPUs and images by their names."""
    texts, source = origin.texts_in_use()
    matrix = CompatibilityMatrix(texts)
    matrix.check()
    facts = tables(matrix, framework)
    if json:
        console.data({"revision": matrix.revision, "origin": _origin_data(source), "facts": facts})
        return ExitStatus.DONE
    console.result("\n\n".join(_text(_headed(matrix, one), rows) for one, rows in facts.items()))
    console.say(f"\nmatrix {matrix.revision}, {_origin_text(source)}; sources and requirements of each row: --json")
    if source.note:
        console.say(f"warning: {source.note}")
    return ExitStatus.DONE


def _origin_text(source: Origin) -> str:
    if source.kind == "shipped":
        return f"as kgen {__version__} ships it"
    where = "for this project" if source.kind == "project" else "for this user"
    return f"refreshed {where} on {source.checked} ({source.folder})"


def _origin_data(source: Origin) -> dict[str, object]:
    return {
        "kind": source.kind,
        "folder": str(source.folder),
        "checked": None if source.checked is None else source.checked.isoformat(),
        "note": source.note or None,
    }


def _headed(matrix: CompatibilityMatrix, name: str) -> str:
    """The name of a table, with the day until when what it is about was supported."""
    ended = matrix.framework(name).ended if name in matrix.framework_names else None
    return name if ended is None else f"{name} (no longer supported since {ended.day}: {ended.why})"


_WIDEST = 80
"""Characters of a list of architectures; one that is longer is shown by its first and its last."""
_FIRST = 4
_SHOWN = (
    *("generation", "package", "since", "supported until", "backends"),
    *("image", "frameworks"),
    *("accelerator", "architecture", "names"),
    *(
        "version",
        "released",
        *(kind.name for kind in accelerators.probed()),
        "cudnn",
        "nccl",
        "numpy",
        "python",
        "driver",
        "drivers",
        "gpus",
        "glibc",
        "what",
    ),
)


def _text(name: str, rows: Facts) -> str:
    """The columns that fit a screen; a column that is empty throughout is left out."""
    columns = [column for column in _SHOWN if any(row.get(column) for row in rows)]
    headings = ["platforms (glibc)" if column == "glibc" else column for column in columns]
    lines = [[_cell(row, column) for column in columns] for row in rows]
    return f"{name}\n{console.table(headings, lines)}"


def _cell(row: dict[str, object], column: str) -> str:
    value = row.get(column)
    if isinstance(value, dict):
        return " ".join(name if glibc is None else f"{name} ({glibc})" for name, glibc in value.items())
    text = "" if value is None else str(value)
    if column == "gpus" and len(text) > _WIDEST:
        # all of them are in the data
        several = text.split(", ")
        text = f"{', '.join(several[:_FIRST])}, … {several[-1]} ({len(several)})"
    marks = [mark for mark in ("yanked", "known-bad") if row.get(mark)] if column == "version" else []
    return " ".join([text, *(f"[{mark}]" for mark in marks)])
