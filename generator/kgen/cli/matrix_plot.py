"""`kgen matrix plot`: one look tells which framework releases share a cuDNN and a CUDA."""

from __future__ import annotations

__command__ = {
    "rank": 3,
    "purpose": "show which framework releases share a cuDNN",
    "example": "kgen matrix plot --cuda 12 --output plot.svg",
}

from pathlib import Path
from typing import Annotated

from kgen import storage
from kgen.actions.plot import drawing, move_pictures, pictures, require_drawing
from kgen.cli import candidates, console
from kgen.cli.options import OUTPUT, Json, argument, option
from kgen.emitters import plot
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.solver.overlap import Overlap

_WHAT = "The request"


def run(
    backends: Annotated[
        list[str] | None,
        argument("BACKEND", "a backend; all with a build by default", panel=_WHAT, values=candidates.backends),
    ] = None,
    *,
    cuda: Annotated[
        list[str] | None,
        option(
            "--cuda",
            metavar="V",
            text="a CUDA major; all by default; repeatable",
            panel=_WHAT,
            values=candidates.versions("cuda"),
        ),
    ] = None,
    platform: Annotated[
        str | None,
        option(
            "--platform",
            metavar="P",
            text="the platform of the builds; linux-64 by default",
            panel=_WHAT,
            values=candidates.platforms,
        ),
    ] = None,
    plan: Annotated[
        bool,
        option("--plan", text="show what the move of this project to --cuda means, as `kgen plan` does", panel=_WHAT),
    ] = False,
    output: Annotated[
        str | None,
        option(
            "-o", "--output", metavar="FILE", text="a drawing: FILE.svg or FILE.html; text without it", panel=OUTPUT
        ),
    ] = None,
    json: Json = False,
) -> ExitStatus:
    """Draw, or print, the pictures of the CUDA majors that are asked for."""
    matrix = origin.current()
    target = None if output is None else Path(output)
    if target is not None:
        rest = [
            *(backends or ()),
            *(() if platform is None else ("--platform", platform)),
            *(["--plan"] if plan else []),
        ]
        require_drawing(target, cuda or (), rest)
    if plan:
        found = move_pictures(matrix, Path.cwd(), cuda or (), platform, backends or ())
    else:
        found = pictures(matrix, cuda or (), platform, backends or ())
    if json:
        console.data({"matrix": matrix.revision, "plots": [_data(one) for one in found]})
    elif target is None:
        console.result(plot.render_text(found, room=console.columns()))
    if target is not None:
        storage.write_file(target, drawing(target, found).encode())
        console.say(f"written to {target}")
    return ExitStatus.DONE


def _data(one: Overlap) -> dict[str, object]:
    return {
        one.accelerator.kind: one.accelerator.number,
        "cudnn": one.cudnn,
        "columns": list(one.columns),
        "notes": list(one.notes),
        "frameworks": {lane.title: [bar._asdict() for bar in lane.bars] for lane in one.lanes},
    }
