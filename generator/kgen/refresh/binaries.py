"""Finds in a wheel's compiled files how they were built: the toolkit, and the GPUs.

Nothing is run: kgen searches the files for what the compiler put there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from packaging.version import Version

_FLAGS = re.compile(rb"(?:(?:sm|compute)_[0-9]+[af]? )+(?:sm|compute)_[0-9]+[af]?\x00")
_LONGEST = 1024
"""The largest size in bytes of a list of architectures."""


def toolkit(pieces: Iterable[bytes], toolkits: Collection[Version]) -> list[str]:
    """The toolkits, such as `12.9`, whose number a function returns in the form of CUDA's `CUDART_VERSION`: 12090.

    Such a function is in a module like JAX's `_versions`. On x86-64 it contains `mov r32, imm32`, on AArch64 `movz wd,
    #imm16`.

    Args:
        pieces: the file.
        toolkits: the candidates, all of one major.
    """
    content = b"".join(pieces)
    words = {content[at : at + 4] for at in range(0, len(content) - 3, 4)} if content[18:20] == b"\xb7\x00" else set()
    found = set()
    for one in toolkits:
        number = 1000 * one.major + 10 * one.minor
        if words:
            there = any((0x52800000 | number << 5 | to).to_bytes(4, "little") in words for to in range(31))
        else:
            there = re.search(rb"[\xb8-\xbf]" + re.escape(number.to_bytes(4, "little")), content) is not None
        if there:
            found.add(f"{one.major}.{one.minor}")
    return sorted(found, key=Version)


def architectures(pieces: Iterable[bytes], _toolkits: Collection[Version]) -> list[str]:
    """The architectures passed to the compiler, as `sm_90` and `compute_90`: the longest such list in the file."""
    rest, longest = b"", b""
    for piece in pieces:
        text = rest + piece
        longest = max([longest, *_FLAGS.findall(text)], key=len)
        rest = text[-_LONGEST:]
    return longest.rstrip(b"\x00").decode().split()


HOLDS: Mapping[str, Callable[[Iterable[bytes], Collection[Version]], list[str]]] = {
    "toolkit": toolkit,
    "architectures": architectures,
}
"""What a recipe may say that a file holds."""
