"""Takes the newest release of what the user names where it fits, and says what keeps it back where it does not."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from packaging.version import Version

from kgen.errors import OutsideError
from kgen.fields import allow_build_command
from kgen.formats.outcome import Outcome, Reporter
from kgen.formats.wheels.age import Aged, Releases, aged, fits_on, floor_of_recent, unasked_prereleases
from kgen.formats.wheels.closer import Closer
from kgen.formats.wheels.closure import Closed
from kgen.formats.wheels.lock import Lock
from kgen.formats.wheels.questions import results
from kgen.formats.wheels.remedies import Remedies
from kgen.formats.wheels.uv import Unclosed
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Conflict
from kgen.solver.resolve import solve


class Newest:
    """Looks for newer releases of the dependencies that the user names; safe to use from several threads."""

    def __init__(
        self,
        matrix: CompatibilityMatrix,
        closer: Closer,
        remedies: Remedies,
        releases: Releases,
        asking: Future[None],
        *,
        cancel: threading.Event,
        report: Reporter,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            matrix: the facts.
            closer: resolves what is tried.
            remedies: tries other requests.
            releases: the releases that the indexes have.
            asking: done when the indexes have answered about every dependency that the user names.
            cancel: set when the user interrupts kgen.
            report: called with each request and its stage, from any thread.
        """
        self._matrix = matrix
        self._closer = closer
        self._remedies = remedies
        self._releases = releases
        self._asking = asking
        self._cancel = cancel
        self._report = report
        self._kept_back: dict[tuple[EnvironmentRequest, str], str] = {}

    def taken(self, found: Closed) -> Closed:
        """The resolution with the newest releases of what the user names, where uv went back further than it had to.

        uv looks for any answer, and may give up a named release for the sake of a package that nobody asked for.
        """
        results([self._asking], self._cancel)
        for one in list(aged(self._matrix, found.resolution, found.versions, self._releases)):
            if not one.reason and not self._cancel.is_set():
                found = self._with_exact(found, one)
        return found

    def _with_exact(self, found: Closed, one: Aged) -> Closed:
        """The resolution with the newest release of one package; unchanged where that does not fit.

        What other environments would have in common with this one is given up before it is.
        """
        request = found.resolution.request
        exact = f"{one.name}=={one.newest}"
        try:
            closed = self._closer.again(found, (*found.constraints, exact))
            if isinstance(closed, Unclosed):
                closed = self._closer.apart(found, (exact,)) or closed
        except OutsideError:
            return found
        if isinstance(closed, Unclosed) and not found.constraints and not request.held:
            self._kept_back[request, one.name] = closed.cause
        return closed if isinstance(closed, Closed) else found

    def tell(self, ended: Sequence[tuple[Outcome[Lock], Closed]]) -> None:
        """Note in each outcome which named packages are older than their newest, why, and what gives a newer one."""
        results([self._asking], self._cancel)
        for outcome, found in ended:
            if outcome.lock is None:
                continue
            environment = outcome.request.environment
            for early in unasked_prereleases(found.resolution, found.versions, self._releases):
                outcome.notes.append(f"{environment}: {early}")
            old = list(aged(self._matrix, found.resolution, found.versions, self._releases))
            if old:
                self._report(outcome.request, "looking for what keeps dependencies back")
                started = time.monotonic()
                outcome.notes += self._notes(outcome.request, found, old)
                outcome.seconds += time.monotonic() - started

    def _notes(self, asked: EnvironmentRequest, found: Closed, old: Sequence[Aged]) -> Iterator[str]:
        request = found.resolution.request._replace(held=())
        kept = [(one, reason) for one in old if (reason := self._reason(request, found, one))]
        wanted = [one for one, _ in kept if not one.built]
        python = self._python_for(request, found, wanted) if wanted else None
        if python is not None and request.python_open:
            self._closer.suggest_python(python)
        for one, reason in kept:
            if one.built and self._remedies.can_build(request, [one.name]):
                remedy = f"; `{allow_build_command([one.name])}` lets it be built from source"
            elif python is not None:
                command = self._closer.command(asked._replace(python=python, held=()))
                # what is being locked now would be kept
                remedy = f"; it is in {command} --upgrade-package {one.name}"
            else:
                remedy = self._on_newer_glibc(asked, one) or self._nearer(asked, found, one)
            yield (
                f"{request.environment}: {one.name} {one.locked} is taken, and {one.newest} is the newest:"
                f" {reason}{remedy}"
            )

    def _reason(self, request: EnvironmentRequest, found: Closed, one: Aged) -> str:
        """What keeps the newest release back; empty where another note says it already."""
        if one.reason:
            return one.reason
        closed = self._kept_back.get((found.resolution.request, one.name)) or self._trial(request, found, [one])
        if closed is None:
            return ""
        # the trial required the newest release, the user did not
        newest = rf"{re.escape(one.name)}=={re.escape(str(one.newest))}"
        others = re.sub(rf"you require {newest} and ", "you require ", closed)
        others = re.sub(rf"(?:; | and )?you require {newest}(?![0-9.])", "", others)
        following = f"; {one.following}" if one.following else ""
        return f"{one.newest} does not fit what else is there: {others}{following}"

    def _on_newer_glibc(self, request: EnvironmentRequest, one: Aged) -> str:
        """The command for a newer glibc, if newer releases have wheels for it; empty where that gives no newer one."""
        if one.glibc is None or self._cancel.is_set():
            return ""
        moved = request._replace(glibc=one.glibc, held=())
        found = self._remedies.closed(moved)
        if found is None or found.versions.get(one.name, one.locked) <= one.locked:
            return ""
        # what is being locked now would be kept
        again = f"{self._closer.command(moved)} --upgrade-package {one.name}"
        return f"; {again} gives {self._remedies.given(found, one.name)}"

    def _nearer(self, request: EnvironmentRequest, had: Closed, one: Aged) -> str:
        """The command for a release that is not years old, at the cost of older frameworks; empty where none locks.

        A Python that gives it at no such cost is taken where the user leaves the Python open.
        """
        bound = floor_of_recent(request, one, self._releases)
        if bound is None or self._cancel.is_set():
            return ""
        bounded = [
            Requirement(f"{wish}{',' if wish.specifier else ''}>={bound}") if wish.name == one.name else wish
            for wish in request.dependencies
        ]
        changed = request._replace(dependencies=tuple(bounded), held=())
        files = [file for version, files in self._releases.of(one.name).items() if version >= bound for file in files]
        pythons = self._matrix.generation_of(request.backends).pythons if request.python_open else ()
        others = [row.version for row in reversed(self._matrix.pythons) if Version(row.version) in pythons]
        for python in dict.fromkeys((request.python, *others)):
            if self._cancel.is_set() or not fits_on(self._matrix, request, files, python):
                continue
            found = self._remedies.closed(moved := changed._replace(python=python))
            if found is not None and one.name in found.versions:
                if request.python_open and python != request.python and self._keeps_frameworks(request, had, found):
                    self._closer.suggest_python(python)
                return f"; {self._closer.command(moved)} gives {self._remedies.given(found, one.name)}"
        return ""

    def _python_for(self, request: EnvironmentRequest, found: Closed, wanted: Sequence[Aged]) -> str | None:
        """The newest Python on which all of these have their newest version; None if there is none."""
        pythons = self._matrix.generation_of(request.backends).pythons
        for row in reversed(self._matrix.pythons):
            other = row.version
            if other == request.python or Version(other) not in pythons:
                continue
            if all(fits_on(self._matrix, request, self._releases.of(one.name)[one.newest], other) for one in wanted):
                moved = request._replace(python=other, members=(), cpu_members=())
                if self._trial(moved, found, wanted) is None and self._would_be_locked(moved, found, wanted):
                    return other
        return None

    def _would_be_locked(self, request: EnvironmentRequest, found: Closed, wanted: Sequence[Aged]) -> bool:
        """Whether a lock with the newest of these would be written, with no older framework than there is now.

        A trial does not see what comes along: `torchvision` brings a torch, which may be for another CUDA.
        """
        exact = tuple(Requirement(f"{one.name}=={one.newest}") for one in wanted)
        locked = self._remedies.closed(request._replace(constraints=(*request.constraints, *exact)))
        return locked is not None and self._keeps_frameworks(request, found, locked)

    def _keeps_frameworks(self, request: EnvironmentRequest, before: Closed, after: Closed) -> bool:
        """Whether a resolution has no older framework of the backends that are asked for."""
        own = {self._matrix.backends[backend].framework for backend in request.backends}
        was, now = before.resolution.packages, after.resolution.packages
        return all(now[name] >= was[name] for name in own)

    def _trial(self, request: EnvironmentRequest, found: Closed, wanted: Sequence[Aged]) -> str | None:
        """Why these packages cannot have their newest versions; None if they can."""
        answer = solve(self._matrix, request)
        if isinstance(answer, Conflict):
            return "the frameworks cannot be had"
        own = [self._matrix.backends[backend].framework for backend in request.backends]
        older = [name for name in own if answer.packages[name] < found.resolution.packages[name]]
        if older:
            return f"{older[0]} would be older"
        exact = [f"{one.name}=={one.newest}" for one in wanted]
        try:
            _, closed = self._closer.by_uv(answer, exact)
        except OutsideError as error:
            return error.message
        return closed.cause if isinstance(closed, Unclosed) else None
