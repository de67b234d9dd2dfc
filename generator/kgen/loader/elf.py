"""What the dynamic section of an ELF file says to the loader.

Reads a few hundred bytes, whatever the size of the file: an environment has libraries of a gigabyte, and `kgen doctor`
looks at a hundred of them. A library for ELF files would take longer to import than this takes for all.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kgen import elf, files

_CURRENT = 1
_SYSTEMS = {0, 3}
"""What `EI_OSABI` may be: System V's, and GNU's."""

_MOST_ABI = 9
"""More than any glibc so far knows: it refuses a file that needs a newer one."""

_PROGRAM, _SHARED = 2, 3
"""What `e_type` may be."""

_RPATH, _RUNPATH, _FLAGS_1 = 15, 29, 0x6FFFFFFB
_NODEFLIB, _PIE = 0x800, 0x08000000
_MOST_DYNAMIC, _MOST_STRING = 1 << 20, 1 << 16
"""More than any linker makes: a broken file must not make kgen read for long."""


_VERDEF, _VERNEED = 0x6FFFFFFC, 0x6FFFFFFE
_WEAK = 2
_NEEDS, _NEEDED_VERSION = struct.Struct("<HHIII"), struct.Struct("<IHHII")
_DEFINES, _NAME_OF_VERSION = struct.Struct("<HHHHIII"), struct.Struct("<II")
_MOST_VERSIONS = 4096
"""More than libstdc++ has: a broken file must not make kgen read for long."""


class Elf(NamedTuple):
    """What the loader reads of a file.

    Attributes:
        machine: `e_machine`: 62 for x86-64, 183 for AArch64.
        soname: its DT_SONAME; None without one.
        needed: its DT_NEEDED, in order.
        rpath: the folders of its DT_RPATH as they are written; none beside a DT_RUNPATH, for which it is ignored.
        runpath: the folders of its DT_RUNPATH; None without one, which is not the same as an empty one.
        no_defaults: whether it keeps the loader from the default folders (DF_1_NODEFLIB).
        interpreter: the loader that it asks for (PT_INTERP); None of a library.
        unfit: why the loader fails on it as a library; None if it does not.
    """

    machine: int
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] | None = None
    no_defaults: bool = False
    interpreter: str | None = None
    unfit: str | None = None


class SymbolVersions(NamedTuple):
    """The versions of symbols by which libraries fit each other, such as `GLIBCXX_3.4.30`.

    Attributes:
        wanted: soname -> the versions that it must have.
        given: the versions that the file has; None of one that says nothing of versions, and is taken for any.
    """

    wanted: Mapping[str, tuple[str, ...]] = {}
    given: frozenset[str] | None = None


class ForeignElfError(ValueError):
    """The file is for another word size or processor: the loader passes it over and searches on."""


def read(path: Path, machine: int | None = None) -> Elf:
    """What the loader reads of a file.

    Args:
        path: the file.
        machine: `e_machine` of the process; None takes a file for any.

    Raises:
        OSError: it cannot be read.
        ForeignElfError: it is of a kind that the loader passes over.
        ValueError: it is not an ELF file, or a broken one: the loader ends its search there, and fails.
    """
    if files.exists(path) and not files.is_file(path):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    with path.open("rb") as file:
        try:
            return _read(file, machine)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{path}: a broken ELF file: {error}") from error


def symbol_versions(path: Path) -> SymbolVersions:
    """The versions of symbols that a file needs, and those that it has (`elf/dl-version.c`).

    Raises:
        OSError: it cannot be read.
        ValueError: it is not an ELF file, or a broken one.
    """
    with path.open("rb") as file:
        try:
            return _symbol_versions(file)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{path}: a broken ELF file: {error}") from error


def _symbol_versions(file: BinaryIO) -> SymbolVersions:
    header = file.read(elf.HEADER_SIZE)
    if len(header) < elf.HEADER_SIZE:
        raise ValueError("file too short")
    _machine(header, None)
    parts = elf.segments(header, lambda place, size: _at(file, place, size))
    dynamic = next((part for part in parts if part.kind == elf.DYNAMIC), None)
    if dynamic is None:
        return SymbolVersions()
    entries = dict(elf.tags(_at(file, dynamic.offset, min(dynamic.size, _MOST_DYNAMIC))))

    def place_of(tag: int) -> int | None:
        return elf.offset_of(entries[tag], parts) if tag in entries else None

    strings = place_of(elf.STRINGS)
    if strings is None:
        return SymbolVersions()

    def chain(place: int | None, row: struct.Struct, following: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Rows that each say how far behind them the next is."""
        for _ in range(_MOST_VERSIONS if place is not None else 0):
            assert place is not None  # noqa: S101 - there is one
            values = row.unpack(_at(file, place, row.size))
            yield place, values
            if not values[following]:
                return
            place += values[following]

    wanted: dict[str, tuple[str, ...]] = {}
    for place, (_, _, name, first, _) in chain(place_of(_VERNEED), _NEEDS, 4):
        rows = chain(place + first, _NEEDED_VERSION, 4)
        names = [_string(file, strings + text) for _, (_, flags, _, text, _) in rows if not flags & _WEAK]
        wanted[_string(file, strings + name)] = tuple(names)
    given = [
        _string(file, strings + next(iter(chain(place + first, _NAME_OF_VERSION, 1)))[1][0])
        for place, (*_, first, _) in chain(place_of(_VERDEF), _DEFINES, 6)
    ]
    return SymbolVersions(wanted, frozenset(given) if _VERDEF in entries else None)


