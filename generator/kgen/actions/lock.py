"""Solves, resolves, verifies and writes the locks of a project."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from kgen import fields, files, leftovers, lockfiles, project, storage
from kgen.actions import keep, uptodate
from kgen.actions.lock_options import AS_USUAL, LockOptions
from kgen.actions.plan import Plan
from kgen.actions.pythons import allowed_by
from kgen.actions.requirements import Part, parts_of
from kgen.errors import ExitStatus, KgenError, SettingsError, UsageError
from kgen.fields import BY_NAME
from kgen.formats import interface, outcome
from kgen.formats.outcome import Locked, LockJob, Outcome, Progress, Reporter, unreported
from kgen.formats.uptodate import CurrentLock
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model import format as formats
from kgen.model.format import Format
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Resolution
from kgen.project import LOCKS
from kgen.settings import Settings
from kgen.solver.resolve import solve
from kgen.solver.retention import keeping


class LockResult(NamedTuple):
    """The outcome of each request.

    Attributes:
        outcomes: a lock, a conflict or an error for each request in the default form, in the order of the requests,
            then for each in the other requested forms.
        written: environment -> whether anything in its folder changed; without environments that were not written.
        notes: what was kept of the existing locks, or could not be read.
    """

    outcomes: Sequence[Outcome[Locked]]
    written: Mapping[str, bool]
    notes: tuple[str, ...]

    @property
    def status(self) -> ExitStatus:
        """The exit status of the command."""
        return outcome.status(self.outcomes)


class KeptFramework(NamedTuple):
    """A framework that a lock kept although the matrix has a newer one for its request."""

    environment: str
    name: str
    version: str
    newer: Version


def kept_although_newer(matrix: CompatibilityMatrix, result: LockResult) -> Iterator[KeptFramework]:
    """The frameworks that were kept although the matrix has a newer release for the same request.

    Args:
        matrix: the facts.
        result: the result of locking.
    """
    for one in result.outcomes:
        if one.lock is None or not one.form.follows_matrix or not one.request.held:
            continue
        newest = solve(matrix, (one.lock.summary.solved or one.request)._replace(held=()))
        if isinstance(newest, Resolution):
            has = one.lock.summary.frameworks
            # the lock records its reason if receipts decided on it, or if a newer one does not fit
            recorded = {row.package for row in one.request.recorded}
            for name, version in newest.packages.items():
                if name in has and name not in recorded and Version(has[name]) < version:
                    yield KeptFramework(one.request.environment, name, has[name], version)


def _silent(_requests: Sequence[EnvironmentRequest]) -> contextlib.AbstractContextManager[Reporter]:
    return contextlib.nullcontext(unreported)


def lock(
    matrix: CompatibilityMatrix,
    planned: Plan,
    options: LockOptions = AS_USUAL,
    progress: Progress = _silent,
    *,
    accepted: Callable[[], None] = lambda: None,
) -> LockResult:
    """Lock everything in a plan and write it, each environment atomically.

    Args:
        matrix: the facts.
        planned: the plan.
        options: how to lock.
        progress: shows the progress of each request.
        accepted: called when the call was found to be valid, before anything is looked at or made.

    Raises:
        KgenError: locking could not begin; an outcome has the error of its environment.
    """
    forms = list(_forms(planned, options))
    lockers = [interface.locker(form) for form in forms]
    for locker in lockers:
        locker.require(planned.settings)
    accepted()
    locks = planned.settings.root / LOCKS
    notes: list[str] = []
    others = [form.name for form in forms if not form.is_default]
    if options.proven is not None:
        from kgen.actions.preference import with_proven  # noqa: PLC0415 - most locks are made without receipts

        planned = with_proven(matrix, planned, options.proven, notes)
    upgraded = options.upgrade_packages
    job = LockJob(
        matrix=matrix,
        settings=planned.settings,
        requests=planned.requests,
        moving=None if options.upgrade else upgraded,
        merge=options.merge,
        every=None if options.dry_run else options.all_platforms,
        report=unreported,
        alone=not others and len({request.python for request in planned.requests}) == 1,
        take_over=options.take_over,
        form=planned.form,
        repeatable=not (options.reasons or any(locker.takes_wheels(planned.settings) for locker in lockers)),
    )
    kept: Sequence[EnvironmentRequest] = planned.requests
    there: Mapping[EnvironmentRequest, CurrentLock] = {}
    if not options.upgrade:
        known = {name for locker in lockers for request in job.requests for name in locker.held(job, request)}
        allowed = allowed_by(planned.settings, matrix)
        kept = keep.keep(
            matrix,
            job.requests,
            locks,
            upgraded=upgraded,
            known=known,
            allowed=None if allowed is None else allowed.minors,
            merge=options.merge,
            notes=notes,
        )
        job = job._replace(requests=kept)
    taken = _taken_over(job, options)
    beginning = (_with(matrix, one, taken.get(one.platform, {})) for one in job.requests)
    job = job._replace(requests=tuple(beginning), taken=taken)
    there = _standing(job, options, forms)
    if there:
        moving = [request for request in job.requests if request not in there]
        job = job._replace(requests=tuple(_beside(matrix, request, there) for request in moving))
    notes += _dropped(locks, job.requests, planned.settings, options.let_go)
    if options.writes:
        leftovers.sweep(locks.parent, locks, _envs(locks.parent))
    with storage.exclusive(locks) if options.writes else contextlib.nullcontext():
        if options.writes:
            storage.recover(locks)
        with contextlib.ExitStack() as stack:
            job = job._replace(report=stack.enter_context(progress(job.requests)))
            finishing = [stack.enter_context(locker.begin(job)) for locker in lockers]
            parts: list[outcome.Part] = []
            for finish in finishing:
                parts.append(finish(parts[0].outcomes if parts else ()))
        made = [one for part in parts for one in part.outcomes]
        left = not options.writes or (options.together and outcome.status(made) is not ExitStatus.DONE)
        written = _unchanged(options, made) if left else write(locks, parts, every=options.all_platforms)
    if not left:
        uptodate.remember(matrix, planned.settings, written, made)
    notes += _others_than_taken(made, taken, options.take_over)
    if there:
        written = {**written, **({} if left else dict.fromkeys((one.environment for one in there), False))}
        made = _in_order(kept, made, there)
    return LockResult(made, written, tuple(notes))


def _unchanged(options: LockOptions, made: Sequence[Outcome[Locked]]) -> Mapping[str, bool]:
    """For folders that are not written: that they are unchanged, if all locks in them are."""
    return dict.fromkeys((one.request.environment for one in made), False) if options.standing else {}


def _taken_over(job: LockJob, options: LockOptions) -> Mapping[str, Mapping[str, str]]:
    """Platform -> the versions in the lock of another tool; empty if there is none to take over."""
    if options.take_over is None:
        return {}
    from kgen.actions.foreign import versions_in  # noqa: PLC0415 - a project is taken over once

    platforms = dict.fromkeys(request.platform for request in job.requests)
    return {platform: versions_in(options.take_over, platform, job.matrix) for platform in platforms}


def _with(matrix: CompatibilityMatrix, request: EnvironmentRequest, versions: Mapping[str, str]) -> EnvironmentRequest:
    """The request with those of these versions that fit, for packages that no existing lock has."""
    if not versions:
        return request
    held = {wish.name for wish in request.held}
    wished = (Requirement(f"{name}=={version}") for name, version in sorted(versions.items()) if name not in held)
    return keeping(matrix, request._replace(held=(*request.held, *wished)))


def _others_than_taken(
    made: Sequence[Outcome[Locked]], taken: Mapping[str, Mapping[str, str]], source: Path | None
) -> Iterator[str]:
    """What became of the versions in another tool's lock, a sentence for each environment."""
    for one in made:
        if source is None or one.lock is None or not one.form.is_default:
            continue
        has, wished = one.lock.summary.versions, taken[one.request.platform]
        common = [name for name in has if name in wished]
        other = [
            f"{name} {has[name]} (it has {wished[name]})"
            for name in common
            if has[name].split("+")[0] != wished[name].split("+")[0]
        ]
        said = f"; otherwise: {', '.join(other)}" if other else ""
        yield f"{one.request.environment}: {len(common) - len(other)} versions of {source.name}{said}"


