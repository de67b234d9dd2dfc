"""Solve, resolve, verify and write the locks of a project."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kgen import __version__, host, leftovers, lockfiles, project, storage, templates, uvtool
from kgen.actions import conda, keep
from kgen.actions.plan import Plan
from kgen.emitters.hooks import render_hooks
from kgen.errors import ExitStatus, SettingsError
from kgen.formats.wheels import pylock, uv
from kgen.formats.wheels.lock import Lock
from kgen.formats.wheels.session import IN_FLIGHT, Outcome, Reporter, Session
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import selection
from kgen.model.request import EnvironmentRequest
from kgen.project import LOCKS

if TYPE_CHECKING:
    from kgen.formats.conda.session import CondaOutcome
    from kgen.wheels import WheelReader

_HOOK = re.compile(r"(de)?activate\.d/kgen\.[a-z0-9]+")
_PYLOCK = re.compile(r"pylock\.[a-z0-9-]+\.toml")


class LockOptions(NamedTuple):
    """How locks are made, whatever is in them.

    Attributes:
        dry_run: whether nothing is written.
        upgrade: whether nothing of the locks that are there is kept.
        upgrade_packages: packages that are not kept.
        merge: whether locks in conflict are solved again, keeping what both sides share.
        conda: whether locks for conda are made beside those that the settings ask for.
        channels: whether channels are named beside those of the settings.
        all_platforms: whether the requests are for all platforms of their environments, so that no other stays.
    """

    dry_run: bool = False
    upgrade: bool = False
    upgrade_packages: tuple[str, ...] = ()
    merge: bool = False
    conda: bool = False
    channels: bool = False
    all_platforms: bool = True


AS_USUAL = LockOptions()
"""Write, and keep what the locks that are there have where that still fits."""


class LockResult(NamedTuple):
    """What became of each request.

    Attributes:
        outcomes: of the wheels, in the order of the requests: a lock, a conflict or an error.
        conda: of the conda part; () where it was not asked for.
        written: environment -> whether anything of its folder changed; without those that were not written.
        notes: what was kept, or could not be read, of the locks that were there.
    """

    outcomes: Sequence[Outcome]
    conda: Sequence[CondaOutcome]
    written: Mapping[str, bool]
    notes: tuple[str, ...]

    @property
    def status(self) -> ExitStatus:
        """The exit status that it comes to."""
        if any(outcome.conflict is not None for outcome in self.outcomes):
            return ExitStatus.NO_SOLUTION
        failed = next((one.error.status for one in self.outcomes if one.error is not None), ExitStatus.DONE)
        return conda.status(self.conda) if failed == ExitStatus.DONE else failed


Progress = Callable[[Sequence[EnvironmentRequest]], contextlib.AbstractContextManager[Reporter]]
"""Shows the stages of requests while they are locked."""


def unreported(_request: EnvironmentRequest, _stage: str) -> None:
    """Reports nothing."""


def _silent(_requests: Sequence[EnvironmentRequest]) -> contextlib.AbstractContextManager[Reporter]:
    return contextlib.nullcontext(unreported)


def lock(
    matrix: CompatibilityMatrix, planned: Plan, options: LockOptions = AS_USUAL, progress: Progress = _silent
) -> LockResult:
    """Lock what a plan asks for and write it, each environment whole or not at all.

    Args:
        matrix: the facts.
        planned: the plan.
        options: how.
        progress: shows how far each request is.

    Raises:
        KgenError: nothing could be begun; what goes wrong with one environment is in its outcome.
    """
    asked = conda.asked(planned, flag=options.conda, channels=options.channels)
    locks = planned.settings.root / LOCKS
    requests = planned.requests
    notes: list[str] = []
    upgraded = options.upgrade_packages
    if not options.upgrade:
        of_conda = [conda.locked(planned, request, merge=options.merge) for request in requests if asked]
        known = {one["name"] for packages in of_conda for one in packages}
        requests = keep.keep(matrix, requests, locks, upgraded=upgraded, known=known, merge=options.merge, notes=notes)
    if not options.dry_run:
        leftovers.sweep(locks.parent, locks, _envs(locks.parent))
    with contextlib.nullcontext() if options.dry_run else storage.exclusive(locks):
        if not options.dry_run:
            storage.recover(locks)
        moving = None if options.upgrade else upgraded
        every = None if options.dry_run else options.all_platforms
        with conda.beside(
            matrix, planned, requests, wanted=asked, moving=moving, merge=options.merge, every=every
        ) as finish:
            with progress(requests) as report:
                outcomes = resolve(
                    matrix,
                    planned.settings.root,
                    requests,
                    torch_index=planned.settings.torch_index,
                    report=report,
                )
            others, files = finish(outcomes)
        written = {} if every is None else write(matrix, planned, outcomes, files, every=every)
    return LockResult(outcomes, others, written, tuple(notes))


def _envs(root: Path) -> Path | None:
    """Where environments may have been left behind."""
    try:
        return project.envs(root)
    except SettingsError:  # who makes an environment will be told
        return None


def resolve(
    matrix: CompatibilityMatrix,
    root: Path,
    requests: Sequence[EnvironmentRequest],
    *,
    torch_index: str | None,
    report: Reporter = unreported,
) -> list[Outcome]:
    """Lock these requests of the project in this folder; nothing is written.

    Args:
        matrix: the facts.
        root: the project's folder.
        requests: what is asked.
        torch_index: what the settings say about PyTorch's own index.
        report: called with each request and the stage that it has come to, from whatever thread.

    Raises:
        OutsideError: uv is missing.
    """
    cancel = threading.Event()

    def open_reader() -> WheelReader:
        # called while uv is at work: what is slow to import or to prepare is seen to now
        from kgen import wheels  # noqa: PLC0415

        templates.prepare("hooks/", "pylock")
        return wheels.WheelReader(
            cache=wheels.default_cache(host.variable("KGEN_CACHE_DIR")),
            cancel=cancel,
            certificates=host.variable("SSL_CERT_FILE"),
            indexes=uvtool.configured(root),
            patience=min(wheels.PATIENCE, host.seconds(wheels.PATIENCE)),
        )

    program = uvtool.find()
    locker = uv.Uv(program, root=root, cancel=cancel, own=uvtool.own_indexes(program, root, torch_index))
    chosen = host.variable("UV_CONCURRENT_DOWNLOADS") is not None
    session = Session(
        matrix, locker, open_reader, cancel=cancel, report=report, in_flight=None if chosen else IN_FLIGHT
    )
    return session.lock(requests)


# -- writing -----------------------------------------------------------------------------------------------------------


def write(
    matrix: CompatibilityMatrix,
    planned: Plan,
    outcomes: Sequence[Outcome],
    of_conda: Mapping[str, Mapping[str, bytes]],
    *,
    every: bool,
) -> Mapping[str, bool]:
    """Write each environment that was locked on all its platforms; environment -> whether anything changed."""
    locks = planned.settings.root / LOCKS
    environments: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        environments.setdefault(outcome.request.environment, []).append(outcome)
    written = {}
    for environment, members in environments.items():
        if any(outcome.lock is None for outcome in members):
            continue
        request = members[0].request
        selected = selection(matrix, request.backends, request.accelerator.name, isolated=request.isolated)
        hooks = render_hooks(environment, selected.variables)
        files = {path: text.encode() for path, text in hooks.items()}
        for outcome in members:
            platform = matrix.platforms[outcome.request.platform]
            text = pylock.render(
                locked_of(outcome),
                platform=platform,
                variables=selected.variables,
                hooks=hooks,
                **selected.own,
                revision=matrix.revision,
                version=__version__,
                portable=planned.settings.portable,
            )
            files[lockfiles.filename(platform.name)] = text.encode()
        # locks of platforms that a flag left out this time stay; those that the settings dropped go
        files |= of_conda.get(environment, {})
        written[environment] = storage.replace_folder(
            locks / environment,
            files,
            owned=_owned if every else _is_hook,
        )
    return written


def _is_hook(path: str) -> bool:
    return _HOOK.fullmatch(path) is not None


def _owned(path: str) -> bool:
    return _is_hook(path) or _PYLOCK.fullmatch(path) is not None


def locked_of(outcome: Outcome) -> Lock:
    """The lock of an outcome that has one."""
    assert outcome.lock is not None  # noqa: S101 - the caller has looked
    return outcome.lock
