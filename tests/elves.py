"""Libraries of Linux and Windows, of a few hundred bytes, that ask the loader for what a test says."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_HEADER, _SEGMENT, _ENTRY = struct.Struct("<16sHHIQQQIHHH6x"), struct.Struct("<IIQQQQQQ"), struct.Struct("<qQ")
_BASE = 0x10000
"""Addresses are other numbers than places in the file, as in every real one."""

_NO_SYMBOLS = bytes(24) + struct.pack("<4I", 1, 1, 0, 0)
"""The one symbol that every table begins with, and the hash table of no more; the loader looks into both."""


def shared_object(
    *needed: str,
    opens: Sequence[str] = (),
    padding: int = 0,
    soname: str = "",
    rpath: str = "",
    runpath: str = "",
    flags: int = 0,
) -> bytes:
    """One that needs these libraries, and has names of others among its constants. The loader takes it.

    Args:
        needed: what the loader must find.
        opens: what it may open by itself.
        padding: bytes between its constants and its dynamic section.
        soname: its own name.
        rpath: its DT_RPATH.
        runpath: its DT_RUNPATH.
        flags: its DT_FLAGS_1.
    """
    last = [(tag, text) for tag, text in ((14, soname), (15, rpath), (29, runpath)) if text]
    names = [*needed, *(text for _, text in last)]
    places, strings = [], b"\0"
    for name in names:
        places.append(len(strings))
        strings += name.encode() + b"\0"
    constants = b"".join(b"\0" + name.encode() + b"\0" for name in opens)
    strings_at = _HEADER.size + 2 * _SEGMENT.size
    symbols_at = strings_at + len(strings) + len(constants) + padding
    symbols_at += -symbols_at % 8
    dynamic_at = symbols_at + len(_NO_SYMBOLS)
    tags = [(1, place) for place in places[: len(needed)]]
    tags += [(tag, place) for (tag, _), place in zip(last, places[len(needed) :], strict=True)]
    tags += [(0x6FFFFFFB, flags)] if flags else []
    tags += [(5, _BASE + strings_at), (10, len(strings)), (6, _BASE + symbols_at), (11, 24)]
    tags += [(4, _BASE + symbols_at + 24), (0, 0)]
    dynamic = b"".join(_ENTRY.pack(*tag) for tag in tags)
    size = dynamic_at + len(dynamic)
    return b"".join(
        [
            _HEADER.pack(b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 3, 62, 1, 0, _HEADER.size, 0, 0, 64, 56, 2),
            _SEGMENT.pack(1, 6, 0, _BASE, _BASE, size, size, 0x1000),
            _SEGMENT.pack(2, 6, dynamic_at, _BASE + dynamic_at, 0, len(dynamic), len(dynamic), 8),
            strings,
            constants,
            bytes(symbols_at - strings_at - len(strings) - len(constants)),
            _NO_SYMBOLS,
            dynamic,
        ]
    )


def elf_header(machine: int, code: bytes) -> bytes:
    """An ELF file as far as its machine is asked for: the header's magic and machine, then machine code."""
    head = b"\x7fELF\x02\x01\x01".ljust(18, b"\x00") + struct.pack("<H", machine)
    return head.ljust(64, b"\x00") + code


def windows_library(
    *needed: str, delayed: Sequence[str] = (), opens: Sequence[str] = (), padding: int = 0, machine: int = 0x8664
) -> bytes:
    """A library of Windows that needs these, some of them at their first use, and names others in its constants.

    Args:
        needed: what the loader must find.
        delayed: what is loaded at its first use.
        opens: what it may open by itself, named in characters of two bytes.
        padding: bytes before the tables.
        machine: what it is for; x86-64 if nothing is said.
    """
    base, headers = 0x1000, 0x400
    body = bytearray(bytes(padding))
    for name in opens:
        body += b"\0\0" + name.encode("utf-16-le") + b"\0\0"
    places = {}
    for name in (*needed, *delayed):
        body += b"\0"
        places[name] = base + len(body)
        body += name.encode() + b"\0"
    thunks = base + len(body)
    body += struct.pack("<QQ", 1 << 63 | 1, 0)  # the first function of each, by its number
    imports = base + len(body)
    body += b"".join(struct.pack("<5I", thunks, 0, 0, places[name], thunks) for name in needed) + bytes(20)
    later = base + len(body)
    body += b"".join(struct.pack("<8I", 1, places[name], 0, thunks, thunks, 0, 0, 0) for name in delayed) + bytes(32)
    body += bytes(-len(body) % 0x200)
    directories = [(0, 0)] * 16
    directories[1] = (imports, 20 * (len(needed) + 1)) if needed else (0, 0)
    directories[13] = (later, 32 * (len(delayed) + 1)) if delayed else (0, 0)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        0x20B, 14, 0, 0, len(body), 0, 0, base, 0x180000000, 0x1000, 0x200, 6, 0, 0, 0, 6, 0, 0,
        base + (len(body) + 0xFFF) // 0x1000 * 0x1000, headers, 0, 2, 0, 0x100000, 0x1000, 0x100000, 0x1000, 0, 16,
    ) + b"".join(struct.pack("<II", *one) for one in directories)  # fmt: skip
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = struct.pack("<HHIIIHH", machine, 1, 0, 0, 0, len(optional), 0x2022)
    section = struct.pack("<8sIIIIIIHHI", b".rdata", len(body), base, len(body), headers, 0, 0, 0, 0, 0x40000040)
    return (dos + b"PE\0\0" + coff + optional + section).ljust(headers, b"\0") + bytes(body)
