"""Which environment of several, validated at once, has which device."""

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
"""Seconds between two looks whether to give up."""


class Seat(NamedTuple):
    """A device that a process has to itself.

    Attributes:
        place: its place among those of its kind on this machine; None where it is unknown.
        variables: what gives a process this device alone; nothing where there is no choice.
    """

    place: int | None = None
    variables: Mapping[str, str] = MappingProxyType({})


ANY = Seat()
"""Whatever there is."""


def seats(
    variables: Sequence[str],
    shown: Mapping[str, str],
    devices: Sequence[Gpu],
    refusing: Collection[str] = (),
    begin: Sequence[str] = (),
) -> tuple[Seat, ...]:
    """The devices that this process may give to others, each with what gives it.

    Args:
        variables: what gives a process some devices: the first by their numbers among those that the others leave, the
            last also by their names.
        shown: the variables of this process: where one of those is set, no other device may be given away.
        devices: the devices of this machine.
        refusing: the names of devices that refuse another process. They are left out, unless all do: then nobody can
            tell better than the framework what is wrong.
        begin: what the names of devices begin with; nothing where they have numbers alone.
    """
    held = next((name for name in variables if name in shown), None)
    if held is None:
        every = [_named(variables, number, one) for number, one in enumerate(devices)]
    else:
        names = [name for one in shown[held].split(",") if (name := one.strip())]
        found = visibility.shown(shown[held], devices, begin) if devices else None
        # what stands behind the end of the list is not this process's to give; of one that shows nothing the framework
        # says best what is wrong, and the GPU around instances goes by a name that is none of theirs
        names = names if found is None else names[: len(found.places) or 1]
        every = [Seat(_place(name, devices), {held: name}) for name in names]
    free = [one for one in every if not _refuses(one, devices, refusing)]
    return tuple(free or every)


def _named(variables: Sequence[str], number: int, device: Gpu) -> Seat:
    """A device by its name, or its number if it has none."""
    return Seat(number, {variables[-1]: device.selector} if device.selector else {variables[0]: str(number)})


def _place(name: str, devices: Sequence[Gpu]) -> int | None:
    """The place of a device that somebody has named: by a number, or by as much of its name as tells it apart."""
    if name.isdigit():
        return int(name)
    fitting = [number for number, one in enumerate(devices) if one.selector.startswith(name)]
    return fitting[0] if len(fitting) == 1 else None


def _refuses(seat: Seat, devices: Sequence[Gpu], refusing: Collection[str]) -> bool:
    """Whether a device is known by its name, and refuses; a number may be that of another to who counts otherwise."""
    if seat.place is None or any(name.isdigit() for name in seat.variables.values()):
        return False
    return devices[seat.place].selector in refusing


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
