"""Which framework releases share a cuDNN and a CUDA, as pictures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from kgen.accelerators import title
from kgen.actions.move import MovePlan, plan_move
from kgen.actions.request_flags import RequestFlags
from kgen.emitters import plot
from kgen.errors import UnknownNameError, UsageError
from kgen.explain.moves import driver_text, gpus_text
from kgen.matrix.candidates import BuildTarget, releases_with_builds
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.grammar import shown
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution
from kgen.solver.overlap import Overlap, overlap
from kgen.solver.python import best_python
from kgen.solver.resolve import solve

_FORMS = (".svg", ".html")


def pictures(
    matrix: CompatibilityMatrix,
    cudas: Sequence[str] = (),
    platform: str | None = None,
    backends: Sequence[str] = (),
) -> tuple[Overlap, ...]:
    """The pictures of CUDA majors.

    Args:
        matrix: the facts.
        cudas: the majors; none for all.
        platform: the platform, as a conda subdir whose builds are meant; None for the first of the matrix.
        backends: whose frameworks are drawn; none for those that the picture is about by itself (:func:`picture`).

    Raises:
        UsageError: a major, the platform or a backend is not in the matrix, or a backend runs on no accelerator.
    """
    return tuple(picture(matrix, one, platform, backends) for one in _plotted(matrix, cudas))


def move_pictures(
    matrix: CompatibilityMatrix,
    folder: Path,
    cudas: Sequence[str],
    platform: str | None = None,
    backends: Sequence[str] = (),
) -> tuple[Overlap, ...]:
    """The pictures of a project's move to another CUDA: what it moves from, and what it moves to with the plan below.

    Args:
        matrix: the facts.
        folder: a folder of the project.
        cudas: the major to move to, and no other.
        platform: as for :func:`pictures`.
        backends: the backends that move; none for those of the settings.

    Raises:
        UsageError: as for :func:`pictures`, or not one major is named, or there is nothing to move from.
        SettingsError: the settings are wrong.
    """
    if len(cudas) != 1:
        newest = max(row.accelerator.number for row in matrix.cudnn)
        raise UsageError(
            "--plan needs the one CUDA to move to: `--cuda V`", hints=[f"kgen matrix plot --plan --cuda {newest}"]
        )
    (new,) = _plotted(matrix, cudas)
    found = plan_move(RequestFlags("plan", tuple(backends), flags={new.kind: new.number}), matrix, folder)
    before, after = (picture(matrix, one.whole, platform, backends) for one in (found.old, found.new))
    return before, after._replace(notes=tuple(_move_notes(found)))


def _inline(text: str) -> str:
    """A list of several parts as a part of another one."""
    return text.replace("; ", ", ")


def _move_notes(found: MovePlan) -> Iterator[str]:
    """The plan in as few lines as there are environments."""
    movable = sum(one.can_move for one in found.environments)
    yield f"{title(found.old)} -> {title(found.new)}: {movable} of {len(found.environments)} environments can move"
    for one in found.environments:
        parts = []
        if one.waits_for:
            parts += [f"waits for {waits.title}: {waits.newest} is for {waits.built_for}" for waits in one.waits_for]
        elif not one.can_move:
            parts.append(f"blocked: {one.obstacle[0]}" if one.obstacle else "blocked")
        driver = driver_text(one.driver)
        if one.can_move and driver:
            parts.append(f"driver {driver}")
        if one.leaves:
            parts.append(f"loses {_inline(gpus_text(one.leaves))}")
        if one.gains:
            parts.append(f"gains {_inline(gpus_text(one.gains))}")
        mark = "✓" if one.can_move else "…" if one.waits_for else "✗"
        yield f"{mark} {one.name}{': ' if parts else ''}{'; '.join(parts)}"
    if found.unaffected:
        yield f"= the same: {', '.join(found.unaffected)}"


def require_drawing(target: Path, cudas: Sequence[str], words: Sequence[str] = ()) -> None:
    """Check that the pictures of these CUDA majors can be drawn into a file of this name; of a move the SVG is the new.

    Args:
        target: the file.
        cudas: the CUDA majors.
        words: what else was asked for, as it is typed.

    Raises:
        UsageError: they cannot.
    """

    def call(suffix: str, *more: str) -> str:
        file = str(target.with_suffix(suffix)) if target.name else f"plot{suffix}"
        return shlex.join(["kgen", "matrix", "plot", *words, *more, "-o", file])

    asked = [word for cuda in cudas for word in ("--cuda", cuda)]
    if target.suffix not in _FORMS:
        raise UsageError(f"`-o {target}`: a drawing is {' or '.join(_FORMS)}", hints=[call(".html", *asked)])
    if target.suffix == ".svg" and len(cudas) != 1:
        one = cudas[-1] if cudas else "12"
        raise UsageError(
            "an SVG is of one CUDA", hints=[call(".svg", "--cuda", one), f"{call('.html', *asked)}   # a page of all"]
        )


def drawing(target: Path, found: Sequence[Overlap]) -> str:
    """The text of a drawing: SVG or HTML, by the file's suffix."""
    return plot.render_svg(found[-1]) if target.suffix == ".svg" else plot.render_page(found)


def picture(
    matrix: CompatibilityMatrix, accelerator: Accelerator, platform: str | None = None, backends: Sequence[str] = ()
) -> Overlap:
    """The picture of a major of an accelerator, with the newest set of all its frameworks marked.

    Without backends it is about the frameworks that have a build, and those of the default generation of Keras that
    have none: what older generations lack is no question of anybody.

    Raises:
        UsageError: the platform or a backend is not in the matrix, or a backend runs on no accelerator.
    """
    platform = platform or next(iter(matrix.platforms))
    if platform not in matrix.platforms:
        raise UnknownNameError(
            f"platform `{platform}` is not in the matrix", hints=[f"it knows {', '.join(matrix.platforms)}"]
        )
    known = tuple(name for name, row in matrix.backends.items() if row.accelerated)
    wrong = next((name for name in backends if name not in known), None)
    if wrong is not None:
        what = "runs on no accelerator" if wrong in matrix.backends else "is not in the matrix"
        raise UnknownNameError(f"backend `{shown(wrong)}` {what}", hints=[f"the backends are {', '.join(known)}"])
    current = next(iter(matrix.generations))
    asked = tuple(backends) or known
    found = overlap(
        matrix,
        accelerator,
        platform=platform,
        frameworks=list(dict.fromkeys(matrix.backends[name].framework for name in asked)),
        best=_best(matrix, accelerator, platform, asked),
    )
    named = {
        matrix.framework(matrix.backends[name].framework).title
        for name in asked
        if backends or matrix.backends[name].generation == current
    }
    return found._replace(lanes=tuple(lane for lane in found.lanes if lane.bars or lane.title in named))


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
        raise UnknownNameError(f"CUDA `{wrong}` is not in the matrix", hints=[f"the majors are {', '.join(known)}"])
    return [known[text] for text in dict.fromkeys(asked or known)]
