"""Shared objects of a few hundred bytes that ask the loader for what a test says, and do nothing else."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_HEADER, _SEGMENT, _ENTRY = struct.Struct("<16sHHIQQQIHHH6x"), struct.Struct("<IIQQQQQQ"), struct.Struct("<qQ")
_BASE = 0x10000
"""Addresses are other numbers than places in the file, as in every real one."""


def shared_object(*needed: str, opens: Sequence[str] = (), padding: int = 0, soname: str = "") -> bytes:
    """One that needs these libraries, and has names of others among its constants.

    Args:
        needed: what the loader must find.
        opens: what it may open by itself.
        padding: bytes between its constants and its dynamic section.
        soname: its own name.
    """
    names = [*needed, *([soname] if soname else [])]
    places, strings = [], b"\0"
    for name in names:
        places.append(len(strings))
        strings += name.encode() + b"\0"
    constants = b"".join(b"\0" + name.encode() + b"\0" for name in opens)
    strings_at = _HEADER.size + 2 * _SEGMENT.size
    dynamic_at = strings_at + len(strings) + len(constants) + padding
    tags = [(1, place) for place in places[: len(needed)]]
    tags += [(14, places[-1])] if soname else []
    tags += [(5, _BASE + strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(_ENTRY.pack(*tag) for tag in tags)
    size = dynamic_at + len(dynamic)
    return b"".join(
        [
            _HEADER.pack(b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 3, 62, 1, 0, _HEADER.size, 0, 0, 64, 56, 2),
            _SEGMENT.pack(1, 6, 0, _BASE, _BASE, size, size, 0x1000),
            _SEGMENT.pack(2, 6, dynamic_at, _BASE + dynamic_at, 0, len(dynamic), len(dynamic), 8),
            strings,
            constants,
            bytes(padding),
            dynamic,
        ]
    )


def elf_header(machine: int, code: bytes) -> bytes:
    """An ELF file as far as its machine is asked for: the header's magic and machine, then machine code."""
    head = b"\x7fELF\x02\x01\x01".ljust(18, b"\x00") + struct.pack("<H", machine)
    return head.ljust(64, b"\x00") + code
