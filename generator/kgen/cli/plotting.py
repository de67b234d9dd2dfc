"""`kgen matrix plot`: one look tells which framework releases share a cuDNN and a CUDA."""

from __future__ import annotations

import argparse
from pathlib import Path

from kgen import storage
from kgen.cli import console
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


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Draw, or print, the pictures of the CUDA majors that are asked for."""
    matrix = origin.current()
    target = None if arguments.output is None else Path(arguments.output)
    if target is not None and target.suffix not in _FORMS:
        raise UsageError(
            f"`-o {target}`: a drawing is {' or '.join(_FORMS)}", hints=[f"-o {target.stem or 'plot'}.svg"]
        )
    if target is not None and target.suffix == ".svg" and len(arguments.cuda or ()) != 1:
        raise UsageError("an SVG is of one CUDA", hints=["--cuda 12", f"or a page of all: -o {target.stem}.html"])
    pictures = [picture(matrix, major, arguments.platform) for major in _majors(matrix, arguments.cuda)]
    if arguments.json:
        console.data({"matrix": matrix.revision, "plots": [_data(one) for one in pictures]})
    elif target is None:
        console.result(plot.render_text(pictures))
    if target is not None:
        text = plot.render_svg(pictures[0]) if target.suffix == ".svg" else plot.render_page(pictures)
        storage.write_file(target, text.encode())
        console.say(f"written to {target}")
    return ExitStatus.DONE


def picture(matrix: CompatibilityMatrix, major: int, platform: str | None = None) -> Overlap:
    """The picture of a CUDA, with the newest set of all its frameworks marked.

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
        matrix, major, platform=platform, frameworks=frameworks, best=_best(matrix, major, platform, backends)
    )


def _best(matrix: CompatibilityMatrix, major: int, platform: str, backends: tuple[str, ...]) -> Resolution | None:
    """The newest set of as many of the backends as this CUDA has builds for."""
    target = BuildTarget(Accelerator(cuda=major), platform)
    built = [
        name
        for name in backends
        if any(releases_with_builds(matrix, matrix.framework(matrix.backends[name].framework), target))
    ]
    while built:
        request = EnvironmentRequest(
            name="all",
            backends=tuple(built),
            accelerator=Accelerator(cuda=major),
            python=matrix.pythons[-1].version,
            platform=platform,
        )
        answer = solve(matrix, request._replace(python=best_python(matrix, [request])))
        if isinstance(answer, Resolution):
            return answer
        built.pop()
    return None


def _majors(matrix: CompatibilityMatrix, asked: list[str] | None) -> list[int]:
    known = sorted(matrix.cuda_majors)
    wrong = next((text for text in asked or () if text not in map(str, known)), None)
    if wrong is not None:
        raise UsageError(f"CUDA `{wrong}` is not in the matrix", hints=[f"the majors are {', '.join(map(str, known))}"])
    return list(dict.fromkeys(map(int, asked))) if asked else known


def _data(one: Overlap) -> dict[str, object]:
    return {
        "cuda": str(one.cuda),
        "cudnn": one.cudnn,
        "columns": list(one.columns),
        "frameworks": {lane.title: [bar._asdict() for bar in lane.bars] for lane in one.lanes},
    }
