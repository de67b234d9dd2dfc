"""How kgen talks: data on stdout, all else on stderr; colour and movement only where a terminal wants them.

What a lock, an index or a program has said may be in any text, so all of it passes :func:`plain`. Programs for a shell,
and exports, go out as they are (:func:`program`): their makers have quoted each value.
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
    """Print talk on stderr, folded to the terminal where that is one."""
    _write(sys.stderr, _fitted(plain(text), columns(sys.stderr)) + "\n")


def result(text: str) -> None:
    """Print a result for people on stdout, folded to the terminal where that is one."""
    _write(sys.stdout, _fitted(plain(text), columns()) + "\n")


def program(text: str) -> None:
    """Print what another program reads on stdout, byte for byte; paths that are no UTF-8 included."""
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
    """Sees all that was printed to its end; gives the exit status, which is another one where a result was lost.

    A reader that has gone, or a stream that was closed from the start, is not a fault: the user wanted it so.
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
    """Prints; where that is impossible, the command goes on to its end, and :func:`finished` tells of it."""
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
"""How Python words it."""


def bug(fault: BaseException, words: Sequence[str], *, debug: bool) -> ExitStatus:
    """Print an unforeseen fault, and where to report it; gives what kgen ends with."""
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
    """Say where there is more about an error, to who reads it as it comes up.

    Elsewhere an error ends with its hints: scripts take the last line for the next command.
    """
    if is_terminal(sys.stderr):
        say(f"\nmore: kgen help {code}")


_online: list[str] = []
"""The call that is answered, as it is typed where there is a network; nothing where it may use one already."""


def called(words: Sequence[str], *, offline: bool) -> None:
    """Note the call that is answered: a hint may repeat it.

    Args:
        words: the words behind the program, without those that every command has.
        offline: whether that flag was among them.
    """
    without = f"env -u {OFFLINE} " if is_offline() else ""
    _online[:] = [f"{without}{shlex.join(['kgen', *words])}   # where there is a network"] if offline or without else []


def hints(texts: Iterable[str]) -> None:
    """Print hints, set apart by a blank line."""
    listed = list(dict.fromkeys(_online[0] if one == WITH_A_NETWORK and _online else one for one in texts))
    if listed:
        say("")
    for text in listed:
        # one line each: a second one would be taken for another command
        say(f"hint: {printable(text)}")


_GAP = "  "
"""What is between two columns."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, room: int | None = None) -> str:
    """Columns of text, aligned.

    Where they are printed on a terminal they are no wider than it: cells are folded between their words, and where
    that is not enough each row becomes a paragraph. Elsewhere a row is one line, for logs and `grep`.

    Args:
        headings: what is above each column.
        rows: the cells of each row.
        room: so many characters a line may have; 0 for as many as it takes, None for those of the terminal.
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
    """How wide the terminal is that results, or what a stream has, are printed on; 0 where it is none."""
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
"""The width of a terminal that does not say how wide it is."""

_TO_PASTE = re.compile(r"\s*(?:(?:hint|fix): *|next: (?=kgen ))(?P<command>)")
"""What is before a command: folded, it could not be pasted."""

_COMMENT = "   # "
"""What is between a command and what it does."""

_WORDS = re.compile(r"`[^`]*`\S*|\S+")
"""What stays on one line: a word, or a command that is quoted."""


def _fitted(text: str, room: int) -> str:
    """The text with lines that are wider than the room folded between words, each aligned with its last column."""
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
    # all up to the last column stands as it is
    return filled(
        words_of(line[gaps[-1] if gaps else start :]),
        room,
        before=line[: gaps[-1] if gaps else start],
        indent=gaps[-1] if gaps else start + len(_GAP),
    )


def words_of(text: str) -> list[str]:
    """What a line may end after: a word, hyphens and all, or a command in backquotes."""
    return _WORDS.findall(text)


def filled(pieces: Iterable[str], room: int, *, before: str = "", indent: int = 0, going_on: str = "") -> str:
    """Lines made of these pieces, each whole on one line.

    Args:
        pieces: what stands on one line each.
        room: so many characters a line may have, where its pieces let it.
        before: how the first line begins.
        indent: so many spaces begin the others.
        going_on: how a line ends that another follows.
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
    """The widths of columns that fit; always the widest that can still give has given."""
    narrow = list(widths)
    while _width(narrow) > room:
        widest = max((at for at in range(len(narrow)) if narrow[at] > least[at]), key=narrow.__getitem__)
        narrow[widest] -= 1
    return narrow


def _folded(row: Sequence[str], widths: Sequence[int], pieces: Callable[[str], list[str]]) -> list[str]:
    """The lines of a row whose cells are folded between these pieces."""
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
    """A row that no table has room for: its first cell, and below it what each other column says."""
    import textwrap  # noqa: PLC0415 - as above

    pairs = [_items(f"{heading} {cell}") for heading, cell in zip(headings[1:], row[1:], strict=True) if cell]
    # an item is not torn where a line can hold it: textwrap does not break at this space
    whole = "; ".join(
        " ".join(one.replace(" ", "\xa0") if len(one) < room // 2 else one for one in pair) for pair in pairs
    )
    lines = textwrap.wrap(
        whole, room, initial_indent=_GAP, subsequent_indent=_GAP, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join([row[0], *(line.replace("\xa0", " ") for line in lines)])
