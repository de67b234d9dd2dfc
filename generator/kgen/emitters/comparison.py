"""The page of a comparison: a table, the times of steps as bars, and the losses as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from kgen.templates import render

_WIDTH, _HEIGHT, _LEFT, _ROOM = 760, 240, 150, 130
_STROKES = (
    ("#0969da", "#58a6ff", "none"),
    ("#cf222e", "#ff7b72", "7 4"),
    ("#1a7f37", "#3fb950", "2 3"),
    ("#9a6700", "#d29922", "9 3 2 3"),
    ("#8250df", "#bc8cff", "12 5"),
    ("#bf3989", "#f778ba", "4 2"),
    ("#57606a", "#a3abb4", "1 2"),
)
"""The lines: their colour in light and in dark, and their dashes, which tell them apart without colours too."""

_POINTS = 400
"""So many points a line has at most: no screen shows more."""


class Bar(NamedTuple):
    """The time of a step.

    Attributes:
        name: the environment.
        median: seconds.
        low: the first quartile.
        high: the third quartile.
        text: the median, for people.
    """

    name: str
    median: float
    low: float
    high: float
    text: str


class Line(NamedTuple):
    """The losses of one environment, a step each."""

    name: str
    losses: Sequence[float]


class Failure(NamedTuple):
    """An environment that failed, how, and why."""

    name: str
    what: str
    causes: Sequence[str]
    quotes: Sequence[str]


def render_page(
    *,
    title: str,
    command: str,
    version: str,
    repeat: int,
    verdict: Sequence[str],
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    bars: Sequence[Bar],
    lines: Sequence[Line],
    failures: Sequence[Failure],
) -> str:
    """The page as HTML that needs nothing from outside."""
    most = max((bar.high for bar in bars), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - _ROOM) / most
    every = [loss for line in lines for loss in line.losses if math.isfinite(loss)]
    low, high = min(every, default=0.0), max(every, default=1.0)
    last = max((len(line.losses) for line in lines), default=0)
    return render(
        "report/compare.html.j2",
        title=title,
        command=command,
        version=version,
        repeat=repeat,
        verdict=verdict,
        headings=headings,
        rows=rows,
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        strokes=_STROKES,
        bars=[
            {
                "name": bar.name,
                "text": bar.text,
                "about": f"{bar.name}: {bar.text}",
                "length": round(bar.median * scale, 1),
                "low": round(bar.low * scale, 1),
                "high": round(bar.high * scale, 1),
                "end": round(max(bar.median, bar.high) * scale, 1),
            }
            for bar in bars
        ],
        lines=[
            {"name": line.name, "stroke": place % len(_STROKES), "points": _points(line.losses, low, high, last)}
            for place, line in enumerate(lines)
            if line.losses
        ],
        top=f"{high:.4g}",
        bottom=f"{low:.4g}",
        last=last,
        failures=failures,
    )


def _points(losses: Sequence[float], low: float, high: float, last: int) -> str:
    stride = max(1, len(losses) // _POINTS)
    wide, tall = (_WIDTH - _LEFT - 4) / max(1, last - 1), (_HEIGHT - 8) / ((high - low) or 1.0)
    return " ".join(
        f"{_LEFT + place * wide:.1f},{_HEIGHT - 4 - (losses[place] - low) * tall:.1f}"
        for place in range(0, len(losses), stride)
        if math.isfinite(losses[place])
    )
