"""Lock conda packages beside the wheels, without delaying them."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from kgen import __version__, files
from kgen.errors import ContradictionError, KgenError, MissingExtraError, OutsideError, SettingsError
from kgen.formats.conda import FORMAT, RECORDS, condafiles, rattlertool, text
from kgen.formats.conda.names import Names
from kgen.formats.conda.rattlertool import CondaRecord
from kgen.formats.conda.repeat import Note
from kgen.formats.conda.session import CondaOutcome, CondaSession
from kgen.formats.conda.taken import TakenVersions
from kgen.formats.conflict import sides
from kgen.formats.outcome import Finish, Locked, LockJob, Outcome, Part
from kgen.matrix.selection import selection
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import canonical_name
from kgen.project import LOCKS
from kgen.settings import Settings

_Work = Iterable[tuple[EnvironmentRequest, Callable[[], CondaOutcome]]]
_Taken = Callable[[str], Sequence[CondaRecord]]


def require(settings: Settings) -> None:
    """Check that py-rattler is installed, and that the settings fit; see :class:`kgen.formats.interface.Locker`."""
    if not rattlertool.available():
        raise MissingExtraError("conda locks need py-rattler, which is not installed", hints=[rattlertool.INSTALL])
    if settings.portable and settings.conda == "base":
        raise ContradictionError(
            '`portable` and `conda = "base"` contradict each other: conda-lock.yml names the URL of each wheel',
            hints=['leave out `portable`, or choose `conda = "full"`'],
        )


def takes_wheels(settings: Settings) -> bool:
    """Whether only Python is from conda, and everything else comes as the locked wheels."""
    return settings.conda == "base"


def held(job: LockJob, request: EnvironmentRequest) -> Collection[str]:
    """The names of the packages that an old lock holds; see :class:`kgen.formats.interface.Locker`."""
    return {one["name"] for one in _locked(job, request)}


def _locked(job: LockJob, request: EnvironmentRequest) -> tuple[CondaRecord, ...]:
    """The locked packages for a platform, if the lock is for the same request and readable; else none.

    Raises:
        SettingsError: the lock has a merge conflict that kgen may not resolve.
    """
    path = job.settings.root / LOCKS / request.environment / RECORDS
    try:
        content = files.read(path)
    except OSError:
        return ()
    both = sides(path, content, merge=job.merge) or (content, content)
    try:
        ours, theirs = (condafiles.parse(path, side) for side in both)
    except SettingsError:  # it is about to be written again
        return ()
    asked = (job.settings.channels, job.settings.conda, request.python, dict(job.settings.conda_names))
    if any((one.channels, one.mode, one.python, one.names) != asked for one in (ours, theirs)):
        return ()
    return condafiles.shared(ours, theirs, request.platform)


@contextlib.contextmanager
def begin(job: LockJob) -> Iterator[Finish]:
    """Solve while the wheels are locked; see :class:`kgen.formats.interface.Locker`."""
    moving = job.moving
    known = Names.of(job.matrix, job.settings.conda_names)
    # by its name there, or by that of its project
    names = {known.package(canonical_name(name)) for name in moving or ()} | set(moving or ())

    taken = functools.cache(partial(_taken, job))

    def stays(request: EnvironmentRequest) -> tuple[CondaRecord, ...]:
        ours = () if moving is None else tuple(one for one in _locked(job, request) if one["name"] not in names)
        held = {one["name"] for one in ours}
        return (*ours, *(one for one in taken(request.platform) if one["name"] not in held))

    session = CondaSession(
        job.matrix,
        job.settings.channels,
        rattlertool.opened,
        chosen=job.settings.conda_names,
        locked=stays,
        taken=TakenVersions("" if job.take_over is None else job.take_over.name, job.taken),
    )
    if job.settings.conda == "base":
        yield lambda wheels: _ended(job, ((one.request, partial(_base, session, one)) for one in wheels), taken)
        return
    if rattlertool.changes_environment():
        with contextlib.suppress(KgenError):  # who solves meets it again, and tells
            session.open()
    pool = ThreadPoolExecutor(1)
    try:
        job.matrix.conda  # noqa: B018 - read here once, not in two threads
        work = pool.submit(_whole, job, session, stays, taken)
        yield lambda _wheels: work.result()
    finally:
        # after ctrl-C it may wait for a channel yet that says nothing
        pool.shutdown(wait=False, cancel_futures=True)


def _whole(
    job: LockJob,
    session: CondaSession,
    stays: Callable[[EnvironmentRequest], tuple[CondaRecord, ...]],
    taken: _Taken,
) -> Part:
    """Lock all requests from conda's channels alone, or repeat the result of an earlier run.

    Args:
        job: the job.
        session: the session that solves.
        stays: returns the packages of an older lock that kgen keeps where it can.
        taken: returns the packages of another tool's lock for a platform.
    """
    note = None
    if job.repeatable and job.take_over is None:
        with contextlib.suppress(KgenError):  # who solves meets it again, and tells
            note = Note(job, session.open, stays)
    again = None if note is None else note.repeated(session)
    if again is not None:
        outcomes, made = again
        _tell(job, outcomes, taken)
        return Part(outcomes, made)
    part = _ended(job, [(one, partial(session.full, one)) for one in job.requests], taken)
    if note is not None:
        note.keep(part)
    return part


def _ended(job: LockJob, work: _Work, taken: _Taken) -> Part:
    """Do all of the work, one environment after another.

    Args:
        job: the job.
        work: each request, and the function that solves it.
        taken: returns the packages of another tool's lock for a platform.
    """
    outcomes: list[CondaOutcome] = []
    # what is solved is rendered while rattler, which needs no lock of Python's, solves the next
    with ThreadPoolExecutor(1) as pool:
        rendering = {}
        for environment, members in itertools.groupby(work, key=lambda one: one[0].environment):
            mine = [_guarded(request, solve) for request, solve in members]
            outcomes += mine
            if job.every is not None and all(one.lock is not None for one in mine):
                rendering[environment] = pool.submit(_files, job, mine)
        _tell(job, outcomes, taken)
        return Part(outcomes, {environment: made.result() for environment, made in rendering.items()})


def _tell(job: LockJob, outcomes: Iterable[CondaOutcome], taken: _Taken) -> None:
    """Add notes to each outcome on the packages of older locks."""
    for outcome in outcomes:
        if job.moving:
            outcome.moved = _moved(outcome)
        if job.take_over is not None:
            outcome.notes += _others_than_taken(outcome, taken(outcome.request.platform), job.take_over)


def _taken(job: LockJob, platform: str) -> tuple[CondaRecord, ...]:
    """The conda packages of another tool's lock for a platform; none if kgen takes no such lock over."""
    if job.take_over is None:
        return ()
    from kgen.formats.conda import importer  # noqa: PLC0415 - a project is taken over once

    return importer.packages_in(job.take_over, platform)


