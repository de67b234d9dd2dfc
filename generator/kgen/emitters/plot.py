"""Draw which framework releases share a cuDNN: as text, as SVG, as a page."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kgen.accelerators import title
from kgen.solver.overlap import EVERY, SOME, Bar, Overlap
from kgen.templates import render

_CELLS = {None: "·", EVERY: "█", SOME: "▒"}


def render_text(pictures: Sequence[Overlap], *, room: int = 0) -> str:
    """The pictures as rows of characters: █ stands for every cuDNN of a column, ▒ for some of them.

    Args:
        pictures: the pictures.
        room: the width of a line in characters; 0 for any width. In a narrow line, labels are above the bars.
    """
    return "\n\n".join(_text(picture, room) for picture in pictures)


def _text(picture: Overlap, room: int) -> str:
    """A picture with one character a column and vertical column names, so that it fits a terminal."""
    bars = [bar for lane in picture.lanes for bar in lane.bars]
    beside = max(map(len, [*map(label, bars), "cuDNN"])) + 2
    widest = max((len(bar.cells) + len(bar.range) for bar in bars), default=0) + beside + 4
    above = 0 < room < widest
    before = " " * (0 if above else beside)
    names = [column.split(".") for column in picture.columns]
    firsts = {major: position for position, (major, _) in reversed([*enumerate(names)])}
    majors = [major if firsts[major] == position else "" for position, (major, _) in enumerate(names)]
    heads = [*_upright(majors), *_upright([minor for _, minor in names])]
    lines = [_heading(picture)]
    if above:
        lines.append("  cuDNN")
        lines += [f"  {head}".rstrip() for head in heads]
    else:
        lines += [f"  {'cuDNN' if line == 0 else '':<{beside}}{head}".rstrip() for line, head in enumerate(heads)]
    for lane in picture.lanes:
        lines.append(lane.title if lane.bars else f"{lane.title}: no build for {title(picture.accelerator)}")
        for bar in lane.bars:
            cells = "".join(_CELLS[cell] for cell in bar.cells)
            mark = "*" if bar.chosen else " "
            if above:
                lines += [f"{mark} {label(bar)}  {bar.range}".rstrip(), f"  {cells}".rstrip()]
            else:
                lines.append(f"{mark} {label(bar):<{beside}}{cells}  {bar.range}".rstrip())
    if picture.chosen is not None:
        lines.append(f"  {before}{' ' * picture.chosen}^")
    lines += picture.notes
    return "\n".join(lines)


def _upright(names: Sequence[str]) -> list[str]:
    """Names side by side, each from top to bottom."""
    tall = max(map(len, names), default=0)
    return ["".join(name.rjust(tall)[line] for name in names) for line in range(tall)]


def label(bar: Bar) -> str:
    """The releases of a bar: `2.8.0`, or the first and the last of several, with the chosen one."""
    if len(bar.releases) == 1:
        return bar.releases[0]
    chosen = f" ({bar.chosen})" if bar.chosen else ""
    return f"{bar.releases[0]} - {bar.releases[-1]}{chosen}"


class _Layout(NamedTuple):
    """The measures of a drawing, in pixels.

    Attributes:
        name: the prefix of its identifiers, which differ from those of other drawings on the page.
        left: the position of the first column.
        cell: the width of a column.
        text: the height of a label above its bar; 0 if labels are beside their bars.
        bar: the height of a bar.
        axis: the size of the axis's letters.
        least: the least width of the drawing, for its text.
    """

    name: str
    left: int
    cell: float
    text: int
    bar: int
    axis: int
    least: int


_ROOM = 358
"""The width between the margins of a page on a phone."""

_LETTER = 6.4
"""The mean width of a letter, rather too large than too small."""

_HEAD = 82
_MARGIN = 8
_LINE = 17
_KEYS = (
    ("every", "works with every release of the column"),
    ("some", "works with a part of the column"),
    ("chosen every", "the newest releases that work together (★)"),
    ("decisive", "what they share: the cuDNN in the frame"),
)


def _broad(picture: Overlap) -> _Layout:
    return _Layout(picture.accelerator.name, 230, 26, 0, 14, 11, 640)


def _narrow(picture: Overlap) -> _Layout:
    cell = max(6.0, min(26.0, (_ROOM - 16) / max(1, len(picture.columns))))
    return _Layout(f"{picture.accelerator.name}-narrow", 8, round(cell, 2), 16, 14, 10, _ROOM)


def render_svg(picture: Overlap) -> str:
    """A picture as a self-contained SVG, which is readable on light and dark pages."""
    return _svg(picture, _broad(picture))


def render_figure(picture: Overlap) -> str:
    """A picture as part of a page: it fits a phone, with labels above their bars."""
    return render(
        "plot/figure.html.j2",
        name=html.escape(title(picture.accelerator)),
        broad=_svg(picture, _broad(picture)),
        narrow=_svg(picture, _narrow(picture)),
    )


def _svg(picture: Overlap, layout: _Layout) -> str:
    width = max(layout.least, math.ceil(layout.left + len(picture.columns) * layout.cell + 12))
    letters = int((width - 16) / _LETTER)
    rows, y = _rows(picture, layout)
    bottom = y
    lines = []
    for text in _notes(picture):
        for piece in textwrap.wrap(text, letters, subsequent_indent="\u2003"):
            y += _LINE
            lines.append({"y": y, "text": html.escape(piece)})
    legend, y = _legend(picture, width, y + 14)
    chosen = picture.chosen
    return render(
        "plot/overlap.svg.j2",
        name=html.escape(layout.name),
        accelerator=html.escape(title(picture.accelerator)),
        heading=html.escape(_heading(picture)),
        about=html.escape(_about(picture)),
        cudnn=html.escape(picture.cudnn or ""),
        frame=None
        if chosen is None
        else {"x": layout.left + chosen * layout.cell, "y": _HEAD - 1, "height": bottom - _HEAD + 2},
        columns=list(_axis(picture, layout)),
        rows=rows,
        lines=lines,
        legend=legend,
        width=width,
        height=y + 10,
        cell=layout.cell,
        bar=layout.bar,
        axis_size=layout.axis,
        top=_HEAD,
        caption=36 if layout.text else _HEAD - 6,
    )


def _heading(picture: Overlap) -> str:
    return title(picture.accelerator) + (f": together on cuDNN {picture.cudnn}" if picture.cudnn else "")


def _about(picture: Overlap) -> str:
    """A description for people who cannot see the picture: each framework's newest release, and what it shares."""
    said = [f"{lane.title} {label(bar)}: cuDNN {bar.range}" for lane in picture.lanes for bar in lane.bars]
    return f"{_heading(picture)}. {'; '.join(said)}."


