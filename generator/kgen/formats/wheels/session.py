"""Locks several environments at once: solves, resolves with uv, shares versions, reads file lists, and verifies.

What verifying finds goes back to the solver and to uv, a limited number of times. This module writes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from kgen import licences
from kgen.errors import Cancelled, JudgementError, KgenError, OutsideError
from kgen.explain.faults import fault_text
from kgen.formats.outcome import Outcome, Reporter, unreported
from kgen.formats.wheels import FORMAT, judge
from kgen.formats.wheels.chain import chains
from kgen.formats.wheels.closer import Closer, Unclosable
from kgen.formats.wheels.closure import Closed
from kgen.formats.wheels.lessons import Lesson, first_of_each, learn, packages_of, roots
from kgen.formats.wheels.listings import Listings
from kgen.formats.wheels.lock import Lock
from kgen.formats.wheels.namespace import only_extends_path
from kgen.formats.wheels.newest import Newest
from kgen.formats.wheels.questions import CLOSERS, results
from kgen.formats.wheels.remedies import Remedies, allowing
from kgen.formats.wheels.sharing import Sharing
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.causes import LockFault, OtherAccelerator, OverlappingFiles, SeveralLibraries
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict, Resolution

if TYPE_CHECKING:  # slow to import, and not needed before the first environment is closed
    from kgen.elf import Needs
    from kgen.formats.wheels.age import Releases
    from kgen.wheels import WheelListing, WheelReader

T = TypeVar("T")

JUDGEMENTS = 16
"""How many times kgen resolves again without what verifying found."""

_PACKAGE = "__init__.py"

WheelOutcome = Outcome[Lock]
_Ready = tuple[WheelOutcome, Closed]


class Session:
    """One run of the locker over several requests."""

    def __init__(
        self,
        matrix: CompatibilityMatrix,
        closer: Closer,
        open_reader: Callable[[], WheelReader],
        *,
        cancel: threading.Event,
        report: Reporter = unreported,
        open_releases: Callable[[WheelReader], Releases] | None = None,
    ) -> None:
        """Prepare the session; nothing is started.

        Args:
            matrix: the facts.
            closer: resolves each request; belongs to this run only.
            open_reader: returns the reader of wheels' sizes and file lists.
            cancel: set it to end everything that is under way.
            report: called with each request and its stage, from any thread.
            open_releases: returns the releases on the indexes; None to query none.
        """
        self._matrix = matrix
        self._closer = closer
        self._open_reader = open_reader
        self._cancel = cancel
        self._report = report
        self._open_releases = open_releases
        self._remedies = Remedies(matrix, closer, self._made_fit)
        self._sharing = Sharing(closer, cancel=cancel, report=report)
        self._newest: Newest | None = None
        self._unclosable: set[EnvironmentRequest] = set()

    @property
    def better_python(self) -> str | None:
        """The Python that should replace an open one; None as long as there is no reason for another."""
        return self._closer.better_python

    def lock(self, requests: Sequence[EnvironmentRequest]) -> list[WheelOutcome]:
        """Lock every request; returns an outcome for each, in their order.

        Raises:
            KeyboardInterrupt: after every child process has ended.
        """
        outcomes = [WheelOutcome(request=request, form=FORMAT) for request in requests]
        self._closer.prefer(requests)
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(CLOSERS) as pool:
            try:
                closing = [pool.submit(self._close_timed, outcome) for outcome in outcomes]
                # opened while uv waits for the index: the imports for reading wheels are slow
                reader = stack.enter_context(self._open_reader())
                listings = stack.enter_context(Listings(reader))
                newest = self._seek_newest(requests, reader, listings)
                for future in closing:
                    # the wheels of one environment are read while uv resolves the others
                    future.add_done_callback(listings.read_ahead)
                closed = self._results(closing)
                ready = [(outcome, found) for outcome, found in zip(outcomes, closed, strict=True) if found]
                if newest is not None:
                    self._newest = newest
                    renewed = [pool.submit(newest.taken, found) for _, found in ready]
                    ready = [(one, found) for (one, _), found in zip(ready, self._results(renewed), strict=True)]
                ended = self._finish_all(pool, listings, ready)
                self._sharing.explain(ready, ended)
                if newest is not None:
                    newest.tell(ended)
            except KeyboardInterrupt:
                # set before the pool ends, because its end waits for what is under way
                self._cancel.set()
                raise
        return outcomes

    def _finish_all(self, pool: ThreadPoolExecutor, listings: Listings, ready: Sequence[_Ready]) -> Sequence[_Ready]:
        """Verify the resolutions; refuse those that remain unfit, and note what verifying changed in the others."""
        lessons: dict[EnvironmentRequest, Lesson] = {}
        shared = self._judged(pool, listings, ready, lessons)
        self._sharing.tell(shared)
        for outcome, found in shared:
            lesson = lessons.get(outcome.request)
            if outcome.faults:
                self._refuse(listings, outcome, found, lesson)
            elif lesson is not None:
                outcome.notes += lesson.notes(outcome.request.environment, found.versions, roots(found.resolution, ()))
        return shared

    def _judged(
        self,
        pool: ThreadPoolExecutor,
        listings: Listings,
        ready: Sequence[_Ready],
        lessons: dict[EnvironmentRequest, Lesson],
    ) -> Sequence[_Ready]:
        """Verify the resolutions, and resolve again without what makes them unfit, a limited number of times."""
        shared: Sequence[_Ready] = ()
        for last in (*[False] * JUDGEMENTS, True):
            shared = self._sharing.shared(pool, ready)
            for outcome, found in shared:
                started = time.monotonic()
                self._report(outcome.request, "reading file lists")
                self._finish(listings, outcome, found)
                outcome.seconds += time.monotonic() - started
            ready = [] if last else self._closed_anew(pool, listings, shared, lessons)
            if not ready:
                break
        return shared

    def _made_fit(self, found: Closed) -> Closed | None:
        """A tentative resolution as the locker would write it; None if it would refuse it.

        This uses its own reader and threads: those of the run may not exist yet, or be waiting for the result.
        """
        outcome = WheelOutcome(request=found.resolution.request.as_asked, form=FORMAT)
        with self._open_reader() as reader, Listings(reader) as listings, ThreadPoolExecutor(1) as pool:
            ((_, ended),) = self._judged(pool, listings, [(outcome, found)], {})
        return None if outcome.lock is None else ended

    def _seek_newest(
        self, requests: Sequence[EnvironmentRequest], reader: WheelReader, listings: Listings
    ) -> Newest | None:
        """Query the indexes for releases of what the user names, while uv runs; None if the user names nothing."""
        names = dict.fromkeys(wish.name for request in requests for wish in request.dependencies if wish.url is None)
        asked = [name for name in names if name not in self._matrix.framework_names]
        if not asked or self._open_releases is None:
            return None
        releases = self._open_releases(reader)
        return Newest(
            self._matrix,
            self._closer,
            self._remedies,
            releases,
            listings.besides(lambda: releases.ask(asked)),
            cancel=self._cancel,
            report=self._report,
        )

    def _close_timed(self, outcome: WheelOutcome) -> Closed | None:
        started = time.monotonic()
        try:
            found = self._close_keeping(outcome)
            if isinstance(found, Unclosable):
                outcome.tree = found.reason
                self._remedies.refuse(found)
        except Cancelled:
            return None
        except KgenError as error:
            outcome.error = error
            return None
        finally:
            outcome.seconds += time.monotonic() - started
        if isinstance(found, Conflict):
            outcome.conflict = found
            return None
        return found

    def _close_keeping(self, outcome: WheelOutcome) -> Closed | Conflict | Unclosable:
        """Resolve with the versions of an older lock, or without them if they prevent a solution."""
        request = outcome.request
        self._remedies.require_accelerator(request)
        try:
            found: Closed | Conflict | Unclosable | None = self._closer.close(request, outcome.notes)
        except OutsideError:
            if not request.held or self._cancel.is_set():
                raise
            found = None
        if isinstance(found, Closed) or (found is not None and not request.held):
            return found
        anew = self._closer.close(request._replace(held=()), outcome.notes)
        outcome.notes.append(
            f"{request.environment}: kept nothing of the locks that are there: uv finds no solution with their versions"
        )
        return anew

    def _closed_anew(
        self,
        pool: ThreadPoolExecutor,
        listings: Listings,
        shared: Sequence[_Ready],
        lessons: dict[EnvironmentRequest, Lesson],
    ) -> list[_Ready]:
        """All resolutions, with new ones instead of the unfit ones; empty if there is no new one."""
        unfit = []
        for position, (outcome, found) in enumerate(shared):
            before = lessons.get(outcome.request)
            lesson = learn(self._matrix, found.resolution, found.versions, outcome.faults, before)
            if outcome.faults and lesson is not None and lesson != before:
                lessons[outcome.request] = lesson
                unfit.append((position, lesson))
        closing = [pool.submit(self._close_without, *shared[position], lesson) for position, lesson in unfit]
        for future in closing:
            future.add_done_callback(listings.read_ahead)
        anew = {position: found for (position, _), found in zip(unfit, self._results(closing), strict=True) if found}
        if not anew:
            return []
        return [(outcome, anew.get(position, found)) for position, (outcome, found) in enumerate(shared)]

    def _close_without(self, outcome: WheelOutcome, before: Closed, lesson: Lesson) -> Closed | None:
        """Resolve without what verifying found unfit; None if that fails."""
        started = time.monotonic()
        joined = before.resolution.request
        # frameworks that came along before are members from the start: pins for the others might exclude them
        request = outcome.request._replace(members=joined.members, cpu_members=joined.cpu_members)
        try:
            found = self._closer.close(request, outcome.notes, lesson)
            if isinstance(found, Unclosable):
                self._unclosable.add(outcome.request)
            if isinstance(found, Closed):
                return found if self._newest is None else self._newest.taken(found)
        except Cancelled:
            return None
        except OutsideError:
            self._unclosable.add(outcome.request)
            return None
        else:
            return None
        finally:
            outcome.seconds += time.monotonic() - started

    def _results(self, futures: Sequence[Future[T]]) -> list[T]:
        return results(futures, self._cancel)

    def _finish(self, reading: Listings, outcome: WheelOutcome, found: Closed) -> None:
        try:
            read = self._results([reading.of(wheel) for wheel in found.wheels.values()])
            listings = dict(zip(found.wheels, read, strict=True))
            builders = self._results([reading.of(wheel) for wheel in found.build.values()])
            needs = self._needs(reading, found, listings)
        except KgenError as error:
            outcome.error = error
            return
        incomplete = [name for name, listing in listings.items() if not listing.complete]
        note = f"the index answers no range requests: the files of {', '.join(incomplete)} were not compared"
        if incomplete and note not in outcome.remarks:
            outcome.remarks.append(note)
        wheels = tuple(
            dataclasses.replace(wheel, size=listings[name].size, licence=licences.name(listings[name].declared))
            for name, wheel in found.wheels.items()
        )
        build = tuple(
            dataclasses.replace(wheel, size=listing.size)
            for wheel, listing in zip(found.build.values(), builders, strict=True)
        )
        lock = Lock(resolution=_as_locked(found), wheels=wheels, build=build, trees=found.trees)
        found_faults = judge.faults(
            self._matrix, lock, {name: listing for name, listing in listings.items() if listing.complete}, needs
        )
        try:
            outcome.faults = tuple(self._that_matter(reading, found, found_faults))
        except KgenError as error:
            outcome.error = error
            return
        if not outcome.faults:
            outcome.lock = lock

    def _that_matter(self, reading: Listings, found: Closed, faults: Sequence[LockFault]) -> Iterator[LockFault]:
        """The faults without harmless overlaps: `__init__.py` files that only extend a namespace."""
        asked: dict[str, set[str]] = {}
        for fault in faults:
            if isinstance(fault, OverlappingFiles):
                for path in fault.paths:
                    if path.rpartition("/")[2] == _PACKAGE:
                        asked.setdefault(fault.first, set()).add(path)
                        asked.setdefault(fault.second, set()).add(path)
        read = self._results([reading.contents_of(found.wheels[name], paths) for name, paths in asked.items()])
        harmless = {
            (name, path)
            for name, contents in zip(asked, read, strict=True)
            for path, content in contents.items()
            if only_extends_path(content)
        }
        for fault in faults:
            if not isinstance(fault, OverlappingFiles):
                yield fault
                continue
            paths = [path for path in fault.paths if not {(fault.first, path), (fault.second, path)} <= harmless]
            if paths:
                yield fault._replace(paths=tuple(paths))

    def _needs(
        self, reading: Listings, found: Closed, listings: Mapping[str, WheelListing]
    ) -> Mapping[str, Mapping[str, Needs]]:
        """What compiled files need, for the packages whose needs the matrix does not know."""
        asked = {
            name: reading.needs_of(wheel, listings[name])
            for name, wheel in found.wheels.items()
            if judge.is_to_be_read(self._matrix, found.resolution, name)
        }
        read = dict(zip(asked, self._results(list(asked.values())), strict=True))
        return {name: needs for name, needs in read.items() if needs}

    def _refuse(self, reading: Listings, outcome: WheelOutcome, found: Closed, lesson: Lesson | None) -> None:
        """Report what is unfit, and which requirements bring it in."""
        faults = outcome.faults
        if lesson is not None and learn(self._matrix, found.resolution, found.versions, faults, lesson) == lesson:
            faults = first_of_each((*lesson.faults, *faults))
        ways = self._chains(reading, found)
        faulty = {name for fault in faults for name in packages_of(fault)}
        faults = tuple(_first_causes(faults, ways))
        following = faulty.difference(name for fault in faults for name in packages_of(fault))
        asked = roots(found.resolution, found.added)
        listed, guilty, bringing = [], dict[str, None](), dict[str, None]()
        for fault in faults:
            listed.append(f"  {fault_text(fault)}")
            for way in (ways.get(name, ()) for name in packages_of(fault)):
                guilty.update(dict.fromkeys(way[:1]))
                bringing.update(dict.fromkeys(way[:1] if len(way) > 1 else ()))
                chain = f"    required by: {' -> '.join((asked[way[0]], *way[1:]))}" if len(way) > 1 else ""
                listed += [chain] if chain and chain not in listed else []
        forbidden = [] if lesson is None else [one for one in lesson.forbidden if one.split()[0] not in following]
        if forbidden and outcome.request in self._unclosable:
            listed.append(f"uv finds no solution without {' and '.join(forbidden)}")
        own = {wish.name for wish in outcome.request.dependencies}
        named = [asked[name] for name in guilty if name in own or name not in found.resolution.packages]
        outcome.error = JudgementError(
            f"{outcome.request.environment}: what uv resolved does not work together\n" + "\n".join(listed),
            hints=[
                f"look at `dependencies`: {' and '.join(named)} {'brings' if len(named) == 1 else 'bring'} these in"
                if named
                else _brought_by_frameworks([asked[name] for name in bringing]),
                *self._remedies.on_another_accelerator(
                    outcome.request, [one.own for one in faults if isinstance(one, OtherAccelerator)]
                ),
                *self._remedies.unbounded(outcome.request, guilty),
                *allowing(outcome.request, faults, found.resolution.packages, self._closer.command),
            ],
        )

    def _chains(self, reading: Listings, found: Closed) -> Mapping[str, tuple[str, ...]]:
        """The chain of requirements that brings in each package; none if metadata cannot be fetched."""
        asked = roots(found.resolution, found.added)
        try:
            read = self._results([reading.requires_of(wheel) for wheel in found.wheels.values()])
        except KgenError:
            return {}
        request = found.resolution.request
        markers = self._matrix.platforms[request.platform].marker_environment(request.python)
        return chains(asked.values(), dict(zip(found.wheels, read, strict=True)), markers)


def _first_causes(faults: Sequence[LockFault], ways: Mapping[str, tuple[str, ...]]) -> Iterator[LockFault]:
    """The faults without consequences of others, such as what a package for another accelerator brings along."""
    astray = {one.package for one in faults if isinstance(one, OtherAccelerator)}
    brought = {name for name in astray if not astray.isdisjoint(ways.get(name, ())[:-1])}
    for fault in faults:
        about = [name for name, _ in fault.packages] if isinstance(fault, SeveralLibraries) else packages_of(fault)
        doubled = isinstance(fault, (SeveralLibraries, OverlappingFiles)) and not astray.isdisjoint(about)
        follows = isinstance(fault, OtherAccelerator) and fault.package in brought
        if not doubled and not follows:
            yield fault


def _brought_by_frameworks(roots: Sequence[str]) -> str:
    """What to check if no dependency of the user brings in unfit packages.

    Args:
        roots: the requirements on frameworks that bring them in.
    """
    if not roots:
        return "look at `dependencies`: one of them brings these in"
    return f"require another release: {' and '.join(roots)} {'brings' if len(roots) == 1 else 'bring'} these in"


def _as_locked(found: Closed) -> Resolution:
    """The resolution with the versions that uv chose, for packages that are uv's choice."""
    free = {name: found.versions[name] for name in found.resolution.libraries if name in found.versions}
    for name in found.resolution.pinned:
        free.pop(name, None)
    return found.resolution._replace(libraries={**found.resolution.libraries, **free})
