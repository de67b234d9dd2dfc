"""Which environment of several, validated at once, has which device."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from kgen.accelerators import Gpu

_TICK = 0.1
"""Seconds between two looks whether to give up."""


class Seat(NamedTuple):
    """A device that a process has to itself.

    Attributes:
        place: its place among those of its kind on this machine; None where nobody can tell.
        variables: what gives a process this device alone; nothing where there is no choice.
    """

    place: int | None = None
    variables: Mapping[str, str] = MappingProxyType({})


ANY = Seat()
"""Whatever there is."""


def seats(variable: str, shown: str | None, devices: Sequence[Gpu]) -> tuple[Seat, ...]:
    """The devices that this process may give to others, each with what gives it.

    Args:
        variable: what gives a process some devices, by number or another name.
        shown: what it is set to here; None where it is not, and all are shown.
        devices: the devices.
    """
    if shown is None:
        return tuple(Seat(number, {variable: one.selector or str(number)}) for number, one in enumerate(devices))
    names = [name for one in shown.split(",") if (name := one.strip())]
    return tuple(Seat(int(name) if name.isdigit() else None, {variable: name}) for name in names)


def at_once(count: int, calls: Iterable[Callable[[], None]], cancel: threading.Event) -> None:
    """Make calls, so many at a time; the first error, and ctrl-C, end those that have not begun.

    Args:
        count: how many at a time.
        calls: the calls.
        cancel: is set where the others are to end, too.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only who asks for several pays for it

    with ThreadPoolExecutor(count) as pool:
        waiting = [pool.submit(call) for call in calls]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            # as ctrl-C, which reaches this thread alone
            cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class Seats:
    """Devices that are lent one by one.

    Args:
        every: the devices.
    """

    def __init__(self, every: Sequence[Seat]) -> None:
        self._free: queue.SimpleQueue[Seat] = queue.SimpleQueue()
        for seat in every:
            self._free.put(seat)

    @contextlib.contextmanager
    def taken(self, *, over: Callable[[], bool]) -> Iterator[Seat]:
        """A device for the block, waited for; any where it is over meanwhile, as nothing is run then."""
        seat = None
        while seat is None and not over():
            with contextlib.suppress(queue.Empty):
                seat = self._free.get(timeout=_TICK)
        try:
            yield seat or ANY
        finally:
            if seat is not None:
                self._free.put(seat)
