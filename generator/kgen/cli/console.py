"""How kgen talks: data on stdout, all else on stderr; colour and movement only where a terminal wants them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from kgen.errors import KgenError

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000


def data(value: object) -> None:
    """Print a result as JSON on stdout."""
    import json  # noqa: PLC0415 - only who wants data pays for it

    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """Print talk on stderr."""
    sys.stderr.write(text + "\n")


def result(text: str) -> None:
    """Print a result for people on stdout."""
    sys.stdout.write(text + "\n")


def error(fault: KgenError) -> None:
    """Print an error and, after a blank line, its hints."""
    say(f"error: {fault.message}")
    hints(fault.hints)


def hints(texts: Iterable[str]) -> None:
    """Print hints, set apart by a blank line."""
    listed = list(dict.fromkeys(texts))
    if listed:
        say("")
    for text in listed:
        say(f"hint: {text}")


def size(count: int | None) -> str:
    """Bytes as people read them: `3.28 GB`; `?` if unknown."""
    if count is None:
        return "?"
    value = float(count)
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit in _UNITS[:2] else f"{value:.3g} {unit}"
        value /= _STEP
    return ""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, aligned, as wide as they need to be: also readable in a log and by `grep`."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    )