def _others_than_taken(outcome: CondaOutcome, taken: Sequence[CondaRecord], source: Path) -> Iterator[str]:
    """A note on the packages of another tool's lock that changed."""
    if outcome.lock is None or not taken:
        return
    has = {one["name"]: one for one in outcome.lock.records}
    common = [(one, has[one["name"]]) for one in taken if one["name"] in has]
    other = [
        f"{mine['name']} {mine['version']} {mine['build']} (it has {one['version']} {one['build']})"
        for one, mine in common
        if (one["version"], one["build"]) != (mine["version"], mine["build"])
    ]
    said = f"; otherwise: {', '.join(other)}" if other else ""
    yield f"{outcome.request.environment}: {len(common) - len(other)} packages of conda of {source.name}{said}"


def _moved(outcome: CondaOutcome) -> tuple[str, ...]:
    """The packages that could not stay as locked because of an upgraded one."""
    lock = outcome.lock
    if lock is None:
        return ()
    return tuple(
        f"{one['name']} {one['version']} -> {lock.versions.get(one['name'], 'none')}"
        for one in lock.target.locked
        if lock.versions.get(one["name"]) != one["version"]
    )


def _base(session: CondaSession, wheels: Outcome[Locked]) -> CondaOutcome:
    from kgen.formats.wheels.lock import Lock  # noqa: PLC0415 - slow to import, and loaded where wheels were locked

    if not isinstance(wheels.lock, Lock):
        missing = OutsideError(f"{wheels.request.environment}: the wheels that go into it were not locked")
        return CondaOutcome(request=wheels.request, form=FORMAT, error=missing)
    return session.base(wheels.request, wheels.lock)


def _guarded(request: EnvironmentRequest, work: Callable[[], CondaOutcome]) -> CondaOutcome:
    placed = [str(one) for one in request.dependencies if one.url is not None]
    try:
        if placed:
            raise SettingsError(
                f"{request.environment}: a conda lock holds packages of channels, and these are from other places:"
                f" {', '.join(placed)}",
                hints=["leave them out, or lock wheels alone: kgen lock without --conda and `installers`"],
            )
        return work()
    except KgenError as error:
        return CondaOutcome(request=request, form=FORMAT, error=error)


def _files(job: LockJob, outcomes: Sequence[CondaOutcome]) -> dict[str, bytes]:
    """The files of an environment that was locked on all its platforms, by name."""
    request = outcomes[0].request
    old = None
    if not job.every:
        with contextlib.suppress(KgenError):
            old = condafiles.read(job.settings.root / LOCKS / request.environment / RECORDS)
    own = selection(job.matrix, request.backends, request.accelerator.name, isolated=request.isolated).own
    locks = [one.lock for one in outcomes if one.lock is not None]
    made = text.file_of(job.matrix, locks, mode=job.settings.conda, version=__version__, old=old)._replace(**own)
    named = made._replace(names=dict(sorted(job.settings.conda_names)))
    return {name: content.encode() for name, content in text.files(named).items()}
