"""Architectures of devices: compute capabilities, which are ordered, and names such as gfx942, which are not.

An architecture is text everywhere. Each kind of accelerator spells its own in one way (:mod:`kgen.accelerators`), so
that equal texts are equal architectures.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from packaging.version import Version

from kgen.model import grammar
from kgen.model.ranges import VersionRange, spell

_ANY = "any"
_NAMES = rf"{grammar.ARCHITECTURE}(?: *, *{grammar.ARCHITECTURE})*"


class DeviceCode(NamedTuple):
    """What a build brings for devices.

    Attributes:
        machine: the architectures that it has machine code for.
        portable: those that it has an intermediate form for, which a driver compiles.
    """

    machine: tuple[str, ...] = ()
    portable: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return bool(self.machine or self.portable)


class Architectures(NamedTuple):
    """A set of architectures: a range of compute capabilities, or names.

    Attributes:
        range: the range; of names, the one that holds everything.
        names: the names; () of a range. The one name `any` stands for every architecture: that of a kind whose code
            is compiled on the machine that runs it.

    >>> "8.6" in Architectures.parse(">=7.5"), "gfx942" in Architectures.parse("gfx90a, gfx942")
    (True, True)
    """

    range: VersionRange = VersionRange()
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Architectures:
        """Read `>=7.5,<13.0`, `gfx90a, gfx942` or `any`.

        Raises:
            ValueError: it is neither.
        """
        if text == _ANY:
            return cls(names=(_ANY,))
        if re.fullmatch(_NAMES, text) is not None:
            return cls(names=tuple(dict.fromkeys(part.strip() for part in text.split(","))))
        try:
            return cls(range=VersionRange(text))
        except ValueError:
            shown = grammar.shown(text)
            raise ValueError(f"`{shown}` is neither a range such as >=7.5 nor names such as gfx942") from None

    @property
    def named(self) -> tuple[str, ...]:
        """The architectures that it names one by one."""
        return () if self.names == (_ANY,) else self.names

    def __contains__(self, architecture: object) -> bool:
        if self.names:
            return architecture in self.names or self.names == (_ANY,)
        return _is_in(self.range, str(architecture))

    def __str__(self) -> str:
        return ", ".join(self.names) or spell(self.range)


@functools.cache
def capability(architecture: str) -> Version | None:
    """A compute capability as a number that can be compared; None of an architecture that is none."""
    return Version(architecture) if re.fullmatch(grammar.CAPABILITY, architecture) else None


@functools.cache
def _is_in(range_of: VersionRange, architecture: str) -> bool:
    number = capability(architecture)
    return number is not None and number in range_of
