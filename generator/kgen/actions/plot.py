"""Which framework releases share a cuDNN and a CUDA, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kgen.emitters import plot
from kgen.errors import UsageError
from kgen.matrix.candidates import BuildTarget, releases_with_builds
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution
from kgen.solver.overlap import Overlap, overlap
from kgen.solver.python import best_python
from kgen.solver.resolve import solve

_FORMS = (".svg", ".html")


def pictures(
    matrix: CompatibilityMatrix, cudas: Sequence[str] = (), platform: str | None = None
) -> tuple[Overlap, ...]:
    """The pictures of CUDA majors.

    Args:
        matrix: the facts.
        cudas: the majors; none for all.
        platform: conda's name of the platform whose builds are meant; None for the first of the matrix.

    Raises:
        UsageError: a major or the platform is not in the matrix.
    """
    return tuple(picture(matrix, one, platform) for one in _plotted(matrix, cudas))


def require_drawing(target: Path, cudas: Sequence[str]) -> None:
    """See that the pictures of these CUDA majors can be drawn into a file of this name.

    Raises:
        UsageError: they cannot.
    """
    if target.suffix not in _FORMS:
        raise UsageError(
            f"`-o {target}`: a drawing is {' or '.join(_FORMS)}", hints=[f"-o {target.stem or 'plot'}.svg"]
        )
    if target.suffix == ".svg" and len(cudas) != 1:
        raise UsageError("an SVG is of one CUDA", hints=["--cuda 12", f"or a page of all: -o {target.stem}.html"])


def drawing(target: Path, found: Sequence[Overlap]) -> str:
    """The text of a drawing: SVG or HTML, by the file's suffix."""
    return plot.render_svg(found[0]) if target.suffix == ".svg" else plot.render_page(found)


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


def _plotted(matrix: CompatibilityMatrix, asked: Sequence[str]) -> list[Accelerator]:
    """The majors that are asked for; all whose libraries are known by the GPUs they serve, where none is."""
    known = {one.number: one for one in sorted({row.accelerator for row in matrix.cudnn})}
    wrong = next((text for text in asked if text not in known), None)
    if wrong is not None:
        raise UsageError(f"CUDA `{wrong}` is not in the matrix", hints=[f"the majors are {', '.join(known)}"])
    return [known[text] for text in dict.fromkeys(asked or known)]
