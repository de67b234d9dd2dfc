"""Locks several environments at once: solve, close, share versions, read file lists, judge.

What uv cannot close goes back to the solver as something learned, a bounded number of times. Nothing is written here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar, final

from packaging.pylock import Package, Pylock
from packaging.version import Version

from kgen import accelerators, licences, uvtool
from kgen.errors import Cancelled, JudgementError, KgenError, MalformedAnswerError, OutsideError, UnavailableError
from kgen.explain.faults import fault_text
from kgen.fields import lock_command
from kgen.formats.outcome import Outcome, Reporter, unreported
from kgen.formats.wheels import FORMAT, company, judge
from kgen.formats.wheels.aging import Aged, Releases, aged, fits_on, floor_of_recent, unasked_prereleases
from kgen.formats.wheels.asking import CLOSERS, results
from kgen.formats.wheels.chain import chains, requires
from kgen.formats.wheels.lessons import Lesson, first_of_each, learn, packages_of, roots
from kgen.formats.wheels.lock import Lock, LockedWheel, best_wheel, supported_tags
from kgen.formats.wheels.namespace import only_extends_path
from kgen.formats.wheels.uv import Unclosed, Uv
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import LockFault, OtherAccelerator, OverlappingFiles, SeveralLibraries
from kgen.model.lockfile import LockedFile, LockedTree
from kgen.model.ranges import VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement, canonical_name, parse_requirement
from kgen.model.resolution import Conflict, Resolution, SourceRelease
from kgen.solver.imported import whole_instead_of_part
from kgen.solver.python import best_python
from kgen.solver.resolve import Incompatibility, solve
from kgen.solver.sharing import common_ceilings, shared_libraries, shared_reasons

if TYPE_CHECKING:  # slow to import, and not needed before the first environment is closed
    from packaging.requirements import Requirement as PackagingRequirement

    from kgen.elf import Needs
    from kgen.formats.wheels.direct import DirectSources, DirectWheel
    from kgen.wheels import WheelListing, WheelReader

T = TypeVar("T")

ROUNDS = 8
"""How often what uv could not close goes back to the solver."""

JUDGEMENTS = 16
"""How often what was closed and is unfit is closed again with what that taught."""

_ABSENT = re.compile(
    r"there (?:is|are) no versions? of ([A-Za-z0-9][A-Za-z0-9._-]*)|"
    r"([A-Za-z0-9._-]+) was not found in the package registry"
)
"""What uv says of a package that the index does not have."""

_DEPENDS = re.compile(r"depends on (?P<name>[a-z0-9-]+)(?P<bound>[=<>!~][^ ;,)]*)")

_CLAUSE = (
    r"(?P<who>[a-z0-9][a-z0-9._-]*)(?P<of>[^\s;]*) depends? on (?:one of: )?(?P<wanted>(?:{one}(?: +|(?=[;.)]|$)))+)"
)
_BOUND = r"{name}(?![A-Za-z0-9_.-])(?:\[[^\]]*\])?(?:\{{[^}}]*\}})?([=<>!~][^\s;]*)?"
"""How uv says what a package requires: `vllm>=0.33.0 depends on torch{{sys_platform == 'linux'}}==2.14.0`."""

_NO_WHEEL = re.compile(
    r"\b([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:[<>=!~]+[^\s]+)? (?:has|have) no (?:usable )?wheels"
)
"""What uv says of a package that it has only source distributions, or wheels for others, of."""

_PACKAGE = "__init__.py"

_SHARING_ROUNDS = 3
_PROBES = 4
"""How many releases of a framework are asked for as builds that only an index of its own would have."""

_READERS = 16

WheelOutcome = Outcome[Lock]


@dataclass(frozen=True, slots=True)
class _Closed:
    """What uv closed.

    Attributes:
        resolution: what was to be closed.
        constraints: those that were given besides.
        wheels: the file of each package.
        build: what source distributions among them are built with.
        added: what was asked for besides, as a compiled file needs it.
        placed: the packages of the resolution's source trees that are in it.
    """

    resolution: Resolution
    constraints: tuple[str, ...]
    wheels: Mapping[str, LockedWheel]
    build: Mapping[str, LockedWheel] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    placed: frozenset[str] = frozenset()

    @property
    def versions(self) -> dict[str, Version]:
        return {name: wheel.version for name, wheel in self.wheels.items()}

    @property
    def trees(self) -> tuple[LockedTree, ...]:
        """What is built from source trees, sorted by name."""
        trees = (one.tree for one in self.resolution.direct if one.tree is not None and one.name in self.placed)
        return tuple(sorted(trees))


class _Wanted(NamedTuple):
    """Which releases of a framework something requires.

    Attributes:
        why: who requires the newest that is required, in words.
        unwanted: the releases that nothing requires.
    """

    why: str
    unwanted: tuple[Version, ...]


@dataclass(slots=True, kw_only=True)
class _LearnedConstraints:
    """What was learned in the rounds of one request.

    Attributes:
        ceilings: wishes for common versions; given up at the first refusal.
        incompatibilities: what the solver must not pick.
        unfit: constraints against versions that have no wheel for the target.
        added: what is asked for besides, as a compiled file needs it.
        reason: the refusal to tell: the one that nothing could be learned from, or else the first, which is about
            the versions that one would expect.
        notes: the refusals in words.
    """

    ceilings: tuple[str, ...]
    incompatibilities: list[Incompatibility] = field(default_factory=list)
    unfit: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    reason: str = ""
    notes: list[str] = field(default_factory=list)


@final
class _Listings:
    """The file lists of wheels, each read once, by several threads; a context manager."""

    def __init__(self, reader: WheelReader) -> None:
        self._reader = reader
        self._pool = ThreadPoolExecutor(_READERS)
        self._lock = threading.Lock()
        self._asked: dict[LockedWheel, Future[WheelListing]] = {}

    def __enter__(self) -> _Listings:
        return self

    def __exit__(self, *_: object) -> None:
        # after ctrl-C one of them may wait for half a minute yet for a server that says nothing
        self._pool.shutdown(wait=False, cancel_futures=True)

    def of(self, wheel: LockedWheel) -> Future[WheelListing]:
        """The list of a wheel, which somebody may have asked for before."""
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

    def read_ahead(self, closing: Future[_Closed | None]) -> None:
        """Ask for what was closed; whoever needs it will hear of what fails."""
        found = None if closing.cancelled() or closing.exception() else closing.result()
        for wheel in (*found.wheels.values(), *found.build.values()) if found else ():
            self.of(wheel)


class Session:
    """One run of the locker over several requests."""

    def __init__(
        self,
        matrix: CompatibilityMatrix,
        uv: Uv,
        open_reader: Callable[[], WheelReader],
        *,
        cancel: threading.Event,
        report: Reporter = unreported,
        in_flight: int | None = None,
        open_releases: Callable[[WheelReader], Releases] | None = None,
        sources: DirectSources | None = None,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            matrix: the facts.
            uv: the resolver.
            open_reader: gives what reads sizes and file lists of wheels.
            cancel: set it to end everything that is under way.
            report: is told the stage that each request is in, from any thread.
            in_flight: how many requests to the index there may be at a time; None leaves it to uv.
            open_releases: gives what says which releases there are; None where nobody asks.
            sources: finds out what is at the places that requests name; None where they name none.
        """
        self._direct = sources
        self._matrix = matrix
        self._uv = uv
        self._open_reader = open_reader
        self._cancel = cancel
        self._report = report
        self._in_flight = in_flight
        self._open_releases = open_releases
        self._built: dict[EnvironmentRequest, tuple[SourceRelease, ...]] = {}
        self.better_python: str | None = None
        self._shares: Mapping[EnvironmentRequest, int] = {}
        self._preferred: Mapping[EnvironmentRequest, Mapping[str, Version]] = {}
        self._ceilings: Mapping[EnvironmentRequest, tuple[str, ...]] = {}
        self._ahead: Mapping[EnvironmentRequest, Resolution | Conflict] = {}
        self._unclosable: set[EnvironmentRequest] = set()
        self._listed: tuple[Releases, Future[None]] | None = None
        self._kept_back: dict[tuple[EnvironmentRequest, str], str] = {}

    def lock(self, requests: Sequence[EnvironmentRequest]) -> list[WheelOutcome]:
        """Lock every request; an outcome for each, in their order.

        Raises:
            KeyboardInterrupt: after every child process has ended.
        """
        outcomes = [WheelOutcome(request=request, form=FORMAT) for request in requests]
        self._prefer(requests)
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(CLOSERS) as pool:
            try:
                closing = [pool.submit(self._close_timed, outcome) for outcome in outcomes]
                # opened while uv waits for the index: what it takes to read wheels is slow to import
                reader = stack.enter_context(self._open_reader())
                listings = stack.enter_context(_Listings(reader))
                releases = self._releases(requests, reader, listings)
                for future in closing:
                    # what one environment holds is read while uv is at work on the others
                    future.add_done_callback(listings.read_ahead)
                closed = self._results(closing)
                ready = [(outcome, found) for outcome, found in zip(outcomes, closed, strict=True) if found]
                if releases is not None:
                    self._listed = releases
                    renewed = [pool.submit(self._with_newest, found) for _, found in ready]
                    ready = [(one, found) for (one, _), found in zip(ready, self._results(renewed), strict=True)]
                ended = self._finish_all(pool, listings, ready)
                self._say_shared(ready, ended)
                if releases is not None:
                    self._tell_age(ended, *releases)
            except KeyboardInterrupt:
                # before the pool is left, which waits for what is under way
                self._cancel.set()
                raise
        return outcomes

    def _finish_all(
        self, pool: ThreadPoolExecutor, listings: _Listings, ready: Sequence[tuple[WheelOutcome, _Closed]]
    ) -> Sequence[tuple[WheelOutcome, _Closed]]:
        """Judge what was closed, and close again without what makes a lock unfit, a bounded number of times."""
        lessons: dict[EnvironmentRequest, Lesson] = {}
        shared: Sequence[tuple[WheelOutcome, _Closed]] = ()
        for last in (*[False] * JUDGEMENTS, True):
            shared = self._share(pool, ready)
            for outcome, found in shared:
                started = time.monotonic()
                self._report(outcome.request, "reading file lists")
                self._finish(listings, outcome, found)
                outcome.seconds += time.monotonic() - started
            ready = [] if last else self._closed_anew(pool, listings, shared, lessons)
            if not ready:
                break
        for outcome, found in shared:
            lesson = lessons.get(outcome.request)
            if outcome.faults:
                self._refuse(listings, outcome, found, lesson)
            elif lesson is not None:
                outcome.notes += lesson.notes(outcome.request.environment, found.versions, roots(found.resolution, ()))
        return shared

    def _say_shared(
        self, first: Sequence[tuple[WheelOutcome, _Closed]], ended: Sequence[tuple[WheelOutcome, _Closed]]
    ) -> None:
        """Give the packages a reason that have their version so that environments share their files."""
        alone: dict[EnvironmentRequest, dict[str, Version | None]] = {}
        for _, found in first:
            request = found.resolution.request
            ahead = self._ahead.get(request)
            libraries = ahead.libraries if isinstance(ahead, Resolution) else {}
            pinned = {name: libraries[name] for name in found.resolution.pinned if name in libraries}
            # what a ceiling has stopped would be newer, and how new is not known
            stopped = {
                name: None
                for name, version in found.versions.items()
                if f"{name}<={version}" in self._ceilings.get(request, ())
            }
            alone[request] = {**found.versions, **pinned, **stopped}
        locked = [(outcome, outcome.lock) for outcome, _ in ended if outcome.lock is not None]
        reasons = shared_reasons(
            [(lock.resolution, alone.get(outcome.request, {}), lock.versions) for outcome, lock in locked]
        )
        for (outcome, lock), own in zip(locked, reasons, strict=True):
            resolution = lock.resolution
            outcome.lock = dataclasses.replace(lock, resolution=resolution._replace(why=(*resolution.why, *own)))

    # -- what is older than it could be ------------------------------------------------------------------------------

    def _releases(
        self, requests: Sequence[EnvironmentRequest], reader: WheelReader, listings: _Listings
    ) -> tuple[Releases, Future[None]] | None:
        """Ask which releases there are of what the user names, while uv is at work; None if there is nothing to ask."""
        names = dict.fromkeys(wish.name for request in requests for wish in request.dependencies if wish.url is None)
        asked = [name for name in names if name not in self._matrix.framework_names]
        if not asked or self._open_releases is None:
            return None
        releases = self._open_releases(reader)
        return releases, listings.besides(lambda: releases.ask(asked))

    def _with_newest(self, found: _Closed) -> _Closed:
        """The same with the newest of what the user names, where uv went back further than it had to.

        It looks for any answer, and may have given up a release for the sake of a package that nobody asked for.
        """
        if self._listed is None:
            return found
        releases, asking = self._listed
        self._results([asking])
        for one in list(aged(self._matrix, found.resolution, found.versions, releases)):
            if not one.reason and not self._cancel.is_set():
                found = self._with_exact(found, one)
        return found

    def _with_exact(self, found: _Closed, one: Aged) -> _Closed:
        """The same with the newest of one package; as it is where that does not fit."""
        request = found.resolution.request
        constraints = (*found.constraints, f"{one.name}=={one.newest}")
        try:
            answer, closed = self._closed_by_uv(found.resolution, constraints, found.added)
            if isinstance(closed, Unclosed):
                if not found.constraints and not request.held:
                    self._kept_back[request, one.name] = closed.cause
                return found
            coming = [package.name for package in closed.packages]
            if self._joined(request, coming, [], {*answer.packages, *answer.parts}) != request:
                return found
            wheels, misfits = self._choose(answer, closed)
            placed = _placed(answer, closed)
            build = self._building(answer, wheels, placed)
        except OutsideError:
            return found
        return found if misfits else _Closed(answer, constraints, wheels, build, found.added, placed)

    def _tell_age(
        self, ended: Sequence[tuple[WheelOutcome, _Closed]], releases: Releases, asking: Future[None]
    ) -> None:
        """Say what of that which the user names is older than its newest, why, and what would give that."""
        self._results([asking])
        for outcome, found in ended:
            if outcome.lock is None:
                continue
            environment = outcome.request.environment
            for early in unasked_prereleases(found.resolution, found.versions):
                outcome.notes.append(f"{environment}: {early} is a pre-release, which nothing asks for")
            old = list(aged(self._matrix, found.resolution, found.versions, releases))
            if old:
                self._report(outcome.request, "looking for what keeps dependencies back")
                started = time.monotonic()
                outcome.notes += self._age_notes(outcome, found, old, releases)
                outcome.seconds += time.monotonic() - started

    def _age_notes(
        self, outcome: WheelOutcome, found: _Closed, old: Sequence[Aged], releases: Releases
    ) -> Iterator[str]:
        request = found.resolution.request._replace(held=())
        reasons: dict[str, str] = {}
        for one in old:
            reason = one.reason
            if not reason:
                closed = self._kept_back.get((found.resolution.request, one.name)) or self._trial(request, found, [one])
                if closed is None:
                    continue  # what a judgement taught, or versions that are shared, has been told
                # that the newest is required is what was tried, and asked by nobody
                newest = rf"{re.escape(one.name)}=={re.escape(str(one.newest))}"
                others = re.sub(rf"you require {newest} and ", "you require ", closed)
                others = re.sub(rf"(?:; | and )?you require {newest}(?![0-9.])", "", others)
                reason = f"{one.newest} does not fit what else is there: {others}"
            reasons[one.name] = reason
        wanted = [one for one in old if one.name in reasons and not one.built]
        python = self._python_for(request, found, wanted, releases) if wanted else None
        if python is not None and request.python_open:
            self.better_python = self.better_python or python
        for one in old:
            if one.name not in reasons:
                continue
            remedy = ""
            if one.built and self._can_build(request, [one.name]):
                remedy = f'; with `build = ["{one.name}"]` in the settings it is built from source'
            elif python is not None:
                command = lock_command(outcome.request._replace(python=python, held=()))
                # what is being locked now would be kept
                remedy = f"; it is in {command} --upgrade-package {one.name}"
            else:
                remedy = self._nearer(outcome.request, one, releases)
            yield (
                f"{request.environment}: {one.name} {one.locked} is taken, and {one.newest} is the newest:"
                f" {reasons[one.name]}{remedy}"
            )

    def _nearer(self, request: EnvironmentRequest, one: Aged, releases: Releases) -> str:
        """What gives a release that is not years older than the newest, at the cost of older frameworks; or nothing."""
        bound = floor_of_recent(request, one, releases)
        if bound is None or self._cancel.is_set():
            return ""
        bounded = [
            Requirement(f"{wish}{',' if wish.specifier else ''}>={bound}") if wish.name == one.name else wish
            for wish in request.dependencies
        ]
        changed = request._replace(dependencies=tuple(bounded), held=())
        files = [file for version, files in releases.of(one.name).items() if version >= bound for file in files]
        pythons = self._matrix.generation_of(request.backends).pythons if request.python_open else ()
        others = [row.version for row in reversed(self._matrix.pythons) if Version(row.version) in pythons]
        for python in dict.fromkeys((request.python, *others)):
            if self._cancel.is_set() or not fits_on(self._matrix, request, files, python):
                continue
            found = self._closed_quietly(moved := changed._replace(python=python))
            if found is not None and one.name in found.versions:
                return f"; {lock_command(moved)} gives {self._given(found, one.name)}"
        return ""

    def _given(self, found: _Closed, *more: str) -> str:
        """Some packages of what was closed, and the frameworks, with their versions."""
        frameworks = (name for name in found.resolution.packages if name in self._matrix.framework_names)
        listed = (name for name in dict.fromkeys((*more, *frameworks)) if name in found.versions)
        return ", ".join(f"{name} {found.versions[name]}" for name in listed)

    def _python_for(
        self, request: EnvironmentRequest, found: _Closed, wanted: Sequence[Aged], releases: Releases
    ) -> str | None:
        """The newest Python on which all of these are had in their newest version; None if none was found."""
        pythons = self._matrix.generation_of(request.backends).pythons
        for row in reversed(self._matrix.pythons):
            other = row.version
            if other == request.python or Version(other) not in pythons:
                continue
            if all(fits_on(self._matrix, request, releases.of(one.name)[one.newest], other) for one in wanted):
                moved = request._replace(python=other, members=(), cpu_members=())
                if self._trial(moved, found, wanted) is None:
                    return other
        return None

    def _trial(self, request: EnvironmentRequest, found: _Closed, wanted: Sequence[Aged]) -> str | None:
        """Why these cannot be had in their newest version; None if they can."""
        answer = solve(self._matrix, request)
        if isinstance(answer, Conflict):
            return "the frameworks cannot be had"
        own = [self._matrix.backends[backend].framework for backend in request.backends]
        older = [name for name in own if answer.packages[name] < found.resolution.packages[name]]
        if older:
            return f"{older[0]} would be older"
        exact = [f"{one.name}=={one.newest}" for one in wanted]
        try:
            closed = self._uv.close(answer, self._matrix.platforms[request.platform], constraints=exact)
        except OutsideError as error:
            return error.message
        return closed.cause if isinstance(closed, Unclosed) else None

    def _closed_anew(
        self,
        pool: ThreadPoolExecutor,
        listings: _Listings,
        shared: Sequence[tuple[WheelOutcome, _Closed]],
        lessons: dict[EnvironmentRequest, Lesson],
    ) -> list[tuple[WheelOutcome, _Closed]]:
        """All that was closed, with what is new in the place of what was unfit; nothing if nothing is new."""
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

    def _close_without(self, outcome: WheelOutcome, before: _Closed, lesson: Lesson) -> _Closed | None:
        """Close without what was found unfit; None if that cannot be."""
        started = time.monotonic()
        joined = before.resolution.request
        # what came along before is a member from the start: without it, pins for the others alone may exclude it
        request = outcome.request._replace(members=joined.members, cpu_members=joined.cpu_members)
        try:
            found = self._close(request, outcome.notes, lesson)
            return None if isinstance(found, Conflict) else self._with_newest(found)
        except Cancelled:
            return None
        except OutsideError:
            self._unclosable.add(outcome.request)
            return None
        finally:
            outcome.seconds += time.monotonic() - started

    def _results(self, futures: Sequence[Future[T]]) -> list[T]:
        return results(futures, self._cancel)

    def _prefer(self, requests: Sequence[EnvironmentRequest]) -> None:
        """Solve once ahead, to learn which CUDA libraries the environments can have in common."""
        answers = [solve(self._matrix, request) for request in requests]
        solved = [answer for answer in answers if isinstance(answer, Resolution)]
        self._preferred = {
            answer.request: versions for answer, versions in zip(solved, shared_libraries(solved), strict=True)
        }
        self._ahead = {answer.request: answer for answer in answers}
        if self._in_flight is not None and len(solved) > 1:
            self._shares = _shares(solved, self._in_flight)
        self._ceilings = {answer.request: texts for answer, texts in zip(solved, common_ceilings(solved), strict=True)}

    # -- closing ---------------------------------------------------------------------------------------------------

    def _close_timed(self, outcome: WheelOutcome) -> _Closed | None:
        started = time.monotonic()
        try:
            found = self._close_keeping(outcome)
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

    def _close_keeping(self, outcome: WheelOutcome) -> _Closed | Conflict:
        """Close with what an older lock had, or without it where that is what cannot be closed."""
        request = outcome.request
        self._require_accelerator(request)
        try:
            found = self._close(request, outcome.notes)
        except OutsideError:
            if not request.held or self._cancel.is_set():
                raise
        else:
            if not (request.held and isinstance(found, Conflict)):
                return found
        anew = self._close(request._replace(held=()), outcome.notes)
        outcome.notes.append(
            f"{request.environment}: nothing was kept of the locks that are there: they could not be closed"
        )
        return anew

    def _close(
        self, request: EnvironmentRequest, notes: list[str], lesson: Lesson | None = None, *, trying: bool = False
    ) -> _Closed | Conflict:
        """What closes a request; `trying` looks for no way out where there is none, as that closes others in turn."""
        brought: list[str] = []
        request = self._joined_by_name(request, brought)
        learned = _LearnedConstraints(ceilings=self._ceilings.get(request, ()))
        if lesson is not None:
            learned.unfit, learned.added = lesson.constraints, lesson.added
        for _ in range(ROUNDS):
            self._report(request, "solving")
            answer = self._solve(request, learned.incompatibilities)
            if isinstance(answer, Conflict):
                if not learned.incompatibilities:
                    self._look_for_python(request)
                    return answer
                break
            if answer.local:
                answer = self._offered(answer, learned.incompatibilities)
            self._report(request, "closing with uv")
            constraints = (*learned.ceilings, *learned.unfit)
            answer, closed = self._closed_by_uv(answer, constraints, learned.added)
            if isinstance(closed, Unclosed):
                if not self._learn(answer, closed, learned):
                    break
                continue
            coming = [one.name for one in closed.packages]
            joined = self._joined(request, coming, brought, {*answer.packages, *answer.parts})
            if joined != request:
                request = joined
                continue
            wheels, misfits = self._choose(answer, closed)
            if not misfits:
                told = (*learned.notes, *brought, *company.together_note(self._matrix, answer))
                notes += [note for note in told if note not in notes]
                placed = _placed(answer, closed)
                build = self._building(answer, wheels, placed)
                return _Closed(answer, constraints, wheels, build, learned.added, placed)
            self._learn_misfits(answer, misfits, learned)
        raise UnavailableError(
            f"{request.environment}: what the matrix allows could not be closed from the index that uv is configured"
            f" for\n{learned.reason}",
            hints=() if trying else self._unclosed_hints(request, learned.reason),
        )

    def _require_accelerator(self, request: EnvironmentRequest) -> None:
        """See that nothing is asked for whose name says that it is of another major: it would be looked for in vain.

        Raises:
            JudgementError: something is.
        """
        wanted = request.accelerator.whole
        named = ((wish, self._matrix.named_after(wish.name)) for wish in request.dependencies if wish.url is None)
        others = {wish: own for wish, own in named if own is not None and own != wanted}
        if request.accelerator == CPU or not others:
            return
        renamed = tuple(
            Requirement(self._matrix.named_for(wish.name, wanted)) if wish in others else wish
            for wish in request.dependencies
        )
        names = [one.name for one in renamed if one not in request.dependencies]
        listed = "".join(
            f"\n  you asked for {wish} (dependencies), which is of {accelerators.title(own)}"
            for wish, own in others.items()
        )
        raise JudgementError(
            f"{request.environment}: what is asked for is of another {accelerators.kind(wanted.kind).title} than the"
            f" environment, which is for {accelerators.title(wanted)}{listed}",
            hints=[
                *self._tried(request._replace(dependencies=renamed), *names),
                *self._on_another_accelerator(request, others.values()),
            ],
        )

    def _look_for_python(self, request: EnvironmentRequest) -> None:
        """Note the Python that an open one should be, where what came along has none for that which was chosen."""
        if not request.python_open or not (request.members or request.cpu_members):
            return
        python = best_python(self._matrix, [request])
        if python != request.python and isinstance(solve(self._matrix, request._replace(python=python)), Resolution):
            self.better_python = self.better_python or python

    def _joined(
        self, request: EnvironmentRequest, names: Collection[str], notes: list[str], decided: Collection[str] = ()
    ) -> EnvironmentRequest:
        """The request with the frameworks among these packages as members."""
        found = company.joined(self._matrix, request, names, decided)
        notes += [note for note in found.notes if note not in notes]
        return found.request

    def _unclosed_hints(self, request: EnvironmentRequest, reason: str) -> Iterator[str]:
        """What to do about what uv cannot close; commands and settings have been tried."""
        absent = [canonical_name(name) for names in _ABSENT.findall(reason) for name in names if name]
        renamed = list(self._renamed(request, absent, [canonical_name(name) for name in _NO_WHEEL.findall(reason)]))
        if absent or renamed:
            yield from renamed or ["check the name, and that the index (`uv.toml`, UV_DEFAULT_INDEX) is one and has it"]
            return
        if uvtool.VARIANTS in reason:
            yield (
                "require a release of it that has a wheel without a variant's label: variants are drafts (PEP 817, 825"
                " and 850), and uv writes none into a lock"
            )
            return
        names = [name for name in dict.fromkeys(_NO_WHEEL.findall(reason)) if name not in request.build]
        if names and self._can_build(request, names):
            listed = ", ".join(f'"{canonical_name(name)}"' for name in (*request.build, *names))
            yield f"let it be built from source, in the settings: build = [{listed}]"
            return
        if names:
            yield from self._on_newer_glibc(request, names)
            wheels = f"a wheel of {' and of '.join(names)}"
            yield f"name a folder with {wheels} for {request.platform} in UV_FIND_LINKS: no index has one that fits"
        else:
            yield "look at `dependencies` and `--require`: uv found them to exclude the frameworks"
            yield from self._unbounded(request, [one.name for one in request.dependencies if one.name in reason])
            yield from self._for_what_is_needed(request, reason)
        other = self._other_python(request)
        if other is not None:
            if request.python_open:
                self.better_python = self.better_python or other
            yield lock_command(request.as_asked._replace(python=other))

    def _renamed(self, request: EnvironmentRequest, absent: Sequence[str], unusable: Sequence[str]) -> Iterator[str]:
        """The command with the name of the project that is meant, for each wish whose name the index has nothing for.

        Args:
            request: the request.
            absent: what the index does not have.
            unusable: what it has no wheel of; of that alone what is known as another's name is meant otherwise.
        """
        for wish in request.dependencies:
            meant = None
            if wish.name in absent:
                meant = self._matrix.meant_by(wish.name)
            elif wish.name in unusable:
                meant = self._matrix.other_name_of(wish.name)
            if meant is None or wish.url is not None or self._cancel.is_set():
                continue
            others = tuple(Requirement(meant) if one is wish else one for one in request.dependencies)
            asked = request._replace(dependencies=tuple(dict.fromkeys(others)))
            yield from list(self._tried(asked, meant)) or [f"did you mean `{meant}`?"]

    def _frameworks(self, request: EnvironmentRequest) -> frozenset[str]:
        return frozenset(self._matrix.backends[backend].framework for backend in request.backends)

    def _unbounded(self, request: EnvironmentRequest, blamed: Collection[str]) -> Iterator[str]:
        """The command without the bound on a dependency that is to blame, for each with which it can be closed."""
        for wish in request.dependencies:
            if wish.name not in blamed or wish.url is not None or not wish.specifier or self._cancel.is_set():
                continue
            free = Requirement(wish.head)
            others = tuple(free if one is wish else one for one in request.dependencies)
            yield from self._tried(request._replace(dependencies=others), wish.name)

    def _for_what_is_needed(self, request: EnvironmentRequest, reason: str) -> Iterator[str]:
        """The commands that give the framework that a dependency needs, as `torchvision` its `torch`, if they close."""
        frameworks = self._frameworks(request)
        for name, bound in dict.fromkeys(_DEPENDS.findall(reason)):
            if name not in frameworks:
                continue
            needed = Requirement(f"{name}{bound}")
            answer = solve(self._matrix, request._replace(constraints=(*request.constraints, needed), held=()))
            for suggestion in answer.suggestions if isinstance(answer, Conflict) else ():
                (changed, *others) = suggestion.requests
                if others or needed not in changed.constraints or self._cancel.is_set():
                    continue
                yield from self._tried(changed._replace(constraints=request.constraints))

    def _tried(self, request: EnvironmentRequest, *more: str) -> Iterator[str]:
        """The command for a request with what it gives, if it can be closed.

        Args:
            request: the request.
            more: packages to name with their versions, beside the frameworks.
        """
        found = self._closed_quietly(request)
        if found is not None:
            command = lock_command(request.as_asked)
            yield f"{command}   # gives {self._given(found, *more)}"

    def _closed_quietly(self, request: EnvironmentRequest) -> _Closed | None:
        """What closes a request without anything that an old lock held or dependencies brought along; None if none."""
        try:
            found = self._close(request.as_asked, [], trying=True)
        except OutsideError:
            return None
        return found if isinstance(found, _Closed) else None

    def _on_newer_glibc(self, request: EnvironmentRequest, names: Sequence[str]) -> Iterator[str]:
        """The command for machines with a newer glibc, which wheels of these packages need, if it can be closed."""
        platform = self._matrix.platforms[request.platform]
        floor = request.glibc or platform.glibc
        for glibc in platform.uv_glibc:
            if floor is None or glibc <= floor or self._cancel.is_set():
                continue
            found = list(self._tried(request._replace(glibc=glibc), *names))
            yield from found
            if found:
                return

    def _can_build(self, request: EnvironmentRequest, names: Sequence[str]) -> bool:
        """Whether it can be closed where these may be built from source."""
        more = request._replace(build=(*request.build, *map(canonical_name, names)))
        return self._open_releases is not None and self._closed_quietly(more) is not None

    def _other_python(self, request: EnvironmentRequest) -> str | None:
        """The newest other Python for which what is asked can be closed; None if there is none."""
        pythons = self._matrix.generation_of(request.backends).pythons
        for row in reversed(self._matrix.pythons):
            if row.version == request.python or Version(row.version) not in pythons or self._cancel.is_set():
                continue
            moved = request.as_asked._replace(python=row.version)
            answer = solve(self._matrix, moved)
            if isinstance(answer, Resolution) and not answer.local and self._closed_quietly(moved) is not None:
                return row.version
        return None

    def _sources(self, request: EnvironmentRequest) -> tuple[SourceRelease, ...]:
        """What may be built from source because the user says so; found out once."""
        key = request.as_asked
        if self._open_releases is not None and key not in self._built:
            from kgen.formats.wheels.source import source_releases  # noqa: PLC0415 - few ask for it

            with self._open_reader() as reader:
                releases = self._open_releases(reader)
                self._built[key] = tuple(source_releases(self._matrix, key, releases, reader))
        return self._built.get(key, ())

    def _joined_by_name(self, request: EnvironmentRequest, notes: list[str]) -> EnvironmentRequest:
        """The request with the frameworks that the user names as dependencies: known before anything is closed."""
        asked = [one.name for one in request.dependencies]
        ahead = self._solve(request, ()) if asked else None
        decided = {*ahead.packages, *ahead.parts} if isinstance(ahead, Resolution) else set[str]()
        return self._joined(request, asked, notes, decided)

    def _closed_by_uv(
        self, answer: Resolution, constraints: Sequence[str], added: Sequence[str]
    ) -> tuple[Resolution, Pylock | Unclosed]:
        """What uv makes of a resolution: with the whole of a framework where what was closed has that beside a part."""
        platform = self._matrix.platforms[answer.request.platform]
        if answer.request.build:
            answer = answer._replace(sources=(*answer.sources, *self._sources(answer.request)))
        if self._direct is not None and any(one.url is not None for one in answer.request.dependencies):
            answer = answer._replace(direct=self._direct.releases(answer.request))
        share = self._shares.get(answer.request)
        closed = self._uv.close(answer, platform, constraints=constraints, added=added, in_flight=share)
        whole = (
            None
            if isinstance(closed, Unclosed)
            else with_whole(self._matrix, answer, {one.name for one in closed.packages})
        )
        if whole is None:
            return answer, closed
        return whole, self._uv.close(whole, platform, constraints=constraints, added=added, in_flight=share)

    def _solve(
        self, request: EnvironmentRequest, incompatibilities: Sequence[Incompatibility]
    ) -> Resolution | Conflict:
        ahead = self._ahead.get(request)
        if isinstance(ahead, Conflict):
            return ahead
        preferred = self._preferred.get(request, {})
        if ahead is not None and not incompatibilities and preferred.items() <= ahead.libraries.items():
            return ahead  # it has what is preferred as it is
        return solve(self._matrix, request, incompatibilities=incompatibilities, preferred=preferred)

    def _offered(self, answer: Resolution, incompatibilities: list[Incompatibility]) -> Resolution:
        """The newest resolution whose specially labelled builds (`torch==2.13.0+cpu`) uv's indexes really have."""
        request = answer.request
        platform = self._matrix.platforms[request.platform]
        current: Resolution | Conflict = answer
        offered: dict[str, Version] = {}
        for attempt in range(_PROBES):
            if not isinstance(current, Resolution):
                break
            missing = None
            for name in current.local:
                if offered.get(name) == current.packages[name]:
                    continue
                text = next(text for text in current.install if parse_requirement(text).name == name)
                self._report(request, f"looking for {text}")
                if not self._uv.offers(text, current, platform):
                    missing = name
                    break
            if missing is None:
                return current
            held = None
            if attempt == 0 and not request.own_index:
                held = self._uv.beside_default_index(missing, current, platform)
            if held is not None and held.local == current.local[missing]:
                offered[missing] = Version(held.public)
            incompatibilities += [
                frozenset({(missing, release.version)})
                for release in self._matrix.framework(missing).releases
                if release.version == current.packages[missing]
                or (held is not None and release.version > Version(held.public))
            ]
            current = self._solve(request, incompatibilities)
        name, label = next(iter(answer.local.items()))
        raise self._unoffered(request, name, label)

    def _unoffered(self, request: EnvironmentRequest, name: str, label: str) -> OutsideError:
        """No index has a build that only a framework's own index can have."""
        title = self._matrix.framework(name).title
        if request.own_index:
            return UnavailableError(
                f"{request.environment}: the index that `torch-index` names has no `{name}==…+{label}` for Python"
                f" {request.python} on {request.platform}",
                hints=["choose another Python with `--python`, or lock without `--torch-index`"],
            )
        on_cpu = {self._matrix.backends[backend].framework for backend in request.cpu_members}
        on = accelerators.title(CPU if name in on_cpu else request.accelerator)
        brought = {self._matrix.backends[backend].framework for backend in request.members} | on_cpu
        along = ", which `dependencies` bring along," if name in brought else ""
        return UnavailableError(
            f"{request.environment}: {title}{along} for {on} on {request.platform} needs a CPU build"
            f" (`{name}==…+{label}`), and no index or folder that uv is configured for has one for Python"
            f" {request.python}; the plain wheels of the Python package index are CUDA builds",
            hints=[
                f"name {title}'s own CPU index in uv's configuration, as an `[[index]]` of uv.toml, and lock again",
                "or let kgen take it from there: `--torch-index`, or `torch-index = true` in the settings",
                "or point UV_FIND_LINKS at a folder that holds such a wheel, with `--python` for the Python it is for",
                "or do without what requires it"
                if along
                else f"or lock the other backends: kgen lock {_others(self._matrix, request)}",
            ],
        )

    def _learn(self, answer: Resolution, unclosed: Unclosed, learned: _LearnedConstraints) -> bool:
        """Note what uv's refusal teaches; False if it teaches nothing that could be changed."""
        if learned.ceilings:
            learned.ceilings = ()
            return True
        absent = {name: v for name, v in unclosed.named.items() if f"no version of {name}" in unclosed.reason}
        incompatibility = self._incompatibility(answer, absent) or self._incompatibility(answer, unclosed.named)
        nowhere = any(f"{name} was not found in the package registry" in unclosed.reason for name in answer.packages)
        if incompatibility is None or nowhere:
            learned.reason = unclosed.cause
            return False
        learned.reason = learned.reason or unclosed.cause
        learned.incompatibilities.append(incompatibility)
        pins = " with ".join(f"{name} {version}" for name, version in sorted(incompatibility))
        environment = answer.request.environment
        why = f"uv could not close it: {unclosed.cause}"
        if len(incompatibility) == 1:
            ((name, _),) = incompatibility
            wanted = self._wanted(name, unclosed.reason)
            if wanted:
                # a round for each release that nothing wants would leave none for one that is wanted
                learned.incompatibilities += [frozenset({(name, one)}) for one in wanted.unwanted]
                why = wanted.why
        learned.notes.append(f"{environment}: {pins} was set aside, {why}")
        return True

    def _wanted(self, name: str, reason: str) -> _Wanted | None:
        """Which releases of a framework whatever requires it leaves out, in uv's words; None if these do not tell."""
        if name not in self._matrix.framework_names:
            return None
        versions = [release.version for release in self._matrix.framework(name).releases]
        ranges = depended_on(name, reason)
        newest = [max((one for one in versions if one in bound), default=None) for _, bound in ranges]
        last = max((one for one in newest if one is not None), default=None)
        if last is None:
            return None
        who, bound = ranges[newest.index(last)]
        outside = tuple(one for one in versions if not any(one in bound for _, bound in ranges))
        return _Wanted(f"{who} depends on {name}{bound}", outside)

    def _learn_misfits(self, answer: Resolution, misfits: Sequence[Package], learned: _LearnedConstraints) -> None:
        """Note packages whose wheels uv takes to fit (it knows fewer glibc floors than there are) and that do not."""
        for package in misfits:
            learned.reason = learned.reason or f"{package.name} {package.version} has no wheel for the target"
            incompatibility = self._incompatibility(answer, {package.name: package.version or Version("0")})
            if incompatibility is None:
                learned.unfit += (f"{package.name}!={package.version}",)
            else:
                learned.incompatibilities.append(incompatibility)

    def _incompatibility(self, answer: Resolution, named: Mapping[str, Version]) -> Incompatibility | None:
        found = set()
        for name, version in named.items():
            owner = answer.parts.get(name, name)
            # what is only imported is a package by its framework's name, and its build for the CPU by none of its own
            solved = answer.packages.get(name, answer.packages.get(owner))
            if solved is not None and solved.public == version.public:
                found.add((owner, answer.packages[owner]))
            elif answer.libraries.get(name) == version and name in answer.pinned:
                found.add((name, version))
        return frozenset(found) or None

    def _choose(self, answer: Resolution, closed: Pylock) -> tuple[dict[str, LockedWheel], list[Package]]:
        """The wheel of each package, and the packages that have none for the target."""
        request = answer.request
        platform = self._matrix.platforms[request.platform]
        supported = supported_tags(platform, request.python, request.glibc, request.macos)
        own = self._uv.own_indexes(answer)
        chosen: dict[str, LockedWheel] = {}
        misfits = []
        built = {one.name: one for one in answer.direct}
        named = {} if self._direct is None else self._direct.wheels(request)
        self._require_known(answer, [package.name for package in closed.packages if package.sdist is not None])
        for package in sorted(closed.packages, key=lambda package: package.name):
            if package.archive is not None:
                if package.name in built:
                    file = built[package.name].file
                    if file is not None:
                        chosen[package.name] = _of_file(file)
                    continue
                if package.name in named:
                    chosen[package.name] = self._named(request, package, named[package.name])
                    continue
            wheel = package.sdist or best_wheel(package, supported)
            sha256 = "" if wheel is None else wheel.hashes.get("sha256", "")
            if wheel is None or package.version is None:
                misfits.append(package)
                continue
            if not sha256:
                raise UnavailableError(
                    f"{request.environment}: the index gives no sha256 for {wheel.filename}",
                    hints=["use an index that serves hashes: a lock without them protects nobody"],
                )
            chosen[package.name] = LockedWheel(
                name=package.name,
                version=package.version,
                filename=wheel.filename,
                url=wheel.url or str(wheel.path),
                sha256=sha256,
                size=wheel.size,
                requires_python=None if package.requires_python is None else str(package.requires_python),
                index=own.get(package.name),
            )
        return chosen, misfits

    @staticmethod
    def _named(request: EnvironmentRequest, package: Package, wheel: DirectWheel) -> LockedWheel:
        """A wheel that the request names, as the resolver has read and hashed it.

        Raises:
            OutsideError: it has another digest than the request says, or no version.
        """
        assert package.archive is not None  # noqa: S101 - that is what is looked at
        sha256 = package.archive.hashes.get("sha256", "")
        if package.version is None or not sha256:
            raise MalformedAnswerError(
                f"{request.environment}: uv gives no version or no sha256 of {wheel.reference.text}",
                hints=["pip install --upgrade uv"],
            )
        wheel.require(sha256)
        return LockedWheel(
            name=package.name,
            version=package.version,
            filename=wheel.reference.filename,
            url=wheel.url,
            sha256=sha256,
            size=package.archive.size,
            requires_python=None if package.requires_python is None else str(package.requires_python),
            direct=True,
            path=wheel.path,
        )

    @staticmethod
    def _require_known(answer: Resolution, sources: Sequence[str]) -> None:
        """See that nothing is built but what somebody has vouched for: the matrix, or the user by name.

        Raises:
            OutsideError: uv was told to build something else.
        """
        known = {one.name for one in answer.sources}
        others = [name for name in sources if name not in known]
        if others:
            names, listed = ", ".join(others), ", ".join(f'"{name}"' for name in others)
            raise OutsideError(
                f"{answer.request.environment}: uv is configured to build {names} from source (`no-binary`), and kgen"
                " does not lock builds that neither the matrix nor the settings allow",
                hints=[
                    f"take {names} out of `no-binary` in uv's configuration",
                    f"or allow it in kgen's settings: build = [{listed}]",
                ],
            )

    def _building(
        self, answer: Resolution, wheels: Mapping[str, LockedWheel], placed: Collection[str]
    ) -> Mapping[str, LockedWheel]:
        """What the source distributions among the files, and the source trees, are built with."""
        sources = [*(name for name, wheel in wheels.items() if wheel.is_source), *sorted(placed)]
        request = answer.request
        if not sources and not request.project_build:
            return {}
        self._report(request, "closing what builds from source")
        closed = self._uv.building(sources, answer, self._matrix.platforms[request.platform])
        found: dict[str, LockedWheel] = {}
        if isinstance(closed, Unclosed):
            misfits = [closed.cause]
        else:
            found, packages = self._choose(answer, closed)
            misfits = [f"{package.name} has no wheel for the target" for package in packages]
        if misfits:
            built = " and ".join(sources) or "the project"
            raise UnavailableError(
                f"{request.environment}: what {built} is built with could not be had: {misfits[0]}",
                hints=["check the index that uv is configured for (`uv.toml`, UV_DEFAULT_INDEX)"],
            )
        return found

    # -- the same versions everywhere -------------------------------------------------------------------------------

    def _share(
        self, pool: ThreadPoolExecutor, ready: Sequence[tuple[WheelOutcome, _Closed]]
    ) -> list[tuple[WheelOutcome, _Closed]]:
        """Give packages that several environments hold one version, where one exists that all can use."""
        current = [found for _, found in ready]
        held: dict[int, tuple[str, ...]] = {}
        for _ in range(_SHARING_ROUNDS):
            wanted = _common_versions(current)
            changes = [
                (position, tuple(f"{name}=={wanted[_group(found)][name]}" for name in differing))
                for position, found in enumerate(current)
                if (differing := _differing(found, wanted[_group(found)]))
            ]
            changes = [(position, texts) for position, texts in changes if held.get(position) != texts]
            if not changes:
                break
            held.update(changes)
            closed = self._results(
                [
                    pool.submit(self._reclose, ready[position][0], current[position], texts)
                    for position, texts in changes
                ]
            )
            for (position, _), found in zip(changes, closed, strict=True):
                if found is not None:
                    current[position] = found
        outcomes = [outcome for outcome, _ in ready]
        for text in _unshared(current):
            outcomes[0].notes.append(text)
        return list(zip(outcomes, current, strict=True))

    def _reclose(self, outcome: WheelOutcome, first: _Closed, versions: tuple[str, ...]) -> _Closed | None:
        """Close the same resolution with these versions; None if that cannot be.

        From uv's cache first, which has seen all of them a moment ago.
        """
        shared = {text.partition("==")[0] for text in versions}
        kept = (text for text in first.constraints if text.partition("==")[0] not in shared)
        answer, constraints = first.resolution, (*kept, *versions)
        platform = self._matrix.platforms[outcome.request.platform]
        started = time.monotonic()
        self._report(outcome.request, "sharing versions")
        try:
            for offline in (True, False):
                try:
                    closed = self._uv.close(
                        answer, platform, constraints=constraints, added=first.added, offline=offline
                    )
                except OutsideError:
                    if self._cancel.is_set():
                        return None
                    continue
                if isinstance(closed, Unclosed):
                    continue
                wheels, misfits = self._choose(answer, closed)
                if not misfits:
                    placed = _placed(answer, closed)
                    return _Closed(answer, constraints, wheels, first.build, first.added, placed)
            return None
        finally:
            outcome.seconds += time.monotonic() - started

    # -- judging ---------------------------------------------------------------------------------------------------

    def _finish(self, reading: _Listings, outcome: WheelOutcome, found: _Closed) -> None:
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

    def _that_matter(self, reading: _Listings, found: _Closed, faults: Sequence[LockFault]) -> Iterator[LockFault]:
        """The faults without paths of which it does not matter whose file is there: `__init__.py` of namespaces."""
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
        self, reading: _Listings, found: _Closed, listings: Mapping[str, WheelListing]
    ) -> Mapping[str, Mapping[str, Needs]]:
        """What the compiled files need of the packages of which the matrix does not know it."""
        asked = {
            name: reading.needs_of(wheel, listings[name])
            for name, wheel in found.wheels.items()
            if judge.is_to_be_read(self._matrix, found.resolution, name)
        }
        read = dict(zip(asked, self._results(list(asked.values())), strict=True))
        return {name: needs for name, needs in read.items() if needs}

    def _refuse(self, reading: _Listings, outcome: WheelOutcome, found: _Closed, lesson: Lesson | None) -> None:
        """Say what is unfit, and through which requirements it came in."""
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
            listed.append(f"no lock can be closed without {' and '.join(forbidden)}")
        own = {wish.name for wish in outcome.request.dependencies}
        named = [asked[name] for name in guilty if name in own or name not in found.resolution.packages]
        outcome.error = JudgementError(
            f"{outcome.request.environment}: the lock that uv closed is not fit to be written\n" + "\n".join(listed),
            hints=[
                f"look at `dependencies`: {' and '.join(named)} {'brings' if len(named) == 1 else 'bring'} these in"
                if named
                else _brought_by_frameworks([asked[name] for name in bringing]),
                *self._on_another_accelerator(
                    outcome.request, [one.own for one in faults if isinstance(one, OtherAccelerator)]
                ),
                *self._unbounded(outcome.request, guilty),
                *_allowing(outcome.request, faults, found.resolution.packages),
            ],
        )

    def _on_another_accelerator(self, request: EnvironmentRequest, owners: Collection[Accelerator]) -> Iterator[str]:
        """The command for the accelerator that all is for which is not for this one, if that can be closed."""
        meant = {*owners}
        if len(meant) != 1 or self._cancel.is_set():
            return
        other = request._replace(accelerator=meant.pop(), driver=None, gpus=(), targets=())
        yield from self._tried(other)

    def _chains(self, reading: _Listings, found: _Closed) -> Mapping[str, tuple[str, ...]]:
        """The way from what was asked for to each package; none where the metadata cannot be had."""
        asked = roots(found.resolution, found.added)
        try:
            read = self._results([reading.requires_of(wheel) for wheel in found.wheels.values()])
        except KgenError:
            return {}
        request = found.resolution.request
        markers = self._matrix.platforms[request.platform].marker_environment(request.python)
        return chains(asked.values(), dict(zip(found.wheels, read, strict=True)), markers)


