"""`kgen compare`: your own training under each locked backend: time, memory, loss, and whether they agree."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 3,
    "purpose": "compare your own training under locked environments",
    "example": "kgen compare jax torch --same-start -- python train.py",
    "program": "[-- COMMAND ...]",
}

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kgen import __version__, host, project, storage
from kgen.actions.compare import CompareOptions, CompareResult, Contestant, compare
from kgen.cli import console, progress
from kgen.cli.command import PROGRAM
from kgen.cli.devices import device, fleet, image
from kgen.cli.options import OUTPUT, Environments, Envs, Json, jobs, option, repeats, seconds
from kgen.emitters.comparison import Bar, Failure, Line, render_page
from kgen.errors import ContradictionError, ExitStatus, UsageError
from kgen.explain.sizes import size_text
from kgen.matrix import origin
from kgen.validation.comparison import TOLERANCE, Summary, summarise

_HOW = "How it is compared"
_HEADINGS = (
    *("environment", "device", "step", "spread", "examples/s", "first step", "compile", "memory", "on device"),
    "final loss",
)


def _function(text: str) -> str:
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", text):
        raise UsageError(
            f"`--model`: `{console.plain(text)}` is not MODULE:FUNCTION", hints=["kgen compare --model train:build"]
        )
    return text


def _relative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError("`--tolerance` is not a relative distance", hints=["leave it out, or give one such as 0.001"])
    return value


def run(
    context: typer.Context,
    environments: Environments = None,
    *,
    model: Annotated[
        str | None,
        option(
            "--model",
            metavar="MODULE:FUNCTION",
            text="in place of a command: a function that gives (model, x, y), which kgen trains",
            panel=_HOW,
            parse=_function,
        ),
    ] = None,
    device: Annotated[str, device(_HOW)] = "auto",
    repeat: Annotated[
        int | None,
        option("--repeat", metavar="N", text="runs in each environment; 1 by default", panel=_HOW, parse=repeats),
    ] = None,
    same_start: Annotated[
        bool,
        option(
            "--same-start", text="begin everywhere with the same seed and weights, and compare the losses", panel=_HOW
        ),
    ] = False,
    at_once: Annotated[
        int | None,
        option(
            "--jobs",
            metavar="N",
            text="so many at once, each on a GPU of its own; 1 by default",
            panel=_HOW,
            parse=jobs,
        ),
    ] = None,
    tolerance: Annotated[
        float,
        option(
            "--tolerance",
            metavar="X",
            text=f"how far losses may be apart at any step, relative; {TOLERANCE} by default",
            panel=_HOW,
            parse=_relative,
        ),
    ] = TOLERANCE,
    timeout: Annotated[
        float,
        option("--timeout", metavar="S", text="seconds for each run; 3600 by default", panel=_HOW, parse=seconds),
    ] = 3600.0,
    markdown: Annotated[bool, option("--markdown", text="print the table as Markdown", panel=OUTPUT)] = False,
    output: Annotated[
        str | None, option("-o", "--output", metavar="FILE", text="write a page with plots, HTML", panel=OUTPUT)
    ] = None,
    site: Annotated[str | None, fleet(_HOW)] = None,
    image: Annotated[str | None, image(_HOW)] = None,
    envs: Envs = None,
    json: Json = False,
) -> ExitStatus:
    """Compare, and print what came of it."""
    command: Sequence[str] = context.meta.get(PROGRAM, ())
    if model is not None:
        if command:
            raise ContradictionError("`--model` contradicts a command", hints=["keep one of the two"])
        command = ("python", "-m", "kgen_model", model)
    options = CompareOptions(device, repeat or 1, same_start, tolerance, timeout, envs, at_once or 1)
    root = project.find_root(Path.cwd())
    if site is not None:
        result = _on_fleet(root, site, command, environments or (), options, image=image)
    elif image is not None:
        raise UsageError("`--image` is for `--fleet k8s:CONTEXT`", hints=["leave out `--image`"])
    else:
        with progress.line("preparing") as report:
            result = compare(
                root,
                origin.current(),
                host.inspect(),
                command,
                names=environments or (),
                options=options,
                progress=lambda name, stage: report(f"{name}: {stage}"),
                notify=console.say,
            )
    if json:
        console.data(_data(result, command))
    else:
        rows = [_row(one) for one in result.contestants]
        console.result(_markdown(rows) if markdown else console.table(_HEADINGS, rows))
        for line in verdict_lines(result):
            console.result(line)
    _print_failures(result)
    if output is not None:
        storage.write_file(Path(output), page(result, command).encode())
        console.say(f"{output}: written")
    return result.status


def _on_fleet(
    root: Path,
    site: str,
    command: Sequence[str],
    names: Sequence[str],
    options: CompareOptions,
    *,
    image: str | None,
) -> CompareResult:
    """Compare on the nodes of a cluster."""
    from kgen.actions.compare_fleet import compare_on_fleet  # noqa: PLC0415 - few have a cluster
    from kgen.cli.fleets import showing  # noqa: PLC0415 - as above

    if options.jobs > 1:
        raise ContradictionError("`--jobs` contradicts `--fleet`", hints=["keep one of the two"])
    if Path.cwd() != root:
        raise UsageError(
            f"the command runs in {root} on the nodes, and this is {Path.cwd()}", hints=[f"cd {shlex.quote(str(root))}"]
        )
    matrix = origin.current()
    with showing() as report:
        return compare_on_fleet(
            root,
            matrix,
            site,
            command,
            names=names,
            options=options,
            image=image,
            progress=report,
            notify=console.say,
        )


# -- words -------------------------------------------------------------------------------------------------------------


def verdict_lines(result: CompareResult) -> list[str]:
    """What the comparison comes to, in sentences."""
    verdict, options = result.verdict, result.options
    lines = []
    if verdict.fastest is not None and verdict.rivals:
        lines.append(f"fastest: {verdict.fastest}")
        for rival in verdict.rivals:
            more = f"{rival.slower:.0%} more time a step"
            lines.append(
                f"  {rival.name}: no difference that counts: {more}, which is within the noise"
                if rival.noise
                else f"  {rival.name}: {more}"
            )
    if verdict.agree is None:
        if options.same_start and verdict.fastest is not None:
            lines.append("losses: not compared, as fewer than two environments began with the same weights")
        return lines
    for one in verdict.agreements:
        if one.step is None:
            lines.append(f"losses: {one.other} agrees with {one.one} to {one.distance:.1e} at every step")
            continue
        lines.append(
            f"losses: {one.other} and {one.one} are {one.distance:.1e} apart; more than {options.tolerance:g} from"
            f" step {one.step + 1} on"
        )
        if one.shuffled:
            lines.append("  each backend shuffles in an order of its own; `fit(…, shuffle=False)` keeps one order")
    return lines


def _row(one: Contestant) -> tuple[str, ...]:
    device = one.target.device
    if not one.trained:
        what = "skipped" if one.skip is not None else "failed"
        return (one.name, device, what, *["-"] * (len(_HEADINGS) - 3))
    found = summarise(one.runs)
    losses = [run.final["loss"] for run in one.runs if "loss" in run.final]
    return (
        one.name,
        device,
        _time(found.step),
        "-" if found.step is None else f"{_time(found.low)} to {_time(found.high)}",
        "-" if found.rate is None else f"{found.rate:.0f}",
        _time(found.first),
        _time(found.compile),
        "-" if found.host is None else size_text(found.host),
        "-" if found.device is None else size_text(found.device),
        f"{losses[0]:.5g}" if losses else "-",
    )


def _time(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.3g} ms"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [_HEADINGS, ["---"] * len(_HEADINGS), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines) + "\n"


def _print_failures(result: CompareResult) -> None:
    for one in result.contestants:
        if one.skip is not None:
            console.say(f"note: {one.name} is skipped: {one.skip}")
        if one.failure is None:
            continue
        console.say(f"\nerror: {one.name}: {one.failure}")
        for cause in one.diagnosis.causes:
            console.say(f"  {cause}")
        for quote in one.diagnosis.quotes:
            console.say(f"  | {quote}")
        console.hints(one.diagnosis.hints or [f"kgen validate {one.target.name}"])


# -- data and page -----------------------------------------------------------------------------------------------------


def _data(result: CompareResult, command: Sequence[str]) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "command": list(command),
        "tolerance": result.options.tolerance,
        "same_start": result.options.same_start,
        "environments": [_contestant(one) for one in result.contestants],
        "fastest": verdict.fastest,
        "rivals": [one._asdict() for one in verdict.rivals],
        "agree": verdict.agree,
        "agreements": [{**one._asdict(), "distance": _finite(one.distance)} for one in verdict.agreements],
    }


def _contestant(one: Contestant) -> Mapping[str, Any]:
    found: Summary = summarise(one.runs)
    return {
        "name": one.name,
        "environment": one.target.name,
        "backend": one.backend,
        "device": one.target.device,
        "skipped": one.skip,
        "failed": one.failure,
        "causes": list(one.diagnosis.causes),
        "quotes": list(one.diagnosis.quotes),
        "summary": found._asdict(),
        "runs": [
            {
                **run._asdict(),
                "losses": [_finite(loss) for loss in run.losses],
                "final": {name: _finite(value) for name, value in run.final.items()},
                "compile": run.compile,
            }
            for run in one.runs
        ],
    }


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def page(result: CompareResult, command: Sequence[str]) -> str:
    """The page about a comparison."""
    trained = [(one, summarise(one.runs)) for one in result.contestants if one.trained]
    return render_page(
        title="Keras backends compared",
        command=shlex.join(command),
        version=__version__,
        repeat=result.options.repeat,
        verdict=verdict_lines(result),
        headings=_HEADINGS,
        rows=[_row(one) for one in result.contestants],
        bars=[
            Bar(one.name, found.step, found.low or 0.0, found.high or 0.0, _time(found.step))
            for one, found in trained
            if found.step is not None
        ],
        lines=[Line(one.name, one.runs[0].losses) for one, _ in trained],
        failures=[
            Failure(one.name, one.failure, one.diagnosis.causes, one.diagnosis.quotes)
            for one in result.contestants
            if one.failure is not None
        ],
    )
