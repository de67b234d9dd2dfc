"""The names of wheels: what they are of, which interpreters and platforms they fit, and which variant they are.

The one place that takes such a name apart. A wheel variant (drafts of PEP 817, 825 and 850) has a label as a further
part: `torch-2.21.0-cp312-cp312-linux_x86_64-cu130.whl`. It belongs to what the file is, as the tags do: two variants of
a version are two builds.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from packaging.version import Version

_SUFFIX = ".whl"
_TAGS = 3
_LABEL = re.compile(r"[a-z0-9_.]{1,64}")
_GIL = re.compile(r"cp3[0-9]{1,2}")
_FREE_THREADED = re.compile(r"cp3[0-9]{1,2}t")
_GLIBC = r"manylinux_(\d+)_(\d+)_"
_MACOS = r"macosx_(\d+)_(\d+)_"
_OLD_GLIBCS = {"manylinux1_": (2, 5), "manylinux2010_": (2, 12), "manylinux2014_": (2, 17)}


class WheelName(NamedTuple):
    """A wheel's name, taken apart.

    Attributes:
        project: the project, as the name spells it.
        version: its version, as the name spells it.
        build: the number that tells builds of a version apart; empty if there is none.
        python: the tags of interpreters, joined by dots.
        abi: the tags of ABIs, joined by dots.
        platform: the tags of platforms, joined by dots.
        variant: the label of a wheel variant; empty of any other wheel.
    """

    project: str
    version: str
    build: str
    python: str
    abi: str
    platform: str
    variant: str = ""

    @property
    def tags(self) -> tuple[str, str, str]:
        """Interpreter, ABI and platform."""
        return self.python, self.abi, self.platform

    @property
    def free_threaded(self) -> bool | None:
        """Whether its modules are for the free-threaded CPython; None if they are for either, or it has none."""
        abis = self.abi.split(".")
        usual, free = any(map(_GIL.fullmatch, abis)), any(map(_FREE_THREADED.fullmatch, abis))
        return free if usual is not free else None


def parse(filename: str) -> WheelName | None:
    """A file's name taken apart; None if it is not a wheel's.

    >>> parse("torch-2.21.0-1-cp312-cp312-linux_x86_64-cu130.whl").variant
    'cu130'
    """
    if not filename.endswith(_SUFFIX):
        return None
    parts = filename[: -len(_SUFFIX)].split("-")
    if len(parts) < 2 + _TAGS:
        return None
    # the number of a build begins with a digit, as no tag of an interpreter does; a label stands behind the tags
    build = parts.pop(2) if parts[2][:1].isdigit() else ""
    label = parts.pop() if len(parts) == 2 + _TAGS + 1 else ""
    if len(parts) != 2 + _TAGS or (label and _LABEL.fullmatch(label) is None):
        return None
    return WheelName(parts[0], parts[1], build, parts[2], parts[3], parts[4], label)


@functools.lru_cache(maxsize=1024)
def needed_glibc(filename: str) -> Version | None:
    """The oldest glibc that a wheel runs on; None where it does not matter.

    >>> str(needed_glibc("numpy-2.4.6-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"))
    '2.27'
    """
    tags = _platforms(filename)
    floors = [(int(major), int(minor)) for major, minor in re.findall(_GLIBC, tags)]
    floors += [floor for tag, floor in _OLD_GLIBCS.items() if tag in tags]
    return _lowest(floors)


def needed_macos(filename: str) -> Version | None:
    """The oldest macOS that a wheel runs on; None where it does not matter."""
    return _lowest([(int(major), int(minor)) for major, minor in re.findall(_MACOS, _platforms(filename))])


def _platforms(filename: str) -> str:
    found = parse(filename)
    return "" if found is None else found.platform


def _lowest(floors: list[tuple[int, int]]) -> Version | None:
    from packaging.version import Version  # noqa: PLC0415 - who takes names apart needs none

    return Version("{}.{}".format(*min(floors))) if floors else None
