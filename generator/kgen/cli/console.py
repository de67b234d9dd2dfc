"""kgen's output: data on stdout, everything else on stderr, colour and progress only on a terminal.

Text from a lock, an index or a program may contain anything, so all of it passes through :func:`plain`. Shell code and
exports are printed unchanged (:func:`program`), because each value in them is quoted already.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from kgen import replay
from kgen.errors import BUG_CODE, WITH_A_NETWORK, ExitStatus, FileError, KgenError
from kgen.host import OFFLINE, is_offline, is_terminal, variable
from kgen.model.grammar import printable

_SHOWN = 400


def data(value: object) -> None:
    """Print a result as JSON on stdout."""
    import json  # noqa: PLC0415 - only who wants data pays for it

    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not text.replace("\n", " ").isprintable():
        # JSON does not escape DEL, C1 control characters, and characters that change the direction of text
        text = "".join(one if one.isprintable() or one == "\n" else _json_escape(one) for one in text)
    _write(sys.stdout, text + "\n")


def _json_escape(character: str) -> str:
    import json  # noqa: PLC0415 - as above

    return json.dumps(character, ensure_ascii=True)[1:-1]


def plain(text: str) -> str:
    """The text with everything escaped that would control a terminal, except line ends."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str) -> None:
    """Print a message on stderr, wrapped if that is a terminal."""
    _write(sys.stderr, _fitted(plain(text), columns(sys.stderr)) + "\n")


def result(text: str) -> None:
    """Print a result for people on stdout, wrapped if that is a terminal."""
    _write(sys.stdout, _fitted(plain(text), columns()) + "\n")


def program(text: str) -> None:
    """Print input for another program on stdout, byte for byte, including paths that are not UTF-8."""
    stream: TextIO | None = sys.stdout
    if stream is None:  # it was closed before kgen was started
        return
    try:
        replay.forget()  # bytes, which may be no text
        stream.flush()
        stream.buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
        stream.buffer.flush()
    except OSError as fault:
        _lose(stream, fault)
    except ValueError:  # it was closed meanwhile
        return


def finished(status: int) -> int:
    """Flush all output; returns the exit status, which changes if a result could not be printed.

    It is not an error if the reader has gone, or if a stream was closed from the start: that is what the user wanted.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(ValueError):
                try:
                    stream.flush()
                except OSError as fault:
                    _lose(stream, fault)
    if _lost and status == ExitStatus.DONE:
        error(FileError(f"the result could not be printed: {_lost[0].strerror or _lost[0]}"))
        return ExitStatus.OUTSIDE
    return status


_lost: list[OSError] = []


def _write(stream: TextIO | None, text: str) -> None:
    """Print; if that fails, the command continues, and :func:`finished` reports it."""
    if stream is None:  # it was closed before kgen was started
        return
    replay.told(stream, text)
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


_NO_THREAD = "can't start new thread"
"""Python's message for it."""


def bug(fault: BaseException, words: Sequence[str], *, debug: bool) -> ExitStatus:
    """Print an unexpected error, and where to report it; returns the exit status."""
    import shlex  # noqa: PLC0415 - only a bug pays for it
    import traceback  # noqa: PLC0415

    from kgen import limits, pythonpath  # noqa: PLC0415

    if debug:
        for line in "".join(traceback.format_exception(fault)).splitlines():
            say(printable(line))
    what = printable(" ".join(str(fault).split())[:_SHOWN])
    hiding = pythonpath.hiding()
    if hiding and isinstance(fault, (ImportError, AttributeError)):
        say(f"error: PYTHONPATH has a module called like Python's own: {printable(hiding)}")
        hints(["unset PYTHONPATH"])
        return ExitStatus.OUTSIDE
    if str(fault) == _NO_THREAD:
        say(f"error: {limits.why_no_thread()}: kgen needs some, and so does every framework")
        hints([limits.more_threads()])
        return ExitStatus.OUTSIDE
    say(f"error: a bug in kgen: {type(fault).__name__}{': ' if what else ''}{what}")
    again = printable(shlex.join(["kgen", *words[:1], "--debug", *words[1:]]))
    hints(
        [
            "report it to the authors of kgen with all that is above"
            if debug
            else f"report it with the output of: {again}"
        ]
    )
    more(BUG_CODE)
    return ExitStatus.BUG


def error(fault: KgenError) -> None:
    """Print an error and, after a blank line, its hints."""
    say(f"error: {fault.message}")
    hints(fault.hints)
    more(fault.code)


def more(code: str) -> None:
    """Mention the page about an error, on a terminal.

    Elsewhere an error ends with its hints, because scripts take the last line for the next command.
    """
    if is_terminal(sys.stderr):
        say(f"\nmore: kgen help {code}")


_online: list[str] = []
"""The call that is answered, as it is typed where there is a network; nothing where it may use one already."""


def called(words: Sequence[str], *, offline: bool) -> None:
    """Store the call, which a hint may repeat.

    Args:
        words: the words after the program, without those that every command has.
        offline: whether that flag was among them.
    """
    without = f"env -u {OFFLINE} " if is_offline() else ""
    _online[:] = [f"{without}{shlex.join(['kgen', *words])}   # where there is a network"] if offline or without else []


def hints(texts: Iterable[str]) -> None:
    """Print hints, separated by a blank line."""
    listed = list(dict.fromkeys(_online[0] if one == WITH_A_NETWORK and _online else one for one in texts))
    if listed:
        say("")
    for text in listed:
        # one line each: a second one would look like another command
        say(f"hint: {printable(text)}")


