"""Flags that a variable gives a compiler, and that the installed one does not know: it then ends the process."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgen import elf, files
from kgen.loader import environment

_READ_ONLY = 4
"""`p_flags` of a segment with constants: neither to be written nor to be run."""


class UnknownFlags(NamedTuple):
    """What a compiler makes nothing of.

    Attributes:
        framework: the framework that it belongs to, such as `jax`.
        variable: the variable.
        flags: the flags that it does not know, as they are written; none where it cannot read them.
        library: the file that knows all others.
        source: the file that the variable names instead of flags; empty where they stand in it.
    """

    framework: str
    variable: str
    flags: tuple[str, ...]
    library: str
    source: str = ""


def unknown(site: Path, variables: Mapping[str, str]) -> tuple[UnknownFlags, ...]:
    """What the compilers in a folder of packages would end the process for.

    Args:
        site: the folder.
        variables: of the process.
    """
    rows = environment.rows().get("flags", ())
    return tuple(one for row in rows if variables.get(row["variable"]) for one in _unknown(site, row, variables))


def _unknown(site: Path, row: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[UnknownFlags]:
    # of the parts of one framework each may have some: TensorFlow's have the whole list once, and not in the first
    libraries = [path for name in row["files"] if _has(path := site / name, [row["knows"]])]
    if not libraries:
        return
    library = libraries[0]
    text, source = variables[row["variable"]], ""
    if not text.lstrip().startswith("-"):
        source = text
        try:
            text = files.read_text(Path(source), errors="replace")
        except OSError:
            yield UnknownFlags(row["name"], row["variable"], (), str(library), source)
            return
    # of words that are no flags it takes no notice
    words = [word for word in _words(text) if word.startswith("-")]
    names = {word: word.removeprefix("--").partition("=")[0] for word in words}
    there = {name for one in libraries for name in _has(one, sorted({*names.values()}))}
    lost = tuple(word for word, name in names.items() if not word.startswith("--") or name not in there)
    if lost:
        yield UnknownFlags(row["name"], row["variable"], lost, str(library), source)


def _words(text: str) -> Sequence[str]:
    """Words between blanks; in quotes behind `=` they may have some."""
    return re.findall(r"""(?:[^\s=]+=)(?:"[^"]*"|'[^']*')|\S+""", text)


def _has(path: Path, names: Sequence[str]) -> set[str]:
    """Which of the names are among the constants of a library, each to its end; linkers share the ends of texts."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            places = _constants(content)
            return {
                name
                for name in names
                if name and any(content.find(name.encode() + b"\0", begin, end) >= 0 for begin, end in places)
            }
    except (OSError, ValueError):
        return set()


def _constants(content: mmap.mmap) -> list[tuple[int, int]]:
    """The parts of a file that hold constants; the whole of one that does not say."""
    try:
        parts = elf.segments(content[: elf.HEADER_SIZE], lambda place, size: content[place : place + size])
    except (ValueError, struct.error):
        parts = []
    found = [(one.offset, one.offset + one.size) for one in parts if one.kind == elf.LOAD and one.flags == _READ_ONLY]
    return found or [(0, len(content))]
