"""Typed reading of TOML tables that collects every fault, each with its dotted path.

Used for the matrix and for the user's settings; knows the meaning of neither.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from kgen.model.grammar import LONGEST_LINE, SHOWN, is_line, shown

T = TypeVar("T")

_LARGEST = 2**63
"""No whole number of a file is as large, and one of thousands of digits cannot even be shown."""

_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "an array",
    dt.date: "a date",
    dt.datetime: "a date with a time",
    dt.time: "a time",
}


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that `name` was most likely meant to be, if any is close: 1 is the same, 0 nothing alike."""
    import difflib  # noqa: PLC0415 - only a mistake pays for it

    if len(name) > SHOWN:  # it was meant to be none of them, and comparing it would take long
        return None

    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    if close:
        return close[0]
    folded = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=cutoff)
    return folded[close[0]] if close else None


_SHORT = 3
"""So many letters has a name of which one letter in three may be wrong."""


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is a misspelling of; None where it is rather one of its own, as `torchrl` and `cupy`.

    Args:
        name: what was written.
        known: the names that there are.
    """
    lowered = name.casefold()
    alike = (nearest(name, [one], 0.65 if len(one) <= _SHORT else 0.75) for one in known)
    found = [one for one in alike if one is not None and not _begins(lowered, one.casefold())]
    return nearest(name, found)


def _begins(name: str, known: str) -> bool:
    """Whether a name is a known one and more than a letter besides."""
    return name.startswith(known) and len(name) > len(known) + 1


def mismatch(value: object, *wanted: type) -> str:
    """What to say about a value that is of none of the wanted kinds."""
    # Versions are the usual victims, and 3.10 without quotes is 3.1.
    mend = "; put quotes around it" if str in wanted and type(value) in {int, float} else ""
    if list in wanted and isinstance(value, str) and is_line(value):
        mend = f"; put brackets around it: [{json.dumps(value, ensure_ascii=False)}]"
    return f"should be {' or '.join(_KINDS[kind] for kind in wanted)}, is {_kind_of(value)}{mend}"


def unfit(value: object) -> str | None:
    """Why a value of the right kind can be used nowhere: text that steers a terminal, a number without an end."""
    if isinstance(value, str) and not is_line(value):
        return f"`{shown(value)}` is not one printable line of at most {LONGEST_LINE} characters"
    if type(value) is int and not -_LARGEST < value < _LARGEST:
        return "is out of range"
    return None


def _kind_of(value: object) -> str:
    return next((text for kind, text in _KINDS.items() if type(value) is kind), type(value).__name__)


class Table:
    """A TOML table at a dotted path.

    Getters return None where a key is missing or of the wrong kind; a wrong kind, and a missing key that was
    `required`, are added to the faults. :meth:`close` reports keys that no caller read.
    """

    __slots__ = ("_data", "_known", "_path", "faults")

    def __init__(self, data: Mapping[str, Any], path: str | Callable[[], str], faults: list[str]) -> None:
        """Look at a table.

        Args:
            data: what is in it.
            path: where it is; a function where finding it takes time, as only faults need it.
            faults: what is wrong is added to these.
        """
        self._data = data
        self._path = path
        self._known: set[str] = set()
        self.faults = faults

    def at(self, key: str) -> str:
        """The dotted path of a key of this table."""
        shortened = shown(key)
        path = self._path if isinstance(self._path, str) else self._path()
        return f"{path}.{shortened}" if path else shortened

    @property
    def data(self) -> Mapping[str, Any]:
        """All that is in the table, whether or not it was looked at."""
        return self._data

    def fault(self, key: str, what: str) -> None:
        """Note that the value at `key` is wrong."""
        self.faults.append(f"{self.at(key)}: {what}")

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._data

    def raw(self, key: str) -> object:
        """The value at `key`, of whatever kind; None if missing. The caller checks its kind."""
        self._known.add(key)
        return self._data.get(key)

    def is_array(self, key: str) -> bool:
        """Whether the value at `key` is an array."""
        return type(self._data.get(key)) is list

    def __iter__(self) -> Iterator[str]:
        """The keys of the table, in file order."""
        return iter(self._data)

    def get(self, key: str, kind: type[T], *, required: bool = False) -> T | None:
        """The value at `key`, which must be of exactly this kind."""
        self._known.add(key)
        value = self._data.get(key)
        if type(value) is kind:
            wrong = unfit(value)
            if wrong is None:
                return value
            self.fault(key, wrong)
        elif value is not None:
            self.fault(key, mismatch(value, kind))
        elif required:
            self.fault(key, "is missing")
        return None

    def text(self, key: str) -> str:
        """Required text; empty if it is missing, which is noted."""
        return self.get(key, str, required=True) or ""

    def prose(self, key: str) -> str:
        """Required text of any characters, to be escaped where it is shown; empty, and a fault, if it is missing."""
        value = self.raw(key)
        if type(value) is str:
            return value
        self.fault(key, "is missing" if value is None else mismatch(value, str))
        return ""

    def date(self, key: str) -> dt.date:
        """A required date."""
        return self.get(key, dt.date, required=True) or dt.date.min

    def parsed(self, key: str, parse: Callable[[str], T], *, required: bool = False) -> T | None:
        """The text at `key` through `parse`, whose ValueError becomes a fault."""
        value = self.get(key, str, required=required)
        return None if value is None else self._parse(key, value, parse)

    def texts(self, key: str) -> tuple[str, ...]:
        """An array of texts; empty if missing."""
        return self.parsed_texts(key, str)

    def parsed_texts(self, key: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        """An array of texts, each through `parse`; those that do not pass are noted and left out."""
        found = []
        for position, value in enumerate(self.get(key, list) or []):
            place = f"{key}[{position}]"
            wrong = mismatch(value, str) if type(value) is not str else unfit(value)
            if wrong is not None:
                self.fault(place, wrong)
                continue
            one = self._parse(place, value, parse)
            if one is not None:
                found.append(one)
        return tuple(found)

    def table(self, key: str, *, required: bool = False) -> Table:
        """The table at `key`; an empty one if missing, which is a fault if it is required."""
        return Table(self.get(key, dict, required=required) or {}, functools.partial(self.at, key), self.faults)

    def tables(self, key: str) -> Iterator[Table]:
        """The array of tables at `key`."""
        for position, value in enumerate(self.get(key, list) or []):
            place = functools.partial(self._place, key, position)
            if type(value) is dict:
                yield Table(value, place, self.faults)
            else:
                self.faults.append(f"{place()}: {mismatch(value, dict)}")

    def mapping(self, key: str, kind: type[T]) -> dict[str, T]:
        """The table at `key` as name -> value of one kind."""
        inner = self.table(key)
        found = {name: inner.get(name, kind) for name in inner}
        return {name: value for name, value in found.items() if value is not None}

    def parsed_mapping(
        self, key: str, name: Callable[[str], str], parse: Callable[[str], T], *, required: bool = False
    ) -> dict[str, T]:
        """The table at `key` as name -> value, each through its parser; what does not pass is noted and left out."""
        if required:
            self.get(key, dict, required=True)
        inner = self.table(key)
        found = {}
        for one in inner:
            value = inner.parsed(one, parse)
            if self._parse(key, one, name) is not None and value is not None:
                found[one] = value
        return found

    def close(self) -> None:
        """Note every key that was not asked for, with the nearest that is known."""
        for key in self._data:
            if key not in self._known:
                near = nearest(key, self._known)
                self.fault(key, "unknown key" + (f"; did you mean `{near}`?" if near else ""))

    def _place(self, key: str, position: int) -> str:
        return f"{self.at(key)}[{position}]"

    def _parse(self, key: str, value: str, parse: Callable[[str], T]) -> T | None:
        try:
            return parse(value)
        except ValueError as error:
            self.fault(key, str(error))
            return None
