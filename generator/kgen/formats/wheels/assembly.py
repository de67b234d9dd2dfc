"""Makes locks of wheels: solved, resolved and hashed by uv, verified, and rendered with their hooks."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from packaging.version import Version

from kgen import __version__, host, lockfiles, uvtool
from kgen.emitters.hooks import render_hooks
from kgen.fields import lock_command
from kgen.formats.outcome import LockJob, Part, Reporter, by_environment, unreported
from kgen.formats.wheels import pylock, refusal, uv
from kgen.formats.wheels.closer import Closer
from kgen.formats.wheels.lock import Lock
from kgen.formats.wheels.outside import Outside
from kgen.formats.wheels.questions import IN_FLIGHT
from kgen.formats.wheels.session import Session, WheelOutcome
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import selection
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution
from kgen.solver.resolve import solve


def make(job: LockJob, outside: Outside) -> Part:
    """Lock every request of a job; writes nothing.

    Args:
        job: the job.
        outside: the connections to uv and the index.

    Raises:
        OutsideError: the URLs of the frameworks' own indexes cannot be determined.
    """
    outcomes = resolve(
        job.matrix,
        outside,
        job.requests,
        torch_index=job.settings.torch_index,
        report=job.report,
        form=job.form,
        # other forms are being locked for the Python of the requests
        movable=job.alone,
    )
    return Part(outcomes, {} if job.every is None else dict(_rendered(job, outcomes)))


def _rendered(job: LockJob, outcomes: Sequence[WheelOutcome]) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """The files of each environment that was locked on all its platforms: its hooks, and a lock for each platform."""
    for environment, members in by_environment(outcomes):
        request = members[0].request
        selected = selection(job.matrix, request.backends, request.accelerator.name, isolated=request.isolated)
        hooks = render_hooks(environment, selected.variables)
        files = {path: text.encode() for path, text in hooks.items()}
        for outcome in members:
            platform = job.matrix.platforms[outcome.request.platform]
            assert outcome.lock is not None  # noqa: S101 - it was locked on all of them
            text = pylock.render(
                outcome.lock,
                platform=platform,
                variables=selected.variables,
                hooks=hooks,
                **selected.own,
                revision=job.matrix.revision,
                version=__version__,
                portable=job.settings.portable,
            )
            files[lockfiles.filename(platform.name)] = text.encode()
        yield environment, files


def resolve(
    matrix: CompatibilityMatrix,
    outside: Outside,
    requests: Sequence[EnvironmentRequest],
    *,
    torch_index: str | None,
    report: Reporter = unreported,
    form: Mapping[str, object] = MappingProxyType({}),
    movable: bool = False,
) -> list[WheelOutcome]:
    """Lock these requests of a project; writes nothing.

    Args:
        matrix: the facts.
        outside: the connections to uv and the index, for the project.
        requests: the requests.
        torch_index: the setting for PyTorch's own index.
        report: called with each request and its stage, from any thread.
        form: field -> value, for what hints must repeat besides a request.
        movable: whether an open Python may be replaced by another one that gives the named packages in their newest
            version.

    Raises:
        OutsideError: the URLs of the frameworks' own indexes cannot be determined.
    """
    root = outside.root
    own = uvtool.own_indexes(outside.program, root, torch_index)
    resolver = uv.Uv(outside.asker, root=root, own=own)
    chosen = host.variable("UV_CONCURRENT_DOWNLOADS") is not None
    command = functools.partial(lock_command, **form)
    placed = None
    if any(one.url is not None for request in requests for one in request.dependencies):
        from kgen.formats.wheels.direct import DirectSources  # noqa: PLC0415

        placed = DirectSources(root, host.cache("git"), outside.open_reader, matrix, command)

    def session(reporter: Reporter) -> Session:
        closer = Closer(
            matrix,
            resolver,
            outside.open_reader,
            cancel=outside.cancel,
            report=reporter,
            in_flight=None if chosen else IN_FLIGHT,
            open_releases=outside.releases,
            sources=placed,
            command=command,
        )
        return Session(
            matrix,
            closer,
            outside.open_reader,
            cancel=outside.cancel,
            report=reporter,
            open_releases=outside.releases,
        )

    first = session(report)
    outcomes = first.lock(requests)
    if first.better_python is None or not movable:
        return outcomes
    moved = _moved(outcomes, first.better_python)
    back = dict(zip(moved, requests, strict=True))
    again = session(lambda request, stage: report(back.get(request, request), stage)).lock(moved)
    taken, tried = (again, outcomes) if _is_better(matrix, outcomes, again) else (outcomes, again)
    for outcome, other in zip(taken, tried, strict=True):
        outcome.seconds += other.seconds  # what was tried on the other Python took its time, too
    return taken


def _moved(outcomes: Sequence[WheelOutcome], python: str) -> list[EnvironmentRequest]:
    """The requests on another Python, as far as that is open, without versions held from the old locks."""
    return [
        one.request._replace(python=python, held=()) if one.request.python_open else one.request for one in outcomes
    ]


def _is_better(matrix: CompatibilityMatrix, before: Sequence[WheelOutcome], after: Sequence[WheelOutcome]) -> bool:
    """Whether another Python gives every environment the frameworks that it had; if so, notes say what it gains."""
    for old, new in zip(before, after, strict=True):
        # what comes along on the other Python may be more than there was
        if new.lock is None or not _frameworks(old).items() <= _frameworks(new).items():
            return False
    for old, new in zip(before, after, strict=True):
        if new.request.python == old.request.python or new.lock is None:
            continue
        moved = f"{new.request.environment}: for Python {new.request.python} in place of {old.request.python}"
        if old.lock is None:
            new.notes.append(f"{moved}, {_lacking(matrix, old, new.lock)}")
        else:
            was, now = old.lock.versions, new.lock.versions
            newer = [
                f"{wish.name} {now[wish.name]} in place of {was[wish.name]}"
                for wish in new.request.dependencies
                if wish.name in was and wish.name in now and now[wish.name] > was[wish.name]
            ]
            if newer:
                new.notes.append(f"{moved}: that gives {', '.join(newer)}")
    return True


def _lacking(matrix: CompatibilityMatrix, old: WheelOutcome, new: Lock) -> str:
    """Why nothing was locked for a Python, and which frameworks it would have had."""
    without = refusal.without_wheels(old.tree)
    if old.conflict is not None:
        reason = "for which the matrix has no versions that go together"
    elif without:
        fitting = "fitting releases" if without[1:] else "fitting release"
        reason = f"for which no {fitting} of {' and '.join(without)} {'have wheels' if without[1:] else 'has a wheel'}"
    else:
        reason = "for which uv finds no solution" + (f": {old.tree}" if old.tree else "")
    answer = solve(matrix, old.request)
    wished = answer.packages if isinstance(answer, Resolution) else {}
    older = [
        f"{name} is {has} in place of {wished[name]}"
        for name, has in new.summary.frameworks.items()
        if name in wished and Version(has) < wished[name]
    ]
    return f"{reason}; so {', '.join(older)}" if older else reason


def _frameworks(outcome: WheelOutcome) -> Mapping[str, str]:
    return {} if outcome.lock is None else outcome.lock.summary.frameworks