def depended_on(name: str, reason: str) -> list[tuple[str, VersionRange]]:
    """Who requires which versions of a package, in uv's words for why there is no solution.

    Empty where something requires it without a bound in all its releases that uv names: any version might do for that.

    Args:
        name: the package, normalised.
        reason: uv's words.
    """
    one = _BOUND.format(name=re.escape(name))
    found: dict[str, list[tuple[str, VersionRange]]] = {}
    for clause in re.finditer(_CLAUSE.format(one=one.replace("([=", "(?:[=")), reason):
        ranges = found.setdefault(clause["who"], [])
        for bound in re.findall(one, clause["wanted"]):
            try:
                wanted = VersionRange(bound.rstrip(",."))
            except ValueError:
                return []
            if wanted:
                ranges.append((clause["who"] + clause["of"], wanted))
    return [] if not all(found.values()) else [one for ranges in found.values() for one in ranges]


def with_whole(matrix: CompatibilityMatrix, answer: Resolution, closed: Collection[str]) -> Resolution | None:
    """The resolution with the whole of a framework in the place of its part for the CPU; None where no need is for it.

    tensorflow-text requires `tensorflow`, and would bring it beside tensorflow-cpu, which has the same files. Without
    the extra that brings CUDA, the whole computes on the CPU as well, unless another framework's CUDA is one for it.
    """
    asked = {parse_requirement(text).name for text in answer.install}
    doubled = {part: of for part, of in answer.parts.items() if of not in asked and {of, part} <= {*closed}}
    if not doubled:
        return None

    instead = {of: part for part, of in reversed(doubled.items())}

    def replaced(text: str) -> str:
        requirement = parse_requirement(text)
        of = doubled.get(requirement.name)
        return text if of is None else f"{of}{requirement.specifier}"

    return answer._replace(
        install=tuple(map(replaced, answer.install)),
        packages={name: version for name, version in answer.packages.items() if name not in doubled},
        parts={name: of for name, of in answer.parts.items() if name not in doubled},
        why=tuple(
            whole_instead_of_part(matrix, answer, reason, instead[reason.package])
            if reason.package in instead
            else reason
            for reason in answer.why
        ),
    )