def _read(file: BinaryIO, wanted: int | None) -> Elf:
    header = file.read(elf.HEADER_SIZE)
    if len(header) < elf.HEADER_SIZE:
        raise ValueError("file too short")
    machine = _machine(header, wanted)
    (kind,) = struct.unpack_from("<H", header, 16)
    if kind not in {_PROGRAM, _SHARED}:
        raise ValueError("only ET_DYN and ET_EXEC can be loaded")
    parts = elf.segments(header, lambda place, size: _at(file, place, size))
    loads = [part for part in parts if part.kind == elf.LOAD]
    if not loads:
        raise ValueError("object file has no loadable segments")
    if max(part.offset + part.size for part in loads) > file.seek(0, os.SEEK_END):
        raise ValueError("it ends before its segments do: it was not written whole")
    asked = next((part.offset for part in parts if part.kind == elf.INTERPRETER), None)
    interpreter = None if asked is None else _string(file, asked)
    dynamic = next((part for part in parts if part.kind == elf.DYNAMIC), None)
    if dynamic is None:
        return Elf(machine, interpreter=interpreter, unfit="object file has no dynamic section")
    entries = elf.tags(_at(file, dynamic.offset, min(dynamic.size, _MOST_DYNAMIC)))
    strings = next((value for tag, value in entries if tag == elf.STRINGS), None)
    place = None if strings is None else elf.offset_of(strings, loads)
    if place is None:
        return Elf(machine, interpreter=interpreter, unfit="object file has no table of strings")

    def text(tag: int) -> list[str]:
        return [_string(file, place + value) for found, value in entries if found == tag]

    flags = next((value for tag, value in entries if tag == _FLAGS_1), 0)
    unfit = None
    if kind == _PROGRAM or flags & _PIE:
        unfit = "cannot dynamically load executable"
    runpath = text(_RUNPATH)
    rpath = text(_RPATH)
    return Elf(
        machine=machine,
        soname=next(iter(text(elf.SONAME)), None),
        needed=tuple(text(elf.NEEDED)),
        rpath=() if runpath or not rpath else tuple(rpath[0].split(":")),
        runpath=tuple(runpath[0].split(":")) if runpath else None,
        no_defaults=bool(flags & _NODEFLIB),
        interpreter=interpreter,
        unfit=unfit,
    )


def _machine(header: bytes, wanted: int | None) -> int:
    """`e_machine`, after what the loader looks at before that, in its order (`elf/dl-load.c: open_verify`)."""
    if not header.startswith(elf.MAGIC):
        raise ValueError("invalid ELF header")
    width, order, version, system, abi = header[4:9]
    machine, current = struct.unpack_from("<HI", header, 18)
    foreign = wanted not in {None, machine}
    if width != elf.WIDE:
        raise ForeignElfError("wrong ELF class")
    wrong = _wrong_identity(order, version, system, abi, header[9:16])
    if wrong is None and current != _CURRENT:
        raise ValueError("ELF file version does not match current one")
    if foreign:
        raise ForeignElfError("for another processor")
    if wrong is not None:
        raise ValueError(wrong)
    return int(machine)


def _wrong_identity(order: int, version: int, system: int, abi: int, padding: bytes) -> str | None:
    if order != elf.LITTLE:
        return "ELF file data encoding not little-endian"
    if version != _CURRENT:
        return "ELF file version ident does not match current one"
    if system not in _SYSTEMS:
        return "ELF file OS ABI invalid"
    if abi > (_MOST_ABI if system == max(_SYSTEMS) else 0):
        return "ELF file ABI version invalid"
    return "nonzero padding in e_ident" if any(padding) else None


def _at(file: BinaryIO, place: int, size: int) -> bytes:
    if place >= 1 << 62:
        raise ValueError("a place in it is beyond any file")
    file.seek(place)
    return file.read(size)


def _string(file: BinaryIO, place: int) -> str:
    data = _at(file, place, 0)
    while b"\0" not in data and len(data) < _MOST_STRING:
        piece = file.read(1024)
        if not piece:
            raise ValueError("its strings end with the file")
        data += piece
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
