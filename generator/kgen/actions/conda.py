"""The conda part of `kgen lock`: beside the wheels, and never in their way."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import canonicalize_name

from kgen import __version__, files
from kgen.actions import keep
from kgen.actions.plan import Plan
from kgen.errors import ExitStatus, KgenError, OutsideError, SettingsError, UsageError
from kgen.formats.wheels.session import Outcome
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import selection
from kgen.model.request import EnvironmentRequest
from kgen.project import LOCKS

if TYPE_CHECKING:  # who locks wheels alone does not pay for it
    from kgen.formats.conda.rattlertool import CondaRecord
    from kgen.formats.conda.session import CondaOutcome, CondaSession


class Part(NamedTuple):
    """What became of conda's part of a lock.

    Attributes:
        outcomes: one for each request.
        files: environment -> the files of its lock, by name; none of one that was not locked on all its platforms, and
            what is there of it stays.
    """

    outcomes: Sequence[CondaOutcome] = ()
    files: Mapping[str, Mapping[str, bytes]] = MappingProxyType({})


Finish = Callable[[Sequence[Outcome]], Part]


def asked(planned: Plan, *, flag: bool, channels: bool) -> bool:
    """Whether there are to be locks for conda.

    Args:
        planned: the plan.
        flag: whether they are asked for beside what the settings say.
        channels: whether channels are named beside those of the settings.

    Raises:
        UsageError: there are, and they cannot be made here.
    """
    if channels and not flag and "conda" not in planned.settings.installers:
        raise UsageError("`--channel` is for conda", hints=["give `--conda` with it"])
    wanted = flag or "conda" in planned.settings.installers
    if not wanted:
        return False
    from kgen.formats.conda import rattlertool  # noqa: PLC0415 - see above

    if not rattlertool.available():
        raise UsageError("conda locks need py-rattler, which is not installed", hints=[rattlertool.INSTALL])
    if planned.settings.portable and planned.settings.conda == "base":
        raise UsageError(
            '`portable` and `conda = "base"` contradict each other: conda-lock.yml names the URL of each wheel',
            hints=['leave out `portable`, or choose `conda = "full"`'],
        )
    return True


def locked(planned: Plan, request: EnvironmentRequest, *, merge: bool) -> tuple[CondaRecord, ...]:
    """What is locked for conda on a platform, if it was locked for what is asked now and can be read; else nothing.

    Args:
        planned: the plan.
        request: what is asked.
        merge: whether the lock may be in conflict after a merge; what both sides share counts then.

    Raises:
        SettingsError: it is in conflict, and may not be.
    """
    from kgen.formats.conda import condafiles  # noqa: PLC0415 - for who locks for conda

    path = planned.settings.root / LOCKS / request.environment / condafiles.RECORDS
    try:
        content = files.read(path)
    except OSError:
        return ()
    both = keep.sides(path, content, merge=merge) or (content, content)
    try:
        ours, theirs = (condafiles.parse(path, side) for side in both)
    except SettingsError:  # it is about to be written again
        return ()
    asked = (planned.settings.channels, planned.settings.conda, request.python)
    if any((one.channels, one.mode, one.python) != asked for one in (ours, theirs)):
        return ()
    return condafiles.shared(ours, theirs, request.platform)


@contextlib.contextmanager
def beside(
    matrix: CompatibilityMatrix,
    planned: Plan,
    requests: Sequence[EnvironmentRequest],
    *,
    wanted: bool,
    moving: Collection[str] | None,
    merge: bool,
    every: bool | None,
) -> Iterator[Finish]:
    """Solves for conda while the wheels are locked; what is given ends it, and answers for every request.

    Args:
        matrix: the facts.
        planned: the plan.
        requests: what is asked.
        wanted: whether anything is to be locked for conda at all.
        moving: the packages that are taken in their newest version whatever the old lock has; None for all.
        merge: whether an old lock may be in conflict after a merge.
        every: whether the requests are for all platforms of their environments, so that no other stays in the files;
            None where nothing is to be written.
    """
    if not wanted:
        yield lambda _outcomes: Part()
        return
    from kgen.formats.conda import rattlertool  # noqa: PLC0415 - see above
    from kgen.formats.conda.session import CondaSession  # noqa: PLC0415

    settings = planned.settings
    names = {_conda_name(matrix, name) for name in moving or ()}

    def stays(request: EnvironmentRequest) -> tuple[CondaRecord, ...]:
        if moving is None:
            return ()
        return tuple(one for one in locked(planned, request, merge=merge) if one["name"] not in names)

    session = CondaSession(matrix, settings.channels, rattlertool.opened, locked=stays)

    def ended(work: Iterable[tuple[EnvironmentRequest, Callable[[], CondaOutcome]]]) -> Part:
        outcomes: list[CondaOutcome] = []
        # what is solved is rendered while rattler, which needs no lock of Python's, solves the next
        with ThreadPoolExecutor(1) as pool:
            rendering = {}
            for environment, members in itertools.groupby(work, key=lambda one: one[0].environment):
                mine = [_guarded(request, solve) for request, solve in members]
                outcomes += mine
                if every is not None and all(one.lock is not None for one in mine):
                    rendering[environment] = pool.submit(_files, matrix, planned, mine, every=every)
            return Part(outcomes, {environment: files.result() for environment, files in rendering.items()})

    if settings.conda == "base":
        yield lambda outcomes: ended((one.request, partial(_base, session, one)) for one in outcomes)
        return
    if rattlertool.changes_environment():
        with contextlib.suppress(KgenError):  # who solves meets it again, and tells
            session.open()
    pool = ThreadPoolExecutor(1)
    try:
        matrix.conda  # noqa: B018 - read here once, not in two threads
        work = pool.submit(ended, [(one, partial(session.full, one)) for one in requests])
        yield lambda _outcomes: work.result()
    finally:
        # after ctrl-C it may wait for a channel yet that says nothing
        pool.shutdown(wait=False, cancel_futures=True)


def _conda_name(matrix: CompatibilityMatrix, name: str) -> str:
    """What conda calls what somebody calls a package: by its name there, or by that of its project."""
    return matrix.conda.names.get(canonicalize_name(name), name)


def _base(session: CondaSession, wheels: Outcome) -> CondaOutcome:
    from kgen.formats.conda.session import CondaOutcome  # noqa: PLC0415 - see above

    if wheels.lock is None:
        missing = OutsideError(f"{wheels.request.environment}: the wheels that go into it were not locked")
        return CondaOutcome(request=wheels.request, error=missing)
    return session.base(wheels.request, wheels.lock)


def _guarded(request: EnvironmentRequest, work: Callable[[], CondaOutcome]) -> CondaOutcome:
    from kgen.formats.conda.session import CondaOutcome  # noqa: PLC0415 - see above

    try:
        return work()
    except KgenError as error:
        return CondaOutcome(request=request, error=error)


# -- files -------------------------------------------------------------------------------------------------------------


def _files(
    matrix: CompatibilityMatrix, planned: Plan, outcomes: Sequence[CondaOutcome], *, every: bool
) -> dict[str, bytes]:
    """The files of an environment that was locked on all its platforms, by name."""
    from kgen.formats.conda import condafiles, text  # noqa: PLC0415 - for who locks for conda

    request = outcomes[0].request
    old = None
    if not every:
        with contextlib.suppress(KgenError):
            old = condafiles.read(planned.settings.root / LOCKS / request.environment / condafiles.RECORDS)
    own = selection(matrix, request.backends, isolated=request.isolated).own
    locks = [one.lock for one in outcomes if one.lock is not None]
    made = text.file_of(matrix, locks, mode=planned.settings.conda, version=__version__, old=old)._replace(**own)
    return {name: content.encode() for name, content in text.files(made).items()}


def status(outcomes: Sequence[CondaOutcome]) -> ExitStatus:
    """The exit status for this part."""
    if any(outcome.conflict is not None for outcome in outcomes):
        return ExitStatus.NO_SOLUTION
    return next((one.error.status for one in outcomes if one.error is not None), ExitStatus.DONE)
