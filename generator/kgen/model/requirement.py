"""Requirements on packages, as the matrix states them and as users ask for them.

As with ranges, `packaging` says what a requirement is; the plain ones are read here because importing that takes longer
than solving.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from packaging.version import Version

from kgen.model import grammar
from kgen.model.ranges import VersionRange, is_plain

_PLAIN = re.compile(
    r"\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"\s*(?:\[(?P<extras>[A-Za-z0-9][A-Za-z0-9, -]*)\])?"
    r"\s*(?P<range>[^;@()\[\]]*)"
    r"(?:;\s*(?P<marker>[^()]+?))?\s*"
)
_CLAUSE = re.compile(
    r"\s*(?P<key>[a-z_]+)\s*(?P<operator>==|!=|<=|>=|<)\s*(?P<quote>[\"'])(?P<value>[^\"']*)(?P=quote)\s*"
)
_VERSIONS = frozenset({"python_version", "python_full_version"})
_NAMES = frozenset({"os_name", "sys_platform", "platform_machine", "platform_system", "implementation_name"})
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""No version, so that it is compared as text."""


class Clause(NamedTuple):
    """One comparison of a plain marker."""

    key: str
    operator: str
    value: str

    def holds(self, environment: Mapping[str, str]) -> bool:
        """Whether it holds in an environment."""
        has = environment[self.key]
        if self.key in _VERSIONS:
            return Version(has) in VersionRange(f"{self.operator}{self.value}")
        return (has == self.value) is (self.operator == "==")

    def __str__(self) -> str:
        return f'{self.key} {self.operator} "{self.value}"'


class Marker:
    """When a requirement applies: clauses that must all hold, or what `packaging` makes of it."""

    __slots__ = ("_clauses", "_other")

    def __init__(self, text: str) -> None:
        """Read a marker.

        Raises:
            ValueError: it is not one.
        """
        self._clauses = _clauses(text)
        self._other: Any = None
        if self._clauses is None:
            from packaging.markers import Marker as Other  # noqa: PLC0415 - slow to import, and seldom needed

            self._other = Other(text)

    def evaluate(self, environment: Mapping[str, str]) -> bool:
        """Whether it holds in an environment, which gives a value to every variable of PEP 508."""
        if self._clauses is None:
            return bool(self._other.evaluate(dict(environment)))
        return all(clause.holds(environment) for clause in self._clauses)

    def __str__(self) -> str:
        return str(self._other) if self._clauses is None else " and ".join(map(str, self._clauses))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Marker) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Requirement:
    """A requirement on a package.

    Attributes:
        name: the package's normalised name.
        extras: the extras that are wanted of it.
        specifier: the range of its versions.
        marker: when it applies; None for always.
        url: where it is to come from; None for the index.

    >>> str(Requirement('Flax[all] >=0.10 ; python_version<"3.13"'))
    'flax[all]>=0.10; python_version < "3.13"'
    """

    __slots__ = ("extras", "marker", "name", "specifier", "url")

    def __init__(self, text: str) -> None:
        """Read a requirement of PEP 508.

        Raises:
            ValueError: it is not one.
        """
        plain = _PLAIN.fullmatch(text)
        if plain is None or not is_plain(plain["range"]):
            self._read_otherwise(text)
            return
        try:
            self.marker = None if plain["marker"] is None else Marker(plain["marker"])
        except ValueError:
            self._read_otherwise(text)
            return
        self.url: str | None = None
        self.extras = frozenset(part.strip() for part in (plain["extras"] or "").split(",") if part.strip())
        self.specifier = VersionRange(plain["range"])
        self.name = canonical_name(grammar.project(plain["name"]))

    def _read_otherwise(self, text: str) -> None:
        from packaging.requirements import InvalidRequirement  # noqa: PLC0415 - slow to import, and seldom needed
        from packaging.requirements import Requirement as Other  # noqa: PLC0415

        try:
            other = Other(text)
        except InvalidRequirement as error:
            raise ValueError(f"`{text}` is not a requirement: {error}".splitlines()[0]) from None
        self.url = other.url
        self.extras = frozenset(other.extras)
        self.specifier = VersionRange(str(other.specifier))
        self.marker = None if other.marker is None else Marker(str(other.marker))
        self.name = canonical_name(grammar.project(other.name))

    @property
    def head(self) -> str:
        """The package with its extras, whatever its version: `flax[all]`."""
        return f"{self.name}[{','.join(sorted(self.extras))}]" if self.extras else self.name

    def __str__(self) -> str:
        url = "" if self.url is None else f" @ {self.url}" + (" " if self.marker else "")
        marker = "" if self.marker is None else f"; {self.marker}"
        return f"{self.head}{self.specifier}{url}{marker}"

    def __repr__(self) -> str:
        return f"Requirement({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Requirement) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


@functools.cache
def parse_requirement(text: str) -> Requirement:
    """A requirement, read once however often it is met.

    Raises:
        ValueError: it is not one.
    """
    return Requirement(text)


@functools.cache
def required_name(text: str) -> str:
    """The name of the package that a requirement asks for, normalised; quicker than reading all of it."""
    match = re.match(r"[A-Za-z0-9._-]+", text)
    return canonical_name(match.group()) if match else parse_requirement(text).name


@functools.cache
def canonical_name(name: str) -> str:
    """A package's name as indexes normalise it (PEP 503): `Flax_NNX` is `flax-nnx`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _clauses(text: str) -> tuple[Clause, ...] | None:
    """The clauses of a plain marker; None for any other."""
    found = []
    for part in re.split(r"\band\b", text):
        match = _CLAUSE.fullmatch(part)
        if match is None:
            return None
        key, operator, value = match["key"], match["operator"], match["value"]
        if key in _VERSIONS:
            try:
                VersionRange(f"{operator}{value}")
            except ValueError:
                return None
        elif key not in _NAMES or operator not in {"==", "!="} or _WORD.fullmatch(value) is None:
            return None
        found.append(Clause(key, operator, value))
    return tuple(found)
