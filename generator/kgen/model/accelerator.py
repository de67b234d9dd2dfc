"""What an environment computes on: an accelerator kind and its version, or the CPU."""

from __future__ import annotations

import re
from typing import NamedTuple

from kgen.model import grammar

_NAME = r"(?P<kind>[a-z]+)(?P<major>[1-9][0-9]{0,2})?"
_NUMBER = r"(?P<major>[1-9][0-9]{0,2})(?:\.(?P<minor>0|[1-9][0-9]{0,2}))?"


class Accelerator(NamedTuple):
    """An accelerator kind with a version.

    For a request the version is a major, or a major and the newest minor allowed; for a build, the version that it was
    built for; for an environment, its runtime's. A kind that has versions stands for the best one if its version is
    missing.

    Attributes:
        kind: as in `matrix/accelerators.toml`: `cuda`, `rocm`, `cpu`.
        version: major, or major and minor; () for a kind without versions.

    >>> Accelerator("cuda", (12, 6)).name, Accelerator("cuda", (12, 6)).number, CPU.name
    ('cuda12', '12.6', 'cpu')
    """

    kind: str
    version: tuple[int, ...] = ()

    @classmethod
    def named(cls, name: str) -> Accelerator:
        """The accelerator in an environment's name: `cuda12`, `cpu`.

        Raises:
            ValueError: the name is not one.
        """
        match = re.fullmatch(_NAME, name)
        if match is None:
            raise ValueError(f"`{grammar.shown(name)}` is not an accelerator")
        return cls(match["kind"], () if match["major"] is None else (int(match["major"]),))

    @classmethod
    def numbered(cls, kind: str, number: str) -> Accelerator:
        """A kind with a version in text form: `12`, `12.6`.

        Raises:
            ValueError: it is not such a version.
        """
        match = re.fullmatch(_NUMBER, number)
        if match is None:
            raise ValueError(f"`{grammar.shown(number)}` is not a version such as 12")
        return cls(kind, tuple(int(part) for part in match.groups() if part is not None))

    @property
    def major(self) -> int | None:
        """The major of its version; None without one."""
        return self.version[0] if self.version else None

    @property
    def minor(self) -> int | None:
        """The minor of its version; None if that is open."""
        return self.version[1] if len(self.version) > 1 else None

    @property
    def whole(self) -> Accelerator:
        """The same with only its major."""
        return self._replace(version=self.version[:1])

    @property
    def number(self) -> str:
        """Its version as text: `12`, `12.6`; empty without one."""
        return ".".join(map(str, self.version))

    @property
    def name(self) -> str:
        """Its part of an environment's name: `cuda12` or `cpu`."""
        return self.kind if self.major is None else f"{self.kind}{self.major}"


CPU = Accelerator("cpu")
"""No accelerator, which is one of the kinds."""
