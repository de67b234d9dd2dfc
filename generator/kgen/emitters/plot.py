"""The picture of which framework releases share a cuDNN: as text, as SVG, as a page."""

from __future__ import annotations

import html
from collections.abc import Sequence

from kgen.accelerators import title
from kgen.solver.overlap import EVERY, Bar, Overlap
from kgen.templates import render

_CELLS = {None: "·", EVERY: "█", "some": "▒"}
_LABEL, _CELL, _ROW, _TOP = 230, 26, 20, 46
"""Measures of the drawing, in pixels."""


def render_text(pictures: Sequence[Overlap]) -> str:
    """The pictures as rows of characters: █ every cuDNN of the column, ▒ a part of them."""
    return "\n\n".join(map(_text, pictures))


def _text(picture: Overlap) -> str:
    """A character for each column, its name above it from top to bottom, so that it fits a terminal."""
    labels = [label(bar) for lane in picture.lanes for bar in lane.bars]
    width = max(map(len, [*labels, "cuDNN"])) + 2
    names = [column.split(".") for column in picture.columns]
    firsts = {major: position for position, (major, _) in reversed([*enumerate(names)])}
    majors = [major if firsts[major] == position else "" for position, (major, _) in enumerate(names)]
    heads = [*_upright(majors), *_upright([minor for _, minor in names])]
    lines = [title(picture.accelerator) + (f": together on cuDNN {picture.cudnn}" if picture.cudnn else "")]
    lines += [f"  {'cuDNN' if line == 0 else '':<{width}}{head}".rstrip() for line, head in enumerate(heads)]
    for lane in picture.lanes:
        lines.append(lane.title if lane.bars else f"{lane.title}: no build for {title(picture.accelerator)}")
        for bar in lane.bars:
            cells = "".join(_CELLS[cell] for cell in bar.cells)
            mark = "*" if bar.chosen else " "
            lines.append(f"{mark} {label(bar):<{width}}{cells}  {bar.range}".rstrip())
    if picture.chosen is not None:
        lines.append(f"  {'':<{width}}{' ' * picture.chosen}^")
    return "\n".join(lines)


def _upright(names: Sequence[str]) -> list[str]:
    """Names side by side, each from top to bottom."""
    tall = max(map(len, names), default=0)
    return ["".join(name.rjust(tall)[line] for name in names) for line in range(tall)]


def label(bar: Bar) -> str:
    """The releases of a bar: `2.8.0`, or the first and the last of several, and which of them is chosen."""
    if len(bar.releases) == 1:
        return bar.releases[0]
    chosen = f" ({bar.chosen})" if bar.chosen else ""
    return f"{bar.releases[0]} - {bar.releases[-1]}{chosen}"


def render_svg(picture: Overlap) -> str:
    """A picture as SVG, which needs nothing from outside and is read in light and in dark."""
    rows: list[dict[str, object]] = []
    y = _TOP
    for lane in picture.lanes:
        note = "" if lane.bars else f": no build for {title(picture.accelerator)}"
        rows.append({"kind": "lane", "y": y + 14, "text": html.escape(lane.title + note)})
        y += _ROW
        for bar in lane.bars:
            cells = [
                {"x": _LABEL + position * _CELL, "whole": cell == EVERY}
                for position, cell in enumerate(bar.cells)
                if cell is not None
            ]
            about = f"{lane.title} {', '.join(bar.releases)}: cuDNN {bar.range} ({bar.source})"
            rows.append(
                {
                    "kind": "bar",
                    "y": y,
                    "text": html.escape(label(bar)),
                    "about": html.escape(about),
                    "chosen": bar.chosen is not None,
                    "cells": cells,
                }
            )
            y += _ROW
        y += 6
    return render(
        "plot/overlap.svg.j2",
        name=html.escape(picture.accelerator.name),
        accelerator=html.escape(title(picture.accelerator)),
        cudnn=html.escape(picture.cudnn or ""),
        chosen=None if picture.chosen is None else _LABEL + picture.chosen * _CELL,
        columns=[
            {"x": _LABEL + position * _CELL + _CELL / 2, "text": html.escape(column)}
            for position, column in enumerate(picture.columns)
        ],
        rows=rows,
        width=_LABEL + len(picture.columns) * _CELL + 12,
        height=y + 8,
        cell=_CELL,
        row_height=_ROW,
        top=_TOP,
    )


def render_page(pictures: Sequence[Overlap]) -> str:
    """The pictures as one page."""
    return render("plot/page.html.j2", pictures=[render_svg(picture) for picture in pictures])
