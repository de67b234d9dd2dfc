"""What locking is asked for and what becomes of it, alike for every form of locks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from kgen.errors import ExitStatus, KgenError
from kgen.model.accelerator import Accelerator
from kgen.model.format import Format
from kgen.model.request import EnvironmentRequest

if TYPE_CHECKING:
    from kgen.matrix.compatibility import CompatibilityMatrix
    from kgen.model.causes import LockFault
    from kgen.model.resolution import Conflict
    from kgen.settings import Settings

Reporter = Callable[[EnvironmentRequest, str], None]
"""Called with a request and its stage, from any thread."""


class Locked(Protocol):
    """What is locked for one request, whatever its form."""

    @property
    def summary(self) -> Summary:
        """What kgen prints about it, for people and for programs."""

    @property
    def size(self) -> int | None:
        """Bytes to download; None if the size of a file is not known."""


class Summary(NamedTuple):
    """What kgen prints of a lock.

    Attributes:
        frameworks: the frameworks, then Keras: package -> version, by the names that the packages have in this form.
        runtime: the accelerator with its runtime's version; None on the CPU.
        cudnn: the cuDNN; None on the CPU.
        driver: the oldest driver that serves it; None on the CPU, or where the form does not say it.
        packages: what kgen's solver decided on: package -> version; nothing where another one did.
        libraries: the same of the accelerator's libraries.
        versions: every package -> its version.
        licences: package -> the licence that it declares, of those that declare one.
        local: the files that only this machine can fetch from where they were found.
        warnings: what speaks against it, as sentences.
        why: what decided on the versions, as data.
        solved: the request that was solved, with the frameworks that dependencies bring along; None where it is that
            which was asked.
    """

    frameworks: Mapping[str, str]
    runtime: Accelerator | None
    cudnn: str | None
    versions: Mapping[str, str]
    driver: str | None = None
    packages: Mapping[str, str] = MappingProxyType({})
    libraries: Mapping[str, str] = MappingProxyType({})
    licences: Mapping[str, str] = MappingProxyType({})
    local: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    why: tuple[Mapping[str, object], ...] = ()
    solved: EnvironmentRequest | None = None


L_co = TypeVar("L_co", bound=Locked, covariant=True)


@dataclass(slots=True, kw_only=True)
class Outcome(Generic[L_co]):
    """What became of one request in one form.

    Attributes:
        request: what was asked.
        form: the form.
        lock: the judged lock, if it came to that.
        conflict: why there is no solution.
        tree: the resolver's own reasons why there is none, where they say more.
        error: what failed outside.
        faults: what makes what was closed unfit to be written.
        notes: what the user should know about the way there.
        remarks: the same about this run alone, as how a channel was asked.
        moved: what was locked and could not stay, as other packages were to be upgraded.
        seconds: how long it took.
    """

    request: EnvironmentRequest
    form: Format
    lock: L_co | None = None
    conflict: Conflict | None = None
    tree: str = ""
    error: KgenError | None = None
    faults: tuple[LockFault, ...] = ()
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    moved: tuple[str, ...] = ()
    seconds: float = 0.0


def status(outcomes: Sequence[Outcome[Locked]]) -> ExitStatus:
    """The exit status that outcomes come to: that there is no solution weighs more than what failed outside."""
    if any(outcome.conflict is not None for outcome in outcomes):
        return ExitStatus.NO_SOLUTION
    return next((one.error.status for one in outcomes if one.error is not None), ExitStatus.DONE)


class LockJob(NamedTuple):
    """What is to be locked, and how.

    Attributes:
        matrix: the facts.
        settings: the settings, with the flags over them.
        requests: what is asked; platforms of one environment stand together.
        moving: packages that are taken in their newest version whatever the old lock has; None for all of them.
        merge: whether old locks may be in conflict after a merge; what both sides share is kept then.
        every: whether the requests are for all platforms of their environments, so that no other stays in a file that
            is for several; None where nothing is to be written.
        report: called with each request and its stage.
        alone: whether locks are made in one form only, and of requests that have one Python.
        take_over: the lock of another tool that locks begin with, where kgen has none.
        taken: platform -> project of the Python index -> the version that this lock has.
        form: what hints must repeat that is not part of a request, or more than it holds: field -> value.
        repeatable: whether what came of the same before is as good as what is found out now: who is to be told why a
            lock has its versions, and a form that takes wheels into its locks, need the answers themselves.
    """

    matrix: CompatibilityMatrix
    settings: Settings
    requests: Sequence[EnvironmentRequest]
    moving: Collection[str] | None
    merge: bool
    every: bool | None
    report: Reporter
    alone: bool = False
    take_over: Path | None = None
    taken: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    form: Mapping[str, object] = MappingProxyType({})
    repeatable: bool = False


class Part(NamedTuple):
    """What became of all requests in one form.

    Attributes:
        outcomes: one for each request.
        files: environment -> the files of its locks, by name; none of one that was not locked on all its platforms, and
            what is there of it stays.
    """

    outcomes: Sequence[Outcome[Locked]] = ()
    files: Mapping[str, Mapping[str, bytes]] = MappingProxyType({})


Finish = Callable[[Sequence[Outcome[Locked]]], Part]
"""Ends the locking in one form; is given what became of the requests in the default form, or nothing if it is that."""


def by_environment(outcomes: Sequence[Outcome[L_co]]) -> Iterator[tuple[str, Sequence[Outcome[L_co]]]]:
    """The outcomes of each environment that was locked on all its platforms."""
    found: dict[str, list[Outcome[L_co]]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.request.environment, []).append(outcome)
    for environment, members in found.items():
        if all(one.lock is not None for one in members):
            yield environment, members


Progress = Callable[[Sequence[EnvironmentRequest]], contextlib.AbstractContextManager[Reporter]]
"""Shows the stages of requests while they are locked."""


def unreported(_request: EnvironmentRequest, _stage: str) -> None:
    """Reports nothing."""
