"""kgen.pe: what libraries of Windows need, of real ones and of damaged ones; pefile judges."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import distlib
import pefile
import pytest
from tests.elves import shared_object, windows_library

from kgen.elf import Needs
from kgen.pe import needs

LIMIT = 1 << 20
SCRIPTS = Path(distlib.__file__).parent
"""Real programs of Windows, which virtualenv brings along: they start what a wheel installs."""
CUDART, KERNEL = "cudart64_12.dll", "KERNEL32.dll"


def pieces(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def judged(content: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What pefile reads: libraries that are loaded with it, and at their first use."""
    file = pefile.PE(data=content, fast_load=True)
    wanted = ("IMAGE_DIRECTORY_ENTRY_IMPORT", "IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT")
    file.parse_data_directories([pefile.DIRECTORY_ENTRY[name] for name in wanted])
    return tuple(
        tuple(dict.fromkeys(one.dll.decode().lower() for one in getattr(file, name, ())))
        for name in ("DIRECTORY_ENTRY_IMPORT", "DIRECTORY_ENTRY_DELAY_IMPORT")
    )  # type: ignore[return-value]


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_in_pieces_of_any_size(size: int) -> None:
    content = windows_library(CUDART, KERNEL, delayed=["cudnn64_9.dll"], opens=["nvrtc64_120_0.dll"], padding=99)
    found = needs(pieces(content, size), limit=LIMIT)
    assert found == Needs((CUDART, KERNEL.lower()), ("cudnn64_9.dll", "nvrtc64_120_0.dll"))
    assert judged(content) == ((CUDART, KERNEL.lower()), ("cudnn64_9.dll",))


@pytest.mark.parametrize(
    "path",
    [*(path for path in sorted((Path(distlib.__file__).parent).glob("*64.exe")) if "arm" not in path.name)],
    ids=lambda path: path.name,
)
def test_what_a_linker_made(path: Path) -> None:
    content = path.read_bytes()
    found = needs(pieces(content, 1000), limit=LIMIT)
    assert found is not None
    assert found.needed == judged(content)[0]
    assert "kernel32.dll" in found.needed


def test_no_more_is_read_than_is_necessary() -> None:
    content = windows_library(CUDART)
    read: list[bytes] = []

    def stream() -> Iterator[bytes]:
        for piece in (*pieces(content, 512), *[bytes(512)] * 9):
            read.append(piece)
            yield piece

    assert needs(stream(), limit=LIMIT) == Needs((CUDART,), ())
    assert len(read) == len(content) // 512


def test_of_a_large_one_what_was_seen() -> None:
    content = windows_library(CUDART, opens=["cublas64_12.dll"], padding=5000)
    cut = content.find("cublas64_12.dll".encode("utf-16-le")) + 40
    found = needs(pieces(content, cut), limit=cut)
    assert found == Needs((), ("cublas64_12.dll",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MZ",
        shared_object("libc.so.6"),
        windows_library(CUDART, machine=0x14C),
        windows_library(CUDART, machine=0xAA64),
        windows_library(CUDART, padding=600)[:-600],
    ],
    ids=["empty", "short", "Linux", "32 bits", "ARM", "cut off"],
)
def test_what_is_none(content: bytes) -> None:
    assert needs(pieces(content, 64), limit=LIMIT) is None


def test_damage_is_no_bug() -> None:
    """Whatever stands there, the answer is one, or that there is none."""
    dice = random.Random(7)  # noqa: S311 - not for secrets
    original = windows_library(CUDART, KERNEL, delayed=["cudnn64_9.dll"])
    for _ in range(2000):
        content = bytearray(original)
        for _ in range(dice.randrange(1, 6)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        found = needs(pieces(bytes(content), 256), limit=LIMIT)
        assert found is None or isinstance(found, Needs)