_GAP = "  "
"""The separator of columns."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, room: int | None = None) -> str:
    """Aligned columns of text.

    On a terminal, the table fits its width: cells are wrapped between words, and if that is not enough, each row
    becomes a paragraph. Elsewhere each row is one line, for logs and `grep`.

    Args:
        headings: the heading of each column.
        rows: the cells of each row.
        room: the largest number of characters in a line; 0 for no limit, None for the width of the terminal.
    """
    room = columns() if room is None else room
    lines = [headings, *rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(headings))]
    if not room or _width(widths) <= room:
        return "\n".join(_aligned(row, widths) for row in lines)
    for pieces in (_items, str.split):
        least = [max(len(piece) for row in lines for piece in (pieces(row[at]) or [""])) for at in range(len(widths))]
        if _width(least) <= room:
            narrow = _narrowed(widths, least, room)
            return "\n".join(line for row in lines for line in _folded(row, narrow, pieces))
    return "\n".join(_paragraph(headings, row, room) for row in rows)


def columns(stream: TextIO | None = None) -> int:
    """The width of the terminal that results, or a stream, are printed on; 0 if it is not a terminal."""
    stream = sys.stdout if stream is None else stream
    if not is_terminal(stream):
        return 0
    asked = variable("COLUMNS") or ""
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    except (OSError, ValueError):
        return _USUAL


_USUAL = 80
"""The assumed width of a terminal that does not report it."""

_TO_PASTE = re.compile(r"\s*(?:(?:hint|fix): *|next: (?=kgen ))(?P<command>)")
"""What precedes a command; if the command were wrapped, it could not be pasted."""

_COMMENT = "   # "
"""The separator between a command and what it does."""

_WORDS = re.compile(r"`[^`]*`\S*|\S+")
"""What stays on one line: a word, or a quoted command."""


def _fitted(text: str, room: int) -> str:
    """The text with overlong lines wrapped between words, each aligned with its last column."""
    if not room:
        return text
    return "\n".join(line if len(line) <= room else _narrow(line, room) for line in text.split("\n"))


def _narrow(line: str, room: int) -> str:
    to_paste = _TO_PASTE.match(line)
    if to_paste is None:
        return _hanging(line, room)
    command, mark, comment = line.partition(_COMMENT)
    if not mark:
        return line
    # which a shell leaves out, wherever it stands
    before = f"{' ' * to_paste.start('command')}# "
    lines = filled(words_of(comment), room - len(before)).split("\n")
    return "\n".join([command, *(f"{before}{one}" for one in lines)])


def _hanging(line: str, room: int) -> str:
    start = len(line) - len(line.lstrip())
    gaps = [gap.end() for gap in re.finditer(r"(?<=\S) {2,}(?=\S)", line) if gap.end() <= room // 2]
    # everything before the last column stays as it is
    return filled(
        words_of(line[gaps[-1] if gaps else start :]),
        room,
        before=line[: gaps[-1] if gaps else start],
        indent=gaps[-1] if gaps else start + len(_GAP),
    )


def words_of(text: str) -> list[str]:
    """The parts between which a line may be wrapped: words, including hyphens, and commands in backquotes."""
    return _WORDS.findall(text)


def filled(pieces: Iterable[str], room: int, *, before: str = "", indent: int = 0, going_on: str = "") -> str:
    """Lines made from these pieces, none of which is split.

    Args:
        pieces: the pieces.
        room: the largest number of characters in a line, unless a piece is longer.
        before: the beginning of the first line.
        indent: the indentation of the other lines.
        going_on: the end of every line but the last.
    """
    lines, empty = [before], True
    for piece in pieces:
        longer = f"{lines[-1]}{'' if empty else ' '}{piece}"
        if empty or len(longer) + len(going_on) <= room:
            lines[-1] = longer
        else:
            lines.append(f"{' ' * indent}{piece}")
        empty = False
    return f"{going_on}\n".join(lines)


def _width(columns: Sequence[int]) -> int:
    return sum(columns) + len(_GAP) * (len(columns) - 1)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _items(cell: str) -> list[str]:
    """The items of a list in a cell, each with its comma."""
    *ahead, last = cell.split(", ")
    return [*(f"{item}," for item in ahead), last]


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Column widths that fit; the widest column that can shrink shrinks first."""
    narrow = list(widths)
    while _width(narrow) > room:
        widest = max((at for at in range(len(narrow)) if narrow[at] > least[at]), key=narrow.__getitem__)
        narrow[widest] -= 1
    return narrow


def _folded(row: Sequence[str], widths: Sequence[int], pieces: Callable[[str], list[str]]) -> list[str]:
    """The lines of a row whose cells are wrapped between these pieces."""
    cells = []
    for cell, width in zip(row, widths, strict=True):
        lines = [""]
        for piece in pieces(cell):
            longer = f"{lines[-1]} {piece}".lstrip()
            if len(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
        cells.append(lines)
    height = max(map(len, cells))
    return [_aligned([lines[at] if at < len(lines) else "" for lines in cells], widths) for at in range(height)]


def _paragraph(headings: Sequence[str], row: Sequence[str], room: int) -> str:
    """A row that does not fit into a table: its first cell, and below it the other columns."""
    import textwrap  # noqa: PLC0415 - as above

    pairs = [_items(f"{heading} {cell}") for heading, cell in zip(headings[1:], row[1:], strict=True) if cell]
    # an item that fits into a line is not split: textwrap does not break at this space
    whole = "; ".join(
        " ".join(one.replace(" ", "\xa0") if len(one) < room // 2 else one for one in pair) for pair in pairs
    )
    lines = textwrap.wrap(
        whole, room, initial_indent=_GAP, subsequent_indent=_GAP, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join([row[0], *(line.replace("\xa0", " ") for line in lines)])
