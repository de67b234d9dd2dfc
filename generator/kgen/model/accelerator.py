"""What an environment computes on: a CUDA major (or major.minor), or the CPU."""

from __future__ import annotations

import re
from typing import NamedTuple

from kgen.errors import UsageError
from kgen.model.grammar import shown

_CUDA = re.compile(r"(?P<major>[0-9]{1,3})(?:\.(?P<minor>[0-9]{1,3}))?")


class Accelerator(NamedTuple):
    """A CUDA major, optionally with the newest minor that is allowed; or the CPU.

    Attributes:
        cuda: the CUDA major; None for the CPU.
        minor: the newest CUDA minor version that may be in the environment; None for any.

    >>> Accelerator.parse("12.6").name, str(Accelerator.parse("12.6"))
    ('cuda12', 'CUDA 12.6')
    """

    cuda: int | None = None
    minor: int | None = None

    @classmethod
    def parse(cls, text: str) -> Accelerator:
        """Read `12`, `12.6`, `cuda12` or `cpu`.

        Raises:
            UsageError: it is none of these.
        """
        if text == "cpu":
            return CPU
        match = _CUDA.fullmatch(text.removeprefix("cuda"))
        if match is None:
            raise UsageError(
                f"`{shown(text)}` is not a CUDA version", hints=["give a major or major.minor, such as `--cuda 12`"]
            )
        minor = match["minor"]
        return cls(cuda=int(match["major"]), minor=None if minor is None else int(minor))

    @property
    def name(self) -> str:
        """The part that it gives to an environment's name: `cuda12` or `cpu`."""
        return "cpu" if self.cuda is None else f"cuda{self.cuda}"

    @property
    def version(self) -> str:
        """`12` or `12.6`; `cpu` for the CPU."""
        if self.cuda is None:
            return "cpu"
        return f"{self.cuda}" if self.minor is None else f"{self.cuda}.{self.minor}"

    def __str__(self) -> str:
        return "the CPU" if self.cuda is None else f"CUDA {self.version}"


CPU = Accelerator()