def _standing(job: LockJob, options: LockOptions, forms: Sequence[Format]) -> Mapping[EnvironmentRequest, CurrentLock]:
    """The parts of the job that are locked already; none if that is unknown, or they have to be made again."""
    if options.anew or any(not form.is_default for form in forms) or any(request.as_of for request in job.requests):
        return {}
    if not storage.is_settled(job.settings.root / LOCKS):
        return {}
    return uptodate.whole_environments(job.matrix, job.settings, job.requests, every=options.all_platforms)


def _beside(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, there: Mapping[EnvironmentRequest, CurrentLock]
) -> EnvironmentRequest:
    """The request with the versions of other existing locks, unless that costs a framework a newer release."""
    answer = solve(matrix, request)
    if not isinstance(answer, Resolution):
        return keeping(matrix, uptodate.beside(request, there))
    held = {wish.name for wish in request.held}
    frameworks = {KERAS, *(matrix.backends[backend].framework for backend in request.backends)} - held
    ahead = sorted(frameworks & answer.packages.keys())
    newest = tuple(Requirement(f"{name}=={answer.packages[name]}") for name in ahead)
    kept = keeping(matrix, uptodate.beside(request._replace(held=(*newest, *request.held)), there))
    return kept._replace(held=tuple(wish for wish in kept.held if wish not in newest))


