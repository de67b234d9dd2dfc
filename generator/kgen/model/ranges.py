"""Ranges of versions, which a question to the solver reads by the hundred.

`packaging` says what a range is and holds. Importing what it says that with takes longer than solving, so the plain
comparisons that nearly all ranges are made of are read here; whatever else a range may be made of is left to it.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

_COMPARISON = re.compile(r"\s*(==|!=|>=|<=|<|>|~=)\s*([0-9A-Za-z.+]+?)(\.\*)?\s*")
_PREFIXED = frozenset({"==", "!="})
_NUMBERS = re.compile(r"\d+(\.\d+)+")


class Comparison(NamedTuple):
    """One comparison of a range: an operator of PEP 440 and a version, which may end in `.*`."""

    operator: str
    version: str

    def __str__(self) -> str:
        return f"{self.operator}{self.version}"

    def holds(self, version: Version) -> bool:
        """Whether a version satisfies the comparison. Pre-releases count; other code decides whether to use one."""
        bound = _bound(self)
        if bound is None:
            from packaging.specifiers import Specifier  # noqa: PLC0415 - slow to import, and seldom needed

            return Specifier(str(self)).contains(version, prereleases=True)
        if version.local is not None and bound.local is None:  # a plain comparison ignores the local label
            version = Version(version.public)
        if self.version.endswith(".*"):
            return _begins(version, bound) is (self.operator == "==")
        return _PLAIN[self.operator](version, bound)


def _is_below(version: Version, bound: Version) -> bool:
    """Whether a version is below a bound; a pre-release of the bound itself is not (PEP 440)."""
    around = version.is_prerelease and not bound.is_prerelease and _begins(version, bound, whole=True)
    return version < bound and not around


def _is_compatible(version: Version, bound: Version) -> bool:
    return version >= bound and _begins(version, bound, bound.release[:-1])


_PLAIN: Mapping[str, Callable[[Version, Version], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    "<": _is_below,
    "~=": _is_compatible,
}


class VersionRange:
    """A range of versions: comparisons that must all hold. A range without comparisons holds every version.

    >>> Version("3.15.1") in VersionRange("<4, >=3.10"), str(VersionRange(">=3.10,<4"))
    (True, '<4,>=3.10')
    """

    __slots__ = ("_comparisons",)

    def __init__(self, text: str = "") -> None:
        """Read a range in the form of a requirement.

        Raises:
            ValueError: the text is not a range.
        """
        self._comparisons = _read(text)

    def __contains__(self, version: Version) -> bool:
        """Whether a version is in the range. Pre-releases count; other code decides whether to use one."""
        return all(one.holds(version) for one in self._comparisons)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self._comparisons)

    def __bool__(self) -> bool:
        return bool(self._comparisons)

    @property
    def names_early(self) -> bool:
        """Whether one of its bounds is a pre-release."""
        bounds = (version_or_none(one.version.removesuffix(".*")) for one in self)
        return any(bound is not None and bound.is_prerelease for bound in bounds)

    def __and__(self, other: VersionRange) -> VersionRange:
        return VersionRange(",".join(map(str, (*self, *other))))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VersionRange) and self._comparisons == other._comparisons

    def __hash__(self) -> int:
        return hash(self._comparisons)

    def __str__(self) -> str:
        return ",".join(map(str, self._comparisons))

    def __repr__(self) -> str:
        return f"VersionRange({str(self)!r})"


def is_plain(text: str) -> bool:
    """Whether this module can read a range; `packaging` reads all others."""
    return _plain(text) is not None


def _read(text: str) -> tuple[Comparison, ...]:
    """The comparisons, in the order in which `packaging` writes them."""
    found = _plain(text)
    if found is None:
        from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - slow to import, and seldom needed

        # an invalid one is a ValueError
        found = [Comparison(one.operator, one.version) for one in SpecifierSet(text)]
    return tuple(sorted(dict.fromkeys(found), key=str))


def _plain(text: str) -> list[Comparison] | None:
    found: dict[tuple[object, ...], Comparison] = {}
    for part in text.split(",") if text.strip() else ():
        match = _COMPARISON.fullmatch(part)
        if match is None:
            return None
        comparison = Comparison(match[1], match[2] + (match[3] or ""))
        bound = _bound(comparison)
        said = (comparison.operator, bound, match[3])
        # where two comparisons are equal but spelled differently, `packaging` decides which to keep
        if bound is None or found.get(said, comparison) != comparison:
            return None
        found[said] = comparison
    return list(found.values())


def version_or_none(text: str) -> Version | None:
    """The version that a text spells; None if it spells none, which `===` allows."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


@functools.cache
def _bound(comparison: Comparison) -> Version | None:
    """The version that a comparison compares with; None if the comparison is not a plain one."""
    sign, text = comparison
    if sign not in _PLAIN or ("+" in text and sign != "=="):  # these have special rules for equality
        return None
    plain = text.removesuffix(".*")
    if (plain != text or sign == "~=") and (_NUMBERS.fullmatch(plain) is None and not plain.isdecimal()):
        return None
    if (plain != text and sign not in _PREFIXED) or (sign == "~=" and "." not in plain):
        return None
    try:
        bound = Version(plain)
    except InvalidVersion:
        return None
    return None if sign == "<" and bound.is_postrelease else bound


def _begins(version: Version, bound: Version, numbers: Sequence[int] = (), *, whole: bool = False) -> bool:
    """Whether a version's numbers begin with the bound's, or with `whole` equal them; missing numbers are zeros."""
    begin = numbers or bound.release
    width = max(len(version.release), len(begin)) if whole else len(begin)
    return version.epoch == bound.epoch and _padded(version.release, width) == _padded(begin, width)


def _padded(numbers: Sequence[int], width: int) -> tuple[int, ...]:
    return (*numbers, *[0] * width)[:width]


def spell(specifiers: Iterable[object]) -> str:
    """A range as people write it: the lower bound before the upper one."""
    return ",".join(sorted(map(str, specifiers), key=lambda text: (text.startswith(("<", "!=")), text)))