def _first_causes(faults: Sequence[LockFault], ways: Mapping[str, tuple[str, ...]]) -> Iterator[LockFault]:
    """The faults without those that follow from others: of what a package of another accelerator brings along."""
    astray = {one.package for one in faults if isinstance(one, OtherAccelerator)}
    brought = {name for name in astray if not astray.isdisjoint(ways.get(name, ())[:-1])}
    for fault in faults:
        about = [name for name, _ in fault.packages] if isinstance(fault, SeveralLibraries) else packages_of(fault)
        doubled = isinstance(fault, (SeveralLibraries, OverlappingFiles)) and not astray.isdisjoint(about)
        follows = isinstance(fault, OtherAccelerator) and fault.package in brought
        if not doubled and not follows:
            yield fault


def _brought_by_frameworks(roots: Sequence[str]) -> str:
    """What to look at where no dependency of the user's brings packages in that are unfit.

    Args:
        roots: the frameworks, as they are required, through which they came in.
    """
    if not roots:
        return "look at `dependencies`: one of them brings these in"
    return f"require another release: {' and '.join(roots)} {'brings' if len(roots) == 1 else 'bring'} these in"


def _allowing(request: EnvironmentRequest, faults: Sequence[LockFault], decided: Collection[str]) -> Iterator[str]:
    """The command that allows overlaps, where nothing else is wrong: what it locks has been judged.

    Nobody wants half of a framework, which keras-nightly beside keras would be.
    """
    overlaps = [one for one in faults if isinstance(one, OverlappingFiles)]
    pairs = [f"{one.first}+{one.second}" for one in overlaps]
    if len(pairs) == len(faults) and not any({one.first, one.second} & {*decided} for one in overlaps):
        allowed = tuple(dict.fromkeys((*request.allow_overlap, *pairs)))
        yield (
            "or lock both, if it does not matter to you whose file is installed:"
            f" {lock_command(request._replace(allow_overlap=allowed, held=()))}"
        )


