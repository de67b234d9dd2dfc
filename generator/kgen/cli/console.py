"""How kgen talks: data on stdout, all else on stderr; colour and movement only where a terminal wants them.

What a lock, an index or a program has said may be in any text, so all of it passes :func:`plain`. Programs for a shell,
and exports, go out as they are (:func:`program`): whoever made them has quoted each value.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from kgen.errors import ExitStatus, KgenError, OutsideError
from kgen.model.grammar import printable

_SHOWN = 400


def data(value: object) -> None:
    """Print a result as JSON on stdout."""
    import json  # noqa: PLC0415 - only who wants data pays for it

    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not text.replace("\n", " ").isprintable():
        # JSON leaves DEL, the second set of control characters and what turns the direction of text as they are
        text = "".join(one if one.isprintable() or one == "\n" else _json_escape(one) for one in text)
    _write(sys.stdout, text + "\n")


def _json_escape(character: str) -> str:
    import json  # noqa: PLC0415 - as above

    return json.dumps(character, ensure_ascii=True)[1:-1]


def plain(text: str) -> str:
    """The text with everything but the ends of its lines escaped that would steer a terminal."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str) -> None:
    """Print talk on stderr."""
    _write(sys.stderr, plain(text) + "\n")


def result(text: str) -> None:
    """Print a result for people on stdout."""
    _write(sys.stdout, plain(text) + "\n")


def program(text: str) -> None:
    """Print what another program reads on stdout, byte for byte; paths that are no UTF-8 included."""
    stream: TextIO | None = sys.stdout
    if stream is None:  # it was closed before kgen was started
        return
    try:
        stream.flush()
        stream.buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
        stream.buffer.flush()
    except OSError as fault:
        _lose(stream, fault)
    except ValueError:  # it was closed meanwhile
        return


def finished(status: int) -> int:
    """Sees all that was printed to its end; gives the exit status, which is another one where a result was lost.

    That nobody reads any more, or that a stream was closed from the start, is no fault: it is what was wished for.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(ValueError):
                try:
                    stream.flush()
                except OSError as fault:
                    _lose(stream, fault)
    if _lost and status == ExitStatus.DONE:
        error(OutsideError(f"the result could not be printed: {_lost[0].strerror or _lost[0]}"))
        return ExitStatus.OUTSIDE
    return status


_lost: list[OSError] = []


def _write(stream: TextIO | None, text: str) -> None:
    """Prints; where that is impossible, the command goes on to its end, and :func:`finished` tells of it."""
    if stream is None:  # it was closed before kgen was started
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # paths that are no text in this encoding
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding, "replace"))
    except OSError as fault:
        _lose(stream, fault)
    except ValueError:  # it was closed meanwhile
        return


def _lose(stream: TextIO, fault: OSError) -> None:
    if stream is sys.stdout and not isinstance(fault, BrokenPipeError):
        _lost.append(fault)
    # What is in the buffer would fail again, and again at the end of the process.
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def bug(fault: BaseException, words: Sequence[str], *, debug: bool) -> None:
    """Print what is said of a fault that nobody has foreseen, and to whom to tell it."""
    import shlex  # noqa: PLC0415 - only a bug pays for it
    import traceback  # noqa: PLC0415

    if debug:
        for line in "".join(traceback.format_exception(fault)).splitlines():
            say(printable(line))
    what = printable(" ".join(str(fault).split())[:_SHOWN])
    say(f"error: a bug in kgen: {type(fault).__name__}{': ' if what else ''}{what}")
    again = printable(shlex.join(["kgen", *words[:1], "--debug", *words[1:]]))
    hints(
        [
            "report it to the authors of kgen with all that is above"
            if debug
            else f"report it with the output of: {again}"
        ]
    )


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


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, aligned, as wide as they need to be: also readable in a log and by `grep`."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    )
