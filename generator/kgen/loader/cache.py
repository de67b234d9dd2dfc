"""The loader's cache, `/etc/ld.so.cache`, in the one format that glibc has written since 2.32."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from kgen import files

CACHE = Path("/etc/ld.so.cache")
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_LIBRARY_OF = {62: 0x0303, 183: 0x0A03}
"""`e_machine` -> the flags of its libraries in the cache (sysdeps/generic/ldconfig.h)."""

_EXTENSION = 0xEAA42174
_HWCAPS_TAG = 1
_HWCAP = 1 << 62
"""The bit that says that the rest is an index into the list of glibc-hwcaps."""


def read(machine: int, levels: Sequence[str], path: Path = CACHE) -> Mapping[str, Path]:
    """Soname -> the file that the cache gives for it on this processor; nothing where there is no such cache.

    Args:
        machine: `e_machine` of the process.
        levels: the names of the processor's levels in `glibc-hwcaps`, the best first.
        path: the cache.
    """
    try:
        return parse(files.read(path), machine, levels)
    except OSError:
        return MappingProxyType({})


def parse(data: bytes, machine: int, levels: Sequence[str]) -> Mapping[str, Path]:
    """As :func:`read`, of these bytes; nothing if they are of another format."""
    start = data.find(_MAGIC)
    if start < 0 or len(data) < start + _HEADER.size:
        return {}
    data = data[start:]
    _, count, _, _, extension = _HEADER.unpack_from(data)
    count = min(count, (len(data) - _HEADER.size) // _ENTRY.size)
    names = _levels(data, extension)
    best: dict[str, tuple[int, Path]] = {}
    for number in range(count):
        flags, key, value, _, hwcap = _ENTRY.unpack_from(data, _HEADER.size + number * _ENTRY.size)
        if flags != _LIBRARY_OF.get(machine):
            continue
        rank = len(levels)
        if hwcap & _HWCAP:
            index = hwcap & 0xFFFFFFFF
            name = names[index] if index < len(names) else None
            if name not in levels:
                continue
            rank = levels.index(name)
        elif hwcap:
            continue
        soname = _string(data, key)
        # the first of equals wins, as in the loader
        if soname not in best or rank < best[soname][0]:
            best[soname] = (rank, Path(_string(data, value)))
    return {soname: found for soname, (_, found) in best.items()}


def _levels(data: bytes, place: int) -> list[str]:
    if not 0 < place <= len(data) - 8:
        return []
    magic, count = struct.unpack_from("<II", data, place)
    if magic != _EXTENSION:
        return []
    for number in range(min(count, (len(data) - place - 8) // 16)):
        tag, _, offset, size = struct.unpack_from("<IIII", data, place + 8 + number * 16)
        if tag == _HWCAPS_TAG and offset + size <= len(data):
            return [_string(data, at) for (at,) in struct.iter_unpack("<I", data[offset : offset + size // 4 * 4])]
    return []


def _string(data: bytes, place: int) -> str:
    return data[place : data.find(b"\0", place)].decode("utf-8", "surrogateescape")
