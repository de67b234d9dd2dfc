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
from kgen.cli import candidates, console
from kgen.cli.options import OUTPUT, Json, option
from kgen.emitters import plot
from kgen.errors import ExitStatus, UsageError
from kgen.matrix import origin
from kgen.matrix.candidates import BuildTarget, releases_with_builds
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution
from kgen.solver.overlap import Overlap, overlap
from kgen.solver.python import best_python
from kgen.solver.resolve import solve

_FORMS = (".svg", ".html")


_WHAT = "What is asked for"


def run(
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
            text="whose builds are meant; linux-64 by default",
            panel=_WHAT,
            values=candidates.platforms,
        ),
    ] = None,
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
    if target is not None and target.suffix not in _FORMS:
        raise UsageError(
            f"`-o {target}`: a drawing is {' or '.join(_FORMS)}", hints=[f"-o {target.stem or 'plot'}.svg"]
        )
    if target is not None and target.suffix == ".svg" and len(cuda or ()) != 1:
        raise UsageError("an SVG is of one CUDA", hints=["--cuda 12", f"or a page of all: -o {target.stem}.html"])
    pictures = [picture(matrix, one, platform) for one in _plotted(matrix, cuda)]
    if json:
        console.data({"matrix": matrix.revision, "plots": [_data(one) for one in pictures]})
    elif target is None:
        console.result(plot.render_text(pictures))
    if target is not None:
        text = plot.render_svg(pictures[0]) if target.suffix == ".svg" else plot.render_page(pictures)
        storage.write_file(target, text.encode())
        console.say(f"written to {target}")
    return ExitStatus.DONE


def picture(matrix: CompatibilityMatrix, accelerator: Accelerator, platform: str | None = None) -> Overlap:
    """The picture of a major of an accelerator, with the newest set of all its frameworks marked.

    Raises:
        UsageError: the platform is not in the matrix.
    """
    platform = platform or next(iter(matrix.platforms))
    if platform not in matrix.platforms:
        raise UsageError(
            f"platform `{platform}` is not in the matrix", hints=[f"it knows {', '.join(matrix.platforms)}"]
        )
    backends = tuple(name for name, row in matrix.backends.items() if row.accelerated)
    frameworks = [matrix.backends[name].framework for name in backends]
    return overlap(
        matrix,
        accelerator,
        platform=platform,
        frameworks=frameworks,
        best=_best(matrix, accelerator, platform, backends),
    )


def _best(
    matrix: CompatibilityMatrix, accelerator: Accelerator, platform: str, backends: tuple[str, ...]
) -> Resolution | None:
    """The newest set of as many of the backends as this accelerator has builds for."""
    target = BuildTarget(accelerator, platform)
    built = [
        name
        for name in backends
        if any(releases_with_builds(matrix, matrix.framework(matrix.backends[name].framework), target))
    ]
    while built:
        request = EnvironmentRequest(
            name="all",
            backends=tuple(built),
            accelerator=accelerator,
            python=matrix.pythons[-1].version,
            platform=platform,
        )
        answer = solve(matrix, request._replace(python=best_python(matrix, [request])))
        if isinstance(answer, Resolution):
            return answer
        built.pop()
    return None


def _plotted(matrix: CompatibilityMatrix, asked: list[str] | None) -> list[Accelerator]:
    """The majors that are asked for; all whose libraries are known by the GPUs they serve, where none is."""
    known = {one.number: one for one in sorted({row.accelerator for row in matrix.cudnn})}
    wrong = next((text for text in asked or () if text not in known), None)
    if wrong is not None:
        raise UsageError(f"CUDA `{wrong}` is not in the matrix", hints=[f"the majors are {', '.join(known)}"])
    return [known[text] for text in dict.fromkeys(asked or known)]


def _data(one: Overlap) -> dict[str, object]:
    return {
        one.accelerator.kind: one.accelerator.number,
        "cudnn": one.cudnn,
        "columns": list(one.columns),
        "frameworks": {lane.title: [bar._asdict() for bar in lane.bars] for lane in one.lanes},
    }
