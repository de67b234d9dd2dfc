"""The names of wheels: what they are of, which interpreters and platforms they fit, and which variant they are.

The one place that takes such a name apart. A wheel variant (drafts of PEP 817, 825 and 850) has a label as a further
part: `torch-2.21.0-cp312-cp312-linux_x86_64-cu130.whl`. It belongs to what the file is, as the tags do: two variants of
a version are two builds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_SUFFIX = ".whl"
_TAGS = 3
_LABEL = re.compile(r"[a-z0-9_.]{1,64}")
_GIL = re.compile(r"cp3[0-9]{1,2}")
_FREE_THREADED = re.compile(r"cp3[0-9]{1,2}t")


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
    """A file's name taken apart; None if it is no wheel's.

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
