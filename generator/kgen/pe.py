"""What a compiled Windows file needs from the loader, read while it is decompressed.

The names are in its import tables. Libraries that read those need the whole file. Its headers, at the beginning, say
where the tables are, so reading can stop as soon as the tables and their strings are available.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kgen.elf import Needs
from kgen.model import grammar

_DOS, _SIGNATURE, _PLUS, _AMD64 = b"MZ", b"PE\0\0", 0x20B, 0x8664
_WHERE = 0x3C
"""The offset of the offset of the headers."""
_COFF = struct.Struct("<HH12xH2x")
_DIRECTORY = struct.Struct("<II")
_SECTION = struct.Struct("<8xIIII16x")
_IMPORT, _DELAYED = struct.Struct("<12xI4x"), struct.Struct("<4xI24x")
_MAGIC = struct.Struct("<H")
_OFFSET = struct.Struct("<I")
_COUNT_AT, _DIRECTORIES_AT = 108, 112
_IMPORTS, _DELAYED_IMPORTS = 1, 13
_LONGEST = 260
"""The largest number of characters in a name on Windows."""

_MOST = 512
"""The largest number of names that are kept for a file."""

_LIBRARY = re.compile(rb"(?<![\w.+-])(%b)\0" % grammar.DLL.encode(), re.IGNORECASE)
_WIDE = re.compile(rb"(?:[\w.+-]\0){1,80}\.\0[dD]\0[lL]\0[lL]\0\0\0")
"""Names of libraries in code that calls LoadLibrary, in one-byte and in two-byte characters."""


class _Section(NamedTuple):
    size: int
    address: int
    stored: int
    offset: int


def needs(pieces: Iterable[bytes], *, limit: int) -> Needs | None:
    """What the file in these pieces needs; None if it is damaged, or not a library for Windows on x86-64.

    Windows ignores case, so all names are in lower case.

    Args:
        pieces: its content; only read as far as necessary.
        limit: bytes after which reading ends; what was found so far is in `loaded`.
    """
    held = bytearray()
    needed: tuple[str, ...] | None = None
    delayed: tuple[str, ...] = ()
    for piece in pieces:
        held += piece
        if len(held) >= len(_DOS) and not held.startswith(_DOS):
            return None
        try:
            found = _imported(held)
        except (struct.error, ValueError):
            return None
        if found is not None:
            needed, delayed = found
            break
        if len(held) >= limit:
            break
    else:
        return None
    constants = (match.decode("latin-1").lower() for match in _LIBRARY.findall(held))
    wide = (match.decode("utf-16-le", "replace").rstrip("\0").lower() for match in _WIDE.findall(held))
    loaded = [name for name in dict.fromkeys((*delayed, *constants, *wide)) if name not in (needed or ())]
    return Needs(needed or (), tuple(loaded[:_MOST]))


def _imported(held: bytearray) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The libraries loaded with a file, and those loaded at first use; None if the bytes read so far are too few.

    Raises:
        ValueError: it contradicts itself, or is for another machine.
        struct.error: likewise.
    """
    if len(held) < _WHERE + _OFFSET.size:
        return None
    begin = _OFFSET.unpack_from(held, _WHERE)[0]
    optional = begin + len(_SIGNATURE) + _COFF.size
    if len(held) < optional + _DIRECTORIES_AT:
        return None
    if held[begin : begin + len(_SIGNATURE)] != _SIGNATURE:
        raise ValueError("it has no headers of a program")
    machine, sections, length = _COFF.unpack_from(held, begin + len(_SIGNATURE))
    if machine != _AMD64 or _MAGIC.unpack_from(held, optional)[0] != _PLUS:
        raise ValueError("it is for another machine")
    table = optional + length
    if len(held) < table + sections * _SECTION.size:
        return None
    parts = [_Section(*_SECTION.unpack_from(held, table + at * _SECTION.size)) for at in range(sections)]
    count = _OFFSET.unpack_from(held, optional + _COUNT_AT)[0]
    found = []
    for index, entry in ((_IMPORTS, _IMPORT), (_DELAYED_IMPORTS, _DELAYED)):
        address = 0
        if index < count and _DIRECTORIES_AT + (index + 1) * _DIRECTORY.size <= length:
            address = _DIRECTORY.unpack_from(held, optional + _DIRECTORIES_AT + index * _DIRECTORY.size)[0]
        names = () if address == 0 else _names(held, address, entry, parts)
        if names is None:
            return None
        found.append(names)
    return found[0], found[1]


def _names(held: bytearray, address: int, entry: struct.Struct, parts: Iterable[_Section]) -> tuple[str, ...] | None:
    """The names in one import table; None if the bytes read so far do not extend that far."""
    parts = tuple(parts)
    found: dict[str, None] = {}
    for name in _addresses(held, _offset(address, parts), entry):
        if name is None:
            return None
        start = _offset(name, parts)
        end = held.find(0, start, start + _LONGEST)
        if end < 0:
            if len(held) < start + _LONGEST:
                return None
            raise ValueError("a name does not end")
        found[held[start:end].decode("latin-1").lower()] = None
    return tuple(found)[:_MOST]


def _addresses(held: bytearray, start: int, entry: struct.Struct) -> Iterator[int | None]:
    """The addresses of the names; None if the bytes end before the table does."""
    for position in range(start, start + _MOST * entry.size, entry.size):
        if len(held) < position + entry.size:
            yield None
            return
        address = entry.unpack_from(held, position)[0]
        if address == 0:
            return
        yield address


def _offset(address: int, parts: Iterable[_Section]) -> int:
    """The offset of an address in the file."""
    for part in parts:
        if part.address <= address < part.address + max(part.size, part.stored):
            return address - part.address + part.offset
    raise ValueError("a table is in no part of it")
