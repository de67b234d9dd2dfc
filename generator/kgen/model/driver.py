"""Driver versions: numbers with leading zeros, which people write down and compare."""

from __future__ import annotations

import functools

from kgen.model import grammar


@functools.total_ordering
class DriverVersion:
    """A driver version as NVIDIA writes it: `525.60.13`, `580.65.06`.

    >>> DriverVersion("580.65.06") < DriverVersion("580.126"), str(DriverVersion("580.65.06"))
    (True, '580.65.06')
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Parse a driver version.

        Raises:
            ValueError: it does not consist of numbers with dots, starting with a branch such as 580.
        """
        self.text = grammar.driver(text)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers by which it is compared."""
        return tuple(int(part) for part in self.text.split("."))

    def reaches(self, floor: DriverVersion) -> bool:
        """Whether a machine with this driver has at least `floor`.

        A branch alone (`580`) stands for any driver of the branch.
        """
        if len(self.numbers) == 1:
            return self.numbers[0] >= floor.numbers[0]
        return self >= floor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DriverVersion) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"DriverVersion({self.text!r})"

    def __lt__(self, other: DriverVersion) -> bool:
        return self.numbers < other.numbers

    def __str__(self) -> str:
        return self.text