def _others(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> str:
    generation = matrix.generation_of(request.backends).name
    return " ".join(name for name in matrix.default_backends(generation) if name not in request.backends)


def _shares(solved: Sequence[Resolution], in_flight: int) -> dict[EnvironmentRequest, int]:
    """How many requests each environment may have in flight: more where there is more to ask for, so that all end soon.

    As many as are closed at a time, whichever these are, keep within the sum.
    """
    sizes = {answer.request: len(answer.install) + len(answer.libraries) for answer in solved}
    largest = sum(sorted(sizes.values())[-CLOSERS:])
    return {request: max(1, in_flight * size // largest) for request, size in sizes.items()}


def _as_locked(found: _Closed) -> Resolution:
    """The resolution with the versions that uv chose where the choice was uv's."""
    free = {name: found.versions[name] for name in found.resolution.libraries if name in found.versions}
    for name in found.resolution.pinned:
        free.pop(name, None)
    return found.resolution._replace(libraries={**found.resolution.libraries, **free})


def _placed(answer: Resolution, closed: Pylock) -> frozenset[str]:
    """The packages of source trees among those that were closed."""
    there = {package.name for package in closed.packages}
    return frozenset(one.name for one in answer.direct if one.tree is not None and one.name in there)


def _of_file(file: LockedFile) -> LockedWheel:
    return LockedWheel(
        name=file.name,
        version=Version(file.version),
        filename=file.filename,
        url=str(file.url),
        sha256=file.sha256,
        size=file.size,
        requires_python=None,
        direct=True,
        path=file.path,
    )


def _group(found: _Closed) -> tuple[str, str]:
    """Environments share versions if they are for one platform and one Python."""
    return found.resolution.request.platform, found.resolution.request.python


def _decided(found: _Closed) -> set[str]:
    """The packages whose version the solver decided for this environment."""
    return {*found.resolution.packages, *found.resolution.pinned}


def _common_versions(current: Sequence[_Closed]) -> dict[tuple[str, str], dict[str, Version]]:
    """For each group, the version that each package with several versions should have.

    The version that a solver decided on; else the oldest of those that were taken: who took a newer one can nearly
    always use an older one, and the reverse is not so.
    """
    wanted: dict[tuple[str, str], dict[str, Version]] = {}
    for group in {_group(found) for found in current}:
        members = [found for found in current if _group(found) == group]
        versions: dict[str, set[Version]] = {}
        for found in members:
            for name, version in found.versions.items():
                versions.setdefault(name, set()).add(version)
        wanted[group] = {}
        for name, taken in sorted(versions.items()):
            if len(taken) == 1:
                continue
            decided = {found.versions[name] for found in members if name in _decided(found) and name in found.versions}
            wanted[group][name] = min(decided or taken)
    return wanted


def _differing(found: _Closed, wanted: Mapping[str, Version]) -> list[str]:
    decided = _decided(found)
    return [
        name
        for name, version in wanted.items()
        if name in found.versions and found.versions[name] != version and name not in decided
    ]


def _unshared(current: Sequence[_Closed]) -> list[str]:
    """Which packages still differ between environments, in words."""
    told = []
    for group in sorted({_group(found) for found in current}):
        taken: dict[str, dict[Version, list[str]]] = {}
        for found in current:
            if _group(found) == group:
                for name, version in found.versions.items():
                    taken.setdefault(name, {}).setdefault(version, []).append(found.resolution.request.environment)
        for name, holders in sorted(taken.items()):
            chosen = all(name in _decided(found) for found in current if name in found.versions)
            if len(holders) > 1 and not chosen:
                parts = [f"{version} in {', '.join(names)}" for version, names in sorted(holders.items())]
                told.append(f"{name} differs between environments, no version serves all: {'; '.join(parts)}")
    return told
