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
    """What is locked for one request, in any form."""

    @property
    def summary(self) -> Summary:
        """What kgen prints about it, for people and for programs."""

    @property
    def size(self) -> int | None:
        """The bytes to download; None if the size of some file is unknown."""


class Summary(NamedTuple):
    """What kgen prints about a lock.

    Attributes:
        frameworks: package -> version of the frameworks, then Keras, by their package names in this form.
        runtime: the accelerator with its runtime version; None on the CPU.
        cudnn: the cuDNN; None on the CPU.
        driver: the oldest driver that supports it; None on the CPU, or if the form does not state it.
        packages: package -> version, as kgen's solver decided; empty if another solver did.
        libraries: the same for the accelerator's libraries.
        versions: package -> version, for every package.
        licences: package -> its declared licence, if it declares one.
        local: the files that only this machine can fetch from where they were found.
        warnings: warnings, as sentences.
        why: the reasons for the versions, as data.
        solved: the request that was solved, including frameworks that dependencies bring in; None if it is the original
            one.
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
    """The outcome of one request in one form.

    Attributes:
        request: the request.
        form: the form.
        lock: the verified lock, if there is one.
        conflict: why there is no solution.
        tree: the resolver's own reasons for that, if they say more.
        error: an error of the environment, such as the network's.
        faults: what makes the result unfit to be written.
        notes: what the user should know about how kgen found it.
        remarks: the same about this run only, such as how a channel was queried.
        moved: locked packages that had to change because others were upgraded.
        seconds: the time that it took.
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
    """The exit status for outcomes: a missing solution takes precedence over an error of the environment."""
    if any(outcome.conflict is not None for outcome in outcomes):
        return ExitStatus.NO_SOLUTION
    return next((one.error.status for one in outcomes if one.error is not None), ExitStatus.DONE)


class LockJob(NamedTuple):
    """What to lock, and how.

    Attributes:
        matrix: the facts.
        settings: the settings, overridden by flags.
        requests: the requests; the platforms of one environment are consecutive.
        moving: packages to take in their newest version whatever the old lock has; None for all.
        merge: whether old locks may have merge conflicts; what both sides share is kept then.
        every: whether the requests cover all platforms of their environments, so that a file for several platforms
            keeps no others; None to write nothing.
        report: called with each request and its stage.
        alone: whether locks are made in one form only, and from requests with one Python.
        take_over: the lock of another tool to start from, if there is no lock of kgen.
        taken: platform -> project of the Python index -> its version in that lock.
        form: field -> value, for what hints must repeat besides a request.
        repeatable: whether an earlier result may replace a new one. It may not if the user asks for reasons, or for a
            form that includes wheels, because these need the answers themselves.
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
    """The outcomes of all requests in one form.

    Attributes:
        outcomes: one for each request.
        files: environment -> the files of its locks, by name; none for an environment that was not locked on all its
            platforms, whose existing files stay.
    """

    outcomes: Sequence[Outcome[Locked]] = ()
    files: Mapping[str, Mapping[str, bytes]] = MappingProxyType({})


Finish = Callable[[Sequence[Outcome[Locked]]], Part]
"""Ends the locking in one form, given the outcomes in the default form (none while that is locked itself)."""


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
    """Report nothing."""
