"""The table of variables that turn a framework aside, which the diagnosis and the doctor share."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tomli

from kgen.model.accelerator import CPU


class Variable(NamedTuple):
    """What a variable does if it has a certain value.

    Attributes:
        name: the variable.
        pattern: what its whole value matches.
        says: what it does then; `{0}` is the value.
        faults: the failures of a validation that it may be behind.
        effect: `libraries`, `modules` or `toolkit`: it is a cause only if such an effect of it was seen; None if its
            value is one.
        doctor: what it is to the doctor; None if that judges it by other rules, or not.
        packages: it concerns environments that have one of these; none if it concerns all.
        without: it concerns no environment that has one of these.
        kinds: it concerns environments that compute on one of these kinds of device; none if it concerns all.
        gpu: whether it concerns environments for a GPU only.
        numbered: whether the first group of its pattern is the number of a device: to the doctor it is something only
            where a process sees no device of that number.
        why: the doctor's reason.
        hint: what to do about it; empty where it is to be unset.
    """

    name: str
    pattern: str
    says: str
    faults: tuple[str, ...]
    effect: Literal["libraries", "modules", "toolkit"] | None = None
    doctor: Literal["fault", "note"] | None = None
    packages: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    gpu: bool = False
    numbered: bool = False
    why: str = ""
    hint: str = ""

    def fits(self, variables: Mapping[str, str]) -> bool:
        """Whether it is set to such a value."""
        return self.name in variables and re.fullmatch(self.pattern, variables[self.name]) is not None

    def number(self, variables: Mapping[str, str]) -> int:
        """The number of a device in its value, which must fit."""
        match = re.fullmatch(self.pattern, variables[self.name])
        assert match is not None  # noqa: S101 - it fits
        return int(match[1])

    def concerns(self, packages: Collection[str], kind: str) -> bool:
        """Whether it means something to an environment with these packages that computes on this kind of device."""
        return (
            not (self.gpu and kind == CPU.kind)
            and (not self.kinds or kind in self.kinds)
            and (not self.packages or any(name in packages for name in self.packages))
            and not any(name in packages for name in self.without)
        )


@functools.cache
def known() -> tuple[Variable, ...]:
    """Every row of the table."""
    text = (Path(__file__).parent / "variables.toml").read_text(encoding="utf-8")
    return tuple(_variable(row) for row in tomli.loads(text)["variable"])


def of(name: str) -> tuple[Variable, ...]:
    """The rows of a variable."""
    return tuple(row for row in known() if row.name == name)


def _variable(row: Mapping[str, Any]) -> Variable:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    del values["source"]
    return Variable(**values)