def _in_order(
    requests: Sequence[EnvironmentRequest],
    made: Sequence[Outcome[Locked]],
    there: Mapping[EnvironmentRequest, CurrentLock],
) -> list[Outcome[Locked]]:
    """New and existing locks, in the order of the requests."""
    by_target = {(one.request.environment, one.request.platform): one for one in made}
    return [
        Outcome(request=request, form=formats.default(), lock=there[request])
        if request in there
        else by_target[request.environment, request.platform]
        for request in requests
    ]


def _dropped(
    locks: Path, requests: Sequence[EnvironmentRequest], settings: Settings, let_go: Collection[str]
) -> Iterator[str]:
    """What flags or former settings requested for the present locks, and this call does not request."""
    gone: dict[tuple[Requirement, ...], list[str]] = {}
    for request in requests:
        try:
            path = locks / request.environment / lockfiles.filename(request.platform)
            made_for = fields.request_of(lockfiles.parse(path, files.read(path))[1]["tool"]["kgen"])
        except (OSError, KgenError, ValueError, KeyError):
            continue  # there is none, or the code that reads its content reports the error
        asked = {one.name for one in (*request.dependencies, *request.requirements)} | {*let_go}
        lost = tuple(one for one in made_for.dependencies if one.name not in asked)
        if lost:
            gone.setdefault(lost, []).append(request.environment)
    for lost, names in gone.items():
        environments = ", ".join(dict.fromkeys(names))
        parts = parts_of(settings, {one.name for one in lost})
        ways = []
        if parts:
            flags = shlex.join(word for one in parts for word in (BY_NAME[one.field].flag or "", one.name))
            ways.append(f"{_listed_in(parts)} in the settings, or `{flags}`, keeps what is of it")
        rest = [str(one) for one in lost if not any(one.name in part.brings for part in parts)]
        if rest:
            ways.append(f"`{shlex.join(['kgen', 'add', *rest])}` keeps {'it' if len(rest) == 1 else 'them'}")
        yield f"{environments}: no longer asked for: {', '.join(map(str, lost))}; {'; '.join(ways)}"


def _listed_in(parts: Sequence[Part]) -> str:
    """The settings that request parts of a project."""
    named: dict[str, list[str]] = {}
    for part in parts:
        named.setdefault(part.field, []).append(part.name)
    return " and ".join(
        f"`{field} = [{', '.join(f'{chr(34)}{name}{chr(34)}' for name in names)}]`" for field, names in named.items()
    )


def _forms(planned: Plan, options: LockOptions) -> Iterator[Format]:
    """The forms to lock in, the default one first.

    Raises:
        UsageError: the call sets a field of another form.
    """
    wanted = {formats.default().name, *planned.settings.installers, *options.installers}
    for name in options.given:
        field = BY_NAME[name]
        if field.installer is not None and field.installer not in wanted:
            flag = formats.named(field.installer).flag
            raise UsageError(f"`{field.flag}` is for {field.installer}", hints=[f"give `{flag}` with it"])
    return (form for form in formats.known() if form.name in wanted)


def _envs(root: Path) -> Path | None:
    """The folder in which environments may have been left behind."""
    try:
        return project.envs(root)
    except SettingsError:  # reported when an environment is made
        return None


def write(locks: Path, parts: Sequence[outcome.Part], *, every: bool) -> Mapping[str, bool]:
    """Write each environment that was locked on all its platforms.

    Args:
        locks: the folder of the locks.
        parts: the outcomes in each form, the default one first. The files of another form stay if it has no new ones.
        every: whether to remove locks of the default form that are not among them.

    Returns:
        environment -> whether anything changed.
    """
    written = {}
    for environment, own in parts[0].files.items():
        files = dict(own)
        for part in parts[1:]:
            files |= part.files.get(environment, {})
        # keep locks for platforms that a flag left out this time; remove those for platforms dropped from the settings
        written[environment] = storage.replace_folder(
            locks / environment, files, owned=_is_owned if every else _is_hook
        )
    return written


def _is_hook(path: str) -> bool:
    return lockfiles.is_hook(path)


def _is_owned(path: str) -> bool:
    return _is_hook(path) or formats.default().platform_of(path) is not None
