"""How kgen talks: data on stdout, all else on stderr; colour and movement only where a terminal wants them.

What a lock, an index or a program has said may be in any text, so all of it passes :func:`plain`. Programs for a shell,
and exports, go out as they are (:func:`program`): whoever made them has quoted each value.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from kgen.errors import KgenError
from kgen.model.grammar import printable

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000


def data(value: object) -> None:
    """Print a result as JSON on stdout."""
    import json  # noqa: PLC0415 - only who wants data pays for it

    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not text.replace("\n", " ").isprintable():
        # JSON leaves DEL, the second set of control characters and what turns the direction of text as they are
        text = "".join(one if one.isprintable() or one == "\n" else _json_escape(one) for one in text)
    sys.stdout.write(text + "\n")


def _json_escape(character: str) -> str:
    import json  # noqa: PLC0415 - as above

    return json.dumps(character, ensure_ascii=True)[1:-1]


def plain(text: str) -> str:
    """The text with everything but the ends of its lines escaped that would steer a terminal."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str) -> None:
    """Print talk on stderr."""
    sys.stderr.write(plain(text) + "\n")


def result(text: str) -> None:
    """Print a result for people on stdout."""
    sys.stdout.write(plain(text) + "\n")


def program(text: str) -> None:
    """Print what another program reads on stdout, byte for byte; paths that are no UTF-8 included."""
    sys.stdout.flush()
    sys.stdout.buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


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
        # one line each: a second one would be taken for another command
        say(f"hint: {printable(text)}")


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