def _notes(picture: Overlap) -> list[str]:
    missing = [lane.title for lane in picture.lanes if not lane.bars]
    none = [f"No build for {title(picture.accelerator)}: {', '.join(missing)}"] if missing else []
    return [*none, *picture.notes]


def _axis(picture: Overlap, layout: _Layout) -> Iterator[dict[str, object]]:
    """The names of the columns: as many as fit side by side, and always that of the frame."""
    stride = math.ceil((layout.axis + 1) / layout.cell)
    for position, column in enumerate(picture.columns):
        mine = position == picture.chosen
        beside = picture.chosen is not None and abs(position - picture.chosen) < stride
        if mine or (position % stride == 0 and not beside):
            x = layout.left + position * layout.cell + layout.cell / 2 + layout.axis * 0.35
            yield {"x": round(x, 2), "text": html.escape(column), "chosen": mine}


def _rows(picture: Overlap, layout: _Layout) -> tuple[list[dict[str, object]], int]:
    """The lanes with their bars, and the end of the last one."""
    rows: list[dict[str, object]] = []
    y = _HEAD
    for lane in picture.lanes:
        if not lane.bars:
            continue
        rows.append({"kind": "lane", "y": y + 15, "text": html.escape(lane.title)})
        y += 20
        for bar in lane.bars:
            about = f"{lane.title} {', '.join(bar.releases)}: cuDNN {bar.range} ({bar.source})"
            rows.append(
                {
                    "kind": "bar",
                    "y": y + layout.text,
                    "text_x": layout.left if layout.text else 20,
                    "text_y": y + 14,
                    "text": html.escape(label(bar)),
                    "about": html.escape(about),
                    "chosen": bar.chosen is not None,
                    "cells": [
                        {
                            "x": round(layout.left + position * layout.cell, 2),
                            "kind": "decisive" if bar.chosen is not None and position == picture.chosen else cell,
                        }
                        for position, cell in enumerate(bar.cells)
                        if cell is not None
                    ],
                }
            )
            y += layout.text + layout.bar + 6
        y += 6
    return rows, y


def _legend(picture: Overlap, width: int, y: int) -> tuple[list[dict[str, object]], int]:
    """The meaning of the marks in the picture, as many side by side as fit."""
    bars = [bar for lane in picture.lanes for bar in lane.bars]
    seen = {cell for bar in bars for cell in bar.cells}
    shown = [
        (kind, text)
        for kind, text in _KEYS
        if (kind in seen if kind in {EVERY, SOME} else any(bar.chosen for bar in bars))
        and (kind != "decisive" or picture.chosen is not None)
    ]
    rows: list[dict[str, object]] = []
    x = _MARGIN
    for kind, text in shown:
        wide = math.ceil(25 + len(text) * _LETTER + 16)
        if x > _MARGIN and x + wide > width:
            x, y = _MARGIN, y + 20
        rows.append({"kind": kind, "x": x, "y": y, "text": html.escape(text)})
        x += wide
    return rows, y + 12


def render_page(pictures: Sequence[Overlap]) -> str:
    """The pictures as one page."""
    return render("plot/page.html.j2", pictures=[render_figure(picture) for picture in pictures])
