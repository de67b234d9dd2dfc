"""What a compiled file of Linux asks the loader for, read while it is inflated.

The names stand in its dynamic section. Libraries that read it want the section headers, at the very end; what the
loader itself goes by is the program headers, at the beginning, so reading can stop as soon as the section and its
strings are there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kgen.model import grammar

_HEADER = struct.Struct("<16sHHIQQQIHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<qQ")
_LOAD, _DYNAMIC = 1, 2
_END, _NEEDED, _STRINGS, _LENGTH, _OWN_NAME = 0, 1, 5, 10, 14
_ELF_64_LITTLE = b"\x7fELF\x02\x01"

_MOST = 512
"""Names that are kept of one file; the largest known asks for some forty."""

_SONAME = re.compile(rb"\0(%b)(?=\0)" % grammar.SONAME.encode())
"""A soname with its version, as code has it that calls dlopen."""


class Needs(NamedTuple):
    """What a compiled file needs.

    Attributes:
        needed: what the loader must find before the file can be used.
        loaded: sonames among its constants, which it may open by itself; what an incomplete reading has, too.
    """

    needed: tuple[str, ...]
    loaded: tuple[str, ...]


class _Segment(NamedTuple):
    offset: int
    address: int
    size: int


def needs(pieces: Iterable[bytes], *, limit: int) -> Needs | None:
    """What the file in these pieces needs; None if it is no ELF file of a target of kgen's, or a damaged one.

    Args:
        pieces: its content; no more is read than is necessary.
        limit: bytes after which reading ends; what was read until then is `loaded`.
    """
    held = bytearray()
    needed: tuple[str, ...] | None = None
    own = ""
    for piece in pieces:
        held += piece
        if len(held) >= len(_ELF_64_LITTLE) and not held.startswith(_ELF_64_LITTLE):
            return None
        try:
            found = _dynamic(held)
        except (struct.error, ValueError):
            return None
        if found is not None:
            needed, own = found
            break
        if len(held) >= limit:
            break
    else:
        return None
    constants = dict.fromkeys(match.decode() for match in _SONAME.findall(held))
    loaded = [name for name in constants if name != own and name not in (needed or ())]
    return Needs(needed or (), tuple(loaded[:_MOST]))


def _dynamic(held: bytearray) -> tuple[tuple[str, ...], str] | None:  # noqa: PLR0911 - each for want of other bytes
    """The sonames that a file needs and its own; None if the bytes at hand do not reach that far.

    Raises:
        ValueError: it contradicts itself.
        struct.error: the same.
    """
    if len(held) < _HEADER.size:
        return None
    fields = _HEADER.unpack_from(held)
    start, width, count = fields[5], fields[9], fields[10]
    if width != _SEGMENT.size:
        raise ValueError("its program headers have another size")
    if len(held) < start + width * count:
        return None
    segments: dict[int, list[_Segment]] = {}
    for index in range(count):
        kind, _, offset, address, _, size, _, _ = _SEGMENT.unpack_from(held, start + index * width)
        segments.setdefault(kind, []).append(_Segment(offset, address, size))
    if _DYNAMIC not in segments:
        return (), ""
    section = segments[_DYNAMIC][0]
    if len(held) < section.offset + section.size:
        return None
    entries = list(_entries(held, section))
    values = dict(entries)
    if _STRINGS not in values:
        return (), ""
    begin = _offset(values[_STRINGS], segments.get(_LOAD, ()))
    end = begin + values.get(_LENGTH, 0)
    if len(held) < end:
        return None

    def text(position: int) -> str:
        stop = held.find(0, begin + position, end)
        return held[begin + position : end if stop < 0 else stop].decode(errors="replace")

    names = dict.fromkeys(text(value) for tag, value in entries if tag == _NEEDED)
    return tuple(names)[:_MOST], text(values[_OWN_NAME]) if _OWN_NAME in values else ""


def _entries(held: bytearray, section: _Segment) -> Iterator[tuple[int, int]]:
    for position in range(section.offset, section.offset + section.size - _ENTRY.size + 1, _ENTRY.size):
        tag, value = _ENTRY.unpack_from(held, position)
        if tag == _END:
            return
        yield tag, value


def _offset(address: int, loaded: Iterable[_Segment]) -> int:
    """Where in the file an address is."""
    for segment in loaded:
        if segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise ValueError("its strings are in no part of it that is loaded")
