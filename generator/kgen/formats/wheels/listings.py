"""What wheels hold, read in the background while uv is at work: file lists, needs, metadata."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, final

from kgen.formats.wheels.chain import requires
from kgen.formats.wheels.closure import Closed
from kgen.formats.wheels.lock import LockedWheel

if TYPE_CHECKING:  # slow to import, and not needed before the first environment is closed
    from packaging.requirements import Requirement as PackagingRequirement

    from kgen.elf import Needs
    from kgen.wheels import WheelListing, WheelReader

T = TypeVar("T")

_READERS = 16
"""Wheels that are read at a time."""


@final
class Listings:
    """The file lists of wheels, each read once, by several threads; a context manager."""

    def __init__(self, reader: WheelReader) -> None:
        self._reader = reader
        self._pool = ThreadPoolExecutor(_READERS)
        self._lock = threading.Lock()
        self._asked: dict[LockedWheel, Future[WheelListing]] = {}

    def __enter__(self) -> Listings:
        return self

    def __exit__(self, *_: object) -> None:
        # after ctrl-C one of them may wait for half a minute yet for a server that says nothing
        self._pool.shutdown(wait=False, cancel_futures=True)

    def of(self, wheel: LockedWheel) -> Future[WheelListing]:
        """The file list of a wheel; read once."""
        with self._lock:
            if wheel not in self._asked:
                self._asked[wheel] = self._pool.submit(
                    self._reader.read, wheel.url, filename=wheel.filename, sha256=wheel.sha256
                )
            return self._asked[wheel]

    def needs_of(self, wheel: LockedWheel, listing: WheelListing) -> Future[Mapping[str, Needs] | None]:
        """What its compiled files need."""
        return self._pool.submit(
            self._reader.needs, wheel.url, filename=wheel.filename, sha256=wheel.sha256, listing=listing
        )

    def requires_of(self, wheel: LockedWheel) -> Future[tuple[PackagingRequirement, ...]]:
        """Its requirements, as its metadata has them."""
        return self._pool.submit(self._requires, wheel)

    def _requires(self, wheel: LockedWheel) -> tuple[PackagingRequirement, ...]:
        from kgen.wheels import is_metadata  # noqa: PLC0415 - slow to import; by now it has been

        if wheel.is_source:
            return ()
        found = self._reader.members(wheel.url, filename=wheel.filename, sha256=wheel.sha256, wanted=is_metadata)
        return tuple(one for content in (found or {}).values() for one in requires(content))

    def besides(self, work: Callable[[], T]) -> Future[T]:
        """Something else that is to be done while uv is at work."""
        return self._pool.submit(work)

    def contents_of(self, wheel: LockedWheel, paths: Collection[str]) -> Future[Mapping[str, bytes]]:
        """The content of a few of its files, by their paths as installed; nothing of those that cannot be had."""
        return self._pool.submit(self._contents, wheel, paths)

    def _contents(self, wheel: LockedWheel, paths: Collection[str]) -> Mapping[str, bytes]:
        def installed(path: str) -> str:
            head, _, rest = path.partition("/")
            return rest.partition("/")[2] if head.endswith(".data") else path

        found = self._reader.members(
            wheel.url, filename=wheel.filename, sha256=wheel.sha256, wanted=lambda path: installed(path) in paths
        )
        return {installed(path): content for path, content in (found or {}).items()}

    def read_ahead(self, closing: Future[Closed | None]) -> None:
        """Read the wheels of a resolution ahead; errors surface where a list is used."""
        found = None if closing.cancelled() or closing.exception() else closing.result()
        for wheel in (*found.wheels.values(), *found.build.values()) if found else ():
            self.of(wheel)
