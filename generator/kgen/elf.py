"""ELF files of 64-bit little-endian machines: their parts, as the loader finds them, and what they need from it.

The names that a file needs are in its dynamic section. Libraries that read it need the section headers at the very end.
The loader itself uses the program headers at the beginning, so a file can be read while it is decompressed, and reading
can stop as soon as the section and its strings are available.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from kgen.model import grammar

MAGIC = b"\x7fELF"
WIDE, LITTLE = 2, 1
"""`EI_CLASS` and `EI_DATA` of the files that kgen reads."""

HEADER_SIZE = 64
LOAD, DYNAMIC, INTERPRETER = 1, 2, 3
"""Values of a segment's `p_type`."""

NEEDED, STRINGS, STRINGS_SIZE, SONAME = 1, 5, 10, 14
"""Tags of the dynamic section that every reader uses."""

_END = 0
_PROGRAM_HEADERS_AT = struct.Struct("<32xQ")
_PROGRAM_HEADERS = struct.Struct("<54xHH")
_SEGMENT = struct.Struct("<IIQQ8xQ16x")
_ENTRY = struct.Struct("<QQ")
_MOST_SEGMENTS = 512
"""More segments than any linker writes: a damaged file must not keep kgen busy."""

_OURS = MAGIC + bytes((WIDE, LITTLE))
_MOST = 512
"""The largest number of names that are kept for a file; the largest known file needs about forty."""

_VERSIONED = re.compile(rb"\0(%b)(?=\0)" % grammar.SONAME.encode())
"""A soname with its version, as in code that calls dlopen."""


class Needs(NamedTuple):
    """What a compiled file needs.

    Attributes:
        needed: libraries that the loader must find before the file can be used.
        loaded: sonames among its constants, which it may open itself; known even if the file was not read to its end.
    """

    needed: tuple[str, ...]
    loaded: tuple[str, ...]


class Segment(NamedTuple):
    """A segment of a file.

    Attributes:
        kind: `p_type`.
        flags: `p_flags`.
        offset: its offset in the file.
        address: the address at which the loader maps it.
        size: its size in the file.
    """

    kind: int
    flags: int
    offset: int
    address: int
    size: int


class _TooShortError(Exception):
    """The bytes read so far do not extend that far."""


def segments(header: bytes, at: Callable[[int, int], bytes]) -> list[Segment]:
    """The segments of a file, in the order of its program headers.

    Args:
        header: its first `HEADER_SIZE` bytes.
        at: returns bytes of the file, given an offset and a number.

    Raises:
        ValueError: the program headers are invalid.
        struct.error: they are truncated.
    """
    (place,) = _PROGRAM_HEADERS_AT.unpack_from(header)
    size, count = _PROGRAM_HEADERS.unpack_from(header)
    if size != _SEGMENT.size or count > _MOST_SEGMENTS:
        raise ValueError("its program headers make no sense")
    return [Segment(*row) for row in _SEGMENT.iter_unpack(at(place, size * count))]


def tags(section: bytes) -> list[tuple[int, int]]:
    """The entries of a dynamic section before its end: tag and value."""
    found = []
    for tag, value in _ENTRY.iter_unpack(section[: len(section) // _ENTRY.size * _ENTRY.size]):
        if tag == _END:
            break
        found.append((tag, value))
    return found


def offset_of(address: int, parts: Iterable[Segment]) -> int | None:
    """The offset of an address in the file; None if no loaded segment contains it."""
    for part in parts:
        if part.kind == LOAD and part.address <= address < part.address + part.size:
            return address - part.address + part.offset
    return None


def needs(pieces: Iterable[bytes], *, limit: int) -> Needs | None:
    """What the file in these pieces needs; None if it is damaged, or not an ELF file for a target that kgen supports.

    Args:
        pieces: its content; only read as far as necessary.
        limit: bytes after which reading ends; what was found so far is in `loaded`.
    """
    held = bytearray()
    needed: tuple[str, ...] | None = None
    own = ""
    for piece in pieces:
        held += piece
        if len(held) >= len(_OURS) and not held.startswith(_OURS):
            return None
        try:
            needed, own = _dynamic(held)
        except _TooShortError:
            if len(held) < limit:
                continue
        except (struct.error, ValueError):
            return None
        break
    else:
        return None
    constants = dict.fromkeys(match.decode() for match in _VERSIONED.findall(held))
    loaded = [name for name in constants if name != own and name not in (needed or ())]
    return Needs(needed or (), tuple(loaded[:_MOST]))


def _dynamic(held: bytearray) -> tuple[tuple[str, ...], str]:
    """The sonames that a file needs, and its own.

    Raises:
        _TooShortError: the bytes read so far do not extend that far.
        ValueError: it contradicts itself.
        struct.error: likewise.
    """

    def at(offset: int, size: int) -> bytes:
        if len(held) < offset + size:
            raise _TooShortError
        return bytes(held[offset : offset + size])

    parts = segments(at(0, HEADER_SIZE), at)
    section = next((part for part in parts if part.kind == DYNAMIC), None)
    if section is None:
        return (), ""
    entries = tags(at(section.offset, section.size))
    values = dict(entries)
    if STRINGS not in values:
        return (), ""
    begin = offset_of(values[STRINGS], parts)
    if begin is None:
        raise ValueError("its strings are in no part of it that is loaded")
    strings = at(begin, values.get(STRINGS_SIZE, 0))

    def text(position: int) -> str:
        return strings[position:].partition(b"\0")[0].decode(errors="replace")

    names = dict.fromkeys(text(value) for tag, value in entries if tag == NEEDED)
    return tuple(names)[:_MOST], text(values[SONAME]) if SONAME in values else ""
