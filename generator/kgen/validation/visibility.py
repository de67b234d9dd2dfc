"""Which devices a process is shown by the variables that choose them, as the driver reads those."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from kgen.accelerators import Gpu

_OF_OLD = r"MIG-(GPU-[^/]+)/.*"
"""An instance by its GPU's name and two numbers, as drivers before 470 called them."""


class Shown(NamedTuple):
    """What a list of devices shows.

    Attributes:
        places: the places of the devices among those that there are, in the order of the list.
        rest: the entries from the first that is not a device here; the list ends before it.
        several: whether that entry is the beginning of several devices' names.
        twice: whether the list has a device twice, and so shows none.
    """

    places: tuple[int, ...]
    rest: tuple[str, ...] = ()
    several: bool = False
    twice: bool = False


class _Named(NamedTuple):
    """What an entry names: the places of the devices that it may be; None if unknown."""

    places: tuple[int, ...] | None


def shown(
    text: str, devices: Sequence[Gpu], prefixes: Sequence[str], around: Sequence[str] = (), count: int = 0
) -> Shown | None:
    """What a list shows: it ends with the first entry that is not a device; None if unknown.

    Args:
        text: the list.
        devices: the devices that there are.
        prefixes: what names of devices begin with; none where a list takes numbers alone.
        around: the names of the GPUs that are divided: numbers then count GPUs, and not what they are divided into.
        count: how many GPUs there are, where some are divided.
    """
    entries = [one.strip() for one in text.split(",")]
    # the first entry says whether all are names, and of what
    prefix = next((one for one in prefixes if entries[0].startswith(one)), "")
    found: list[int] = []
    for at, entry in enumerate(entries):
        if prefix:
            named = _by_name(entry, devices, around) if entry.startswith(prefix) else _Named(())
        else:
            named = _by_number(entry, devices, named=bool(prefixes), divided=count if around else None)
        if named.places is None:
            return None
        if len(named.places) != 1:
            return Shown(tuple(found), tuple(entries[at:]), several=bool(named.places))
        if named.places[0] in found:
            return Shown((), twice=True)
        found += named.places
    return Shown(tuple(found))


def _by_number(entry: str, devices: Sequence[Gpu], *, named: bool, divided: int | None) -> _Named:
    # where names are taken too, numbers are read as C's strtoul does, and what follows is passed over
    match = re.match(r"\+?([0-9]+)", entry) if named else re.fullmatch("([0-9]+)", entry)
    if match is None:
        return _Named(() if named else None)
    number = int(match[1])
    if divided is not None and number >= divided > 0:
        return _Named(())
    if divided is not None or not devices:
        return _Named(None)
    return _Named((number,) if number < len(devices) else ())


def _by_name(entry: str, devices: Sequence[Gpu], around: Sequence[str]) -> _Named:
    of_old = re.fullmatch(_OF_OLD, entry)
    # a divided GPU's own name is that of its first instance
    names = [*(one.selector for one in devices), *around]
    if not names or not all(names):
        return _Named(None)
    wanted = (of_old[1] if of_old else entry).lower()
    return _Named(tuple(place for place, name in enumerate(names) if name.lower().startswith(wanted)))
