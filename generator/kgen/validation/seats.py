"""Give each of several environments that are validated at once its own device."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from kgen.accelerators import Gpu
from kgen.validation import visibility

_TICK = 0.1
"""Seconds between two checks whether to give up."""


class Seat(NamedTuple):
    """A device for one process.

    Attributes:
        place: its position among this machine's devices of its kind, from 0; None if unknown.
        variables: the variables that give a process only this device; empty if there is no choice.
    """

    place: int | None = None
    variables: Mapping[str, str] = MappingProxyType({})


ANY = Seat()
"""Any device."""


def seats(
    variables: Sequence[str],
    shown: Mapping[str, str],
    devices: Sequence[Gpu],
    refusing: Collection[str] = (),
    begin: Sequence[str] = (),
) -> tuple[Seat, ...]:
    """The devices that this process may give to its children.

    Args:
        variables: the variables that select devices: the first takes numbers among the devices that the others leave,
            the last also takes names.
        shown: the variables of this process; where one of them selects devices, kgen gives no others.
        devices: the devices of this machine.
        refusing: the names of devices that refuse another process. kgen leaves them out, unless all refuse: then the
            framework can say best what is wrong.
        begin: the prefixes of device names; empty if devices have only numbers.
    """
    held = next((name for name in variables if name in shown), None)
    if held is None:
        every = [_named(variables, number, one) for number, one in enumerate(devices)]
    else:
        names = [name for one in shown[held].split(",") if (name := one.strip())]
        found = visibility.shown(shown[held], devices, begin) if devices else None
        # an invalid entry ends the list, and what follows it is not selected. If the list selects nothing, its first
        # entry stays: the framework can say best what is wrong
        names = names if found is None else names[: len(found.places) or 1]
        every = [Seat(_place(name, devices), {held: name}) for name in names]
    free = [one for one in every if not _refuses(one, devices, refusing)]
    return tuple(free or every)


def _named(variables: Sequence[str], number: int, device: Gpu) -> Seat:
    """A device by its name, or its number if it has none."""
    return Seat(number, {variables[-1]: device.selector} if device.selector else {variables[0]: str(number)})


def _place(name: str, devices: Sequence[Gpu]) -> int | None:
    """The position of a device that the user names by its number or by an unambiguous start of its name."""
    if name.isdigit():
        return int(name)
    fitting = [number for number, one in enumerate(devices) if one.selector.startswith(name)]
    return fitting[0] if len(fitting) == 1 else None


def _refuses(seat: Seat, devices: Sequence[Gpu], refusing: Collection[str]) -> bool:
    """Whether a device is selected by its name and refuses. A number could mean another device."""
    if seat.place is None or any(name.isdigit() for name in seat.variables.values()):
        return False
    return devices[seat.place].selector in refusing


def at_once(count: int, calls: Iterable[Callable[[], None]], cancel: threading.Event) -> None:
    """Make calls, several at a time; after the first error, or ctrl-C, no further call begins.

    Args:
        count: the number of calls at a time.
        calls: the calls.
        cancel: an event that this function sets to end the other calls.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only who asks for several pays for it

    with ThreadPoolExecutor(count) as pool:
        waiting = [pool.submit(call) for call in calls]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            # ctrl-C reaches only this thread
            cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class Seats:
    """Devices that kgen lends one at a time.

    Args:
        every: the devices.
    """

    def __init__(self, every: Sequence[Seat]) -> None:
        self._free: queue.SimpleQueue[Seat] = queue.SimpleQueue()
        for seat in every:
            self._free.put(seat)

    @contextlib.contextmanager
    def taken(self, *, over: Callable[[], bool]) -> Iterator[Seat]:
        """Wait for a device, and lend it for the block. If the run is over meanwhile, it is any device."""
        seat = None
        while seat is None and not over():
            with contextlib.suppress(queue.Empty):
                seat = self._free.get(timeout=_TICK)
        try:
            yield seat or ANY
        finally:
            if seat is not None:
                self._free.put(seat)
