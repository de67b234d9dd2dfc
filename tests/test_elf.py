"""kgen.elf: what compiled files need, of those that a linker made and of damaged ones."""

from __future__ import annotations

import importlib.util
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.elves import shared_object

from kgen.elf import Needs, needs
from kgen.loader import elf

LIMIT = 1 << 20
CUDART = "libcudart.so.12"


def pieces(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_in_pieces_of_any_size(size: int) -> None:
    content = shared_object(CUDART, "libc.so.6", opens=["libcublas.so.13"], soname="libown.so.1", padding=99)
    assert needs(pieces(content, size), limit=LIMIT) == Needs((CUDART, "libc.so.6"), ("libcublas.so.13",))


def test_no_more_is_read_than_is_necessary() -> None:
    content = shared_object(CUDART)
    read: list[bytes] = []

    def stream() -> Iterator[bytes]:
        for piece in (*pieces(content, 50), *[bytes(50)] * 9):
            read.append(piece)
            yield piece

    assert needs(stream(), limit=LIMIT) == Needs((CUDART,), ())
    assert len(read) == -(-len(content) // 50)


def test_of_a_large_one_what_was_seen() -> None:
    content = shared_object(CUDART, "libc.so.6", opens=["libcudnn.so.9"], padding=5000)
    assert needs(pieces(content, 100), limit=1000) == Needs((), (CUDART, "libc.so.6", "libcudnn.so.9"))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(100), b"!<arch>\n" * 20, shared_object(CUDART)[:-20]],
    ids=["empty", "short", "32 bits", "archive", "cut off"],
)
def test_what_is_none(content: bytes) -> None:
    assert needs(pieces(content, 64), limit=LIMIT) is None


def test_strings_that_are_nowhere() -> None:
    content = bytearray(shared_object(CUDART))
    content[64 + 16 : 64 + 24] = (1).to_bytes(8, "little")  # where the part that is loaded begins
    assert needs([bytes(content)], limit=LIMIT) is None


def test_damage_is_no_bug() -> None:
    """Whatever stands there, the answer is one, or that there is none."""
    dice = random.Random(7)  # noqa: S311 - not for secrets
    original = shared_object(CUDART, "libc.so.6", opens=["libnccl.so.2"])
    for _ in range(3000):
        content = bytearray(original)
        for _ in range(dice.randrange(1, 6)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        found = needs(pieces(bytes(content), 64), limit=LIMIT)
        assert found is None or isinstance(found, Needs)


@pytest.mark.skipif(shutil.which("ld") is None, reason="there is no linker here")
def test_what_a_linker_made(tmp_path: Path) -> None:
    subprocess.run(["as", "-o", "nothing.o", "/dev/null"], cwd=tmp_path, check=True)
    for name in ("libcudart.so.12", "libcublas.so.12"):
        link(tmp_path, "-soname", name, "-o", name, "nothing.o")
    words = ["-soname", "libmine.so.1", "-o", "mine.so", "nothing.o", "libcudart.so.12", "libcublas.so.12"]
    link(tmp_path, "--no-as-needed", *words)
    content = (tmp_path / "mine.so").read_bytes()
    assert needs(pieces(content, 512), limit=LIMIT) == Needs(("libcudart.so.12", "libcublas.so.12"), ())


@pytest.mark.parametrize("module", ["_ssl", "_ctypes", "_sqlite3"])
def test_the_loader_is_asked_for_the_same(module: str) -> None:
    """What is read of a file that is on disk is what is read while it is inflated."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None or not found.origin.endswith(".so"):
        pytest.skip(f"{module} is not a file of its own in this Python")
    path = Path(found.origin)
    inflated = needs(pieces(path.read_bytes(), 4096), limit=1 << 30)
    assert inflated is not None
    assert inflated.needed == elf.read(path).needed != ()


@pytest.mark.parametrize("count", [513, 0xFFFF])
def test_more_segments_than_a_linker_makes(tmp_path: Path, count: int) -> None:
    content = bytearray(shared_object(CUDART))
    content[56:58] = count.to_bytes(2, "little")
    content += bytes(56 * count)
    assert needs([bytes(content)], limit=1 << 30) is None
    path = tmp_path / "lib.so"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="its program headers make no sense"):
        elf.read(path)


def link(folder: Path, *words: str) -> None:
    subprocess.run(["ld", "-shared", *words], cwd=folder, check=True, capture_output=True)
