"""What files inside a wheel say about what it was built for: modules, compiled constants, code for GPUs.

Each kind of evidence is a function in `KINDS`: it takes the file piece by piece and gives fields of a build. Nothing of
a wheel is ever run.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import tomli
from packaging.version import InvalidVersion, Version

_X86_64, _AARCH64 = 62, 183
"""`e_machine` in the header of an ELF file (System V ABI; ELF for the Arm 64-bit Architecture)."""

_FLAGS = re.compile(rb"(?:(?:sm|compute)_\d{2,3}[af]?[ ;,]){1,40}(?:sm|compute)_\d{2,3}[af]?(?=\x00)")
_ARCHITECTURE = re.compile(r"(sm|compute)_(\d{2,3})[af]?")
_MOVE_X86_64 = re.compile(rb"[\xb8-\xbf](..\x00\x00)", re.DOTALL)
"""`mov r32, imm32` with a number below 65536: what a function that returns a constant begins with."""

_FATBIN = struct.Struct("<IHHQ")
_FATBIN_MAGIC = 0xBA55ED50
_ENTRY = struct.Struct("<HHIQIIHHI")
"""kind, version, size of header, size of code, compressed size, options, minor, major, architecture."""

_PTX, _SASS = 1, 2
_PLAUSIBLE = 1 << 34


class Found(NamedTuple):
    """What a piece of evidence says.

    Attributes:
        toolkit: its version, such as `12.8`; empty for a build for the CPU; None if this evidence does not tell.
        sass: compute capabilities with machine code; None if it does not tell.
        ptx: compute capabilities with PTX; None if it does not tell.
    """

    toolkit: str | None = None
    sass: frozenset[str] | None = None
    ptx: frozenset[str] | None = None


class Evidence(NamedTuple):
    """Where a wheel says what it was built for; a row of `evidence.toml`.

    Attributes:
        accelerator: the kind of accelerator that it tells of, as in `matrix/accelerators.toml`.
        distribution: the project whose wheel holds the file; `{major}` is that of the build's accelerator.
        path: the file.
        kind: the key in `KINDS`.
        fields: field of a build -> the name of what holds it.
        costly: whether the file has hundreds of megabytes.
    """

    accelerator: str
    distribution: str
    path: str
    kind: str
    fields: Mapping[str, str]
    costly: bool


@functools.cache
def evidence() -> Mapping[str, tuple[Evidence, ...]]:
    """The evidence there is, by framework."""
    data = tomli.loads(Path(__file__).with_name("evidence.toml").read_text(encoding="utf-8"))
    return {
        framework: tuple(
            Evidence(
                accelerator=row["accelerator"],
                distribution=row["distribution"],
                path=row["path"],
                kind=row["kind"],
                fields=row.get("fields", {}),
                costly=row.get("costly", False),
            )
            for row in rows
        )
        for framework, rows in data.items()
    }


def assignments(pieces: Iterable[bytes], fields: Mapping[str, str], _toolkits: Iterable[Version]) -> Found:
    """Values in a generated module, such as `cuda: Optional[str] = '12.8'` or `("cuda_version", "12.5.1")`."""
    text = b"".join(pieces).decode(errors="replace")

    def value(name: str) -> str | None:
        pattern = rf"""(?<![\w.])["']?{re.escape(name)}["']?\s*(?::[^=\n]*)?[=,:]\s*(\[[^\]]*\]|[^\n,)}}]*)"""
        found = re.search(pattern, text)
        return None if found is None else found[1].strip()

    said = {field: value(name) for field, name in fields.items()}
    if said.get("built") == "False":
        return Found(toolkit="")
    cuda, architectures = said.get("toolkit"), said.get("architectures")
    sass, ptx = (None, None) if architectures is None else _capabilities(architectures, compute_has_code=True)
    version = None if cuda is None else "" if cuda == "None" else _minor(cuda.strip("\"' "))
    return Found(toolkit=version, sass=sass, ptx=ptx)


def architecture_flags(pieces: Iterable[bytes], _fields: Mapping[str, str], _toolkits: Iterable[Version]) -> Found:
    """The architectures as the compiler was told them, which PyTorch compiles in as text: `sm_80 sm_90 compute_90`."""
    kept, best = b"", b""
    for piece in pieces:
        window = kept + piece
        for found in _FLAGS.finditer(window):
            best = max(best, found[0], key=len)
        kept = window[-512:]
    if not best:
        return Found()
    sass, ptx = _capabilities(best.decode(), compute_has_code=False)
    return Found(sass=sass, ptx=ptx)


def toolkit_constant(pieces: Iterable[bytes], _fields: Mapping[str, str], toolkits: Iterable[Version]) -> Found:
    """The toolkit that a function of a compiled module returns: `cuda_runtime_build_version` is 12090 for 12.9.

    The numbers that the machine code loads as a whole are compared with the toolkits of the build's CUDA major; exactly
    one of them must be among them, or it is not known.
    """
    content = b"".join(pieces)
    known = {1000 * one.major + 10 * one.minor: f"{one.major}.{one.minor}" for one in toolkits}
    found = {known[number] for number in _loaded(content) if number in known}
    return Found(toolkit=found.pop()) if len(found) == 1 else Found()


def _loaded(content: bytes) -> Iterator[int]:
    """The small constants that an ELF file's machine code loads into a register."""
    if content[:4] != b"\x7fELF" or len(content) < 64:  # noqa: PLR2004 - the header of a file of 64 bits
        return
    (machine,) = struct.unpack_from("<H", content, 18)
    if machine == _X86_64:
        for found in _MOVE_X86_64.finditer(content):
            yield int.from_bytes(found[1], "little")
    elif machine == _AARCH64:
        for (word,) in struct.iter_unpack("<I", content[: len(content) & ~3]):
            if word & 0xFFE00000 == 0x52800000:  # noqa: PLR2004 - MOVZ Wd, #imm16
                yield word >> 5 & 0xFFFF


def fatbins(pieces: Iterable[bytes], _fields: Mapping[str, str], _toolkits: Iterable[Version]) -> Found:
    """The code for GPUs in an ELF file, by the headers that NVIDIA's compiler puts before each piece of it.

    The containers of a file (`.nv_fatbin`) are recognised by their magic number and by entries that add up to the size
    in their header, so that the file can be read as it comes, without a look at its end.
    """
    sass: set[str] = set()
    ptx: set[str] = set()
    buffer = b""
    for piece in pieces:
        buffer += piece
        position = 0
        while True:
            place = buffer.find(_FATBIN_MAGIC.to_bytes(4, "little"), position)
            if place < 0:
                buffer = buffer[max(position, len(buffer) - 3) :]
                break
            used = _container(buffer, place, sass, ptx)
            if used is None:  # it goes on in the next piece
                buffer = buffer[place:]
                break
            position = place + used
    return Found(sass=frozenset(sass), ptx=frozenset(ptx)) if sass or ptx else Found()


def _container(buffer: bytes, place: int, sass: set[str], ptx: set[str]) -> int | None:
    """Read one container; the bytes to go on by, or None if more of the file is needed."""
    if place + _FATBIN.size > len(buffer):
        return None
    _, _, head, size = _FATBIN.unpack_from(buffer, place)
    if head != _FATBIN.size or not 0 < size < _PLAUSIBLE:
        return 4
    if place + head + size > len(buffer) and size < 1 << 28:
        return None
    entries = []
    at, end = place + head, place + head + size
    while at + _ENTRY.size <= min(end, len(buffer)):
        kind, _, header, length, *_, architecture = _ENTRY.unpack_from(buffer, at)
        if kind not in {_PTX, _SASS} or header < _ENTRY.size or header + length > end - at:
            return 4
        entries.append((kind, architecture))
        at += header + length
    if at != end:
        return 4
    for kind, architecture in entries:
        (sass if kind == _SASS else ptx).add(f"{architecture // 10}.{architecture % 10}")
    return int(head + size)


def _capabilities(text: str, *, compute_has_code: bool) -> tuple[frozenset[str], frozenset[str]]:
    """Machine code and PTX of `sm_80`, `compute_90`.

    Args:
        text: holds them in whatever form.
        compute_has_code: whether `compute_90` stands for machine code and PTX, as TensorFlow's configure.py has it,
            or for PTX alone, as the compiler has it.
    """
    sass, ptx = set(), set()
    for kind, digits in _ARCHITECTURE.findall(text):
        capability = f"{digits[:-1]}.{digits[-1]}"
        if kind == "compute":
            ptx.add(capability)
        if kind == "sm" or compute_has_code:
            sass.add(capability)
    return frozenset(sass), frozenset(ptx)


def _minor(text: str) -> str | None:
    """Major and minor of a version; None of what is none.

    On Windows the number stands for a DLL: `64_112` for `cudart64_112.dll`, of CUDA 11.2.
    """
    if text.startswith("64_") and text[3:].isdecimal():
        return f"{text[3:-1]}.{text[-1]}"
    try:
        version = Version(text)
    except InvalidVersion:
        return None
    return f"{version.major}.{version.minor}"


KINDS: Mapping[str, Callable[[Iterable[bytes], Mapping[str, str], Iterable[Version]], Found]] = {
    "assignments": assignments,
    "architecture-flags": architecture_flags,
    "toolkit-constant": toolkit_constant,
    "fatbins": fatbins,
}
