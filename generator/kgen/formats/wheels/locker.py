"""Locks wheels: solved, closed and hashed by uv, judged, and rendered with the hooks that go with them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kgen import __version__, host, lockfiles, templates, uvsettings, uvtool
from kgen.emitters.hooks import render_hooks
from kgen.formats.outcome import Finish, LockJob, Part, Reporter, by_environment, unreported
from kgen.formats.wheels import pylock, uv
from kgen.formats.wheels.session import IN_FLIGHT, Session, WheelOutcome
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import selection
from kgen.model.request import EnvironmentRequest
from kgen.served.file import PATIENCE
from kgen.settings import Settings

if TYPE_CHECKING:
    from kgen.index import Index
    from kgen.wheels import WheelReader


def require(_settings: Settings) -> None:
    """Nothing is to be seen to: whatever the settings ask for can be wheels, and uv is looked for when it is called."""


def held(_job: LockJob, _request: EnvironmentRequest) -> Collection[str]:
    """Nothing besides: what old pylocks hold is part of what is asked, see :mod:`kgen.actions.keep`."""
    return ()


@contextlib.contextmanager
def begin(job: LockJob) -> Iterator[Finish]:
    """Lock while other forms are at work; see :class:`kgen.formats.interface.Locker`."""

    def finish(_default: object) -> Part:
        outcomes = resolve(
            job.matrix,
            job.settings.root,
            job.requests,
            torch_index=job.settings.torch_index,
            report=job.report,
            # other forms are being locked for the Python of the requests
            movable=job.alone,
        )
        files = {} if job.every is None else dict(_rendered(job, outcomes))
        return Part(outcomes, files)

    yield finish


def _rendered(job: LockJob, outcomes: Sequence[WheelOutcome]) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """The files of each environment that was locked on all its platforms: its hooks, and a lock for each of them."""
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
    root: Path,
    requests: Sequence[EnvironmentRequest],
    *,
    torch_index: str | None,
    report: Reporter = unreported,
    movable: bool = False,
) -> list[WheelOutcome]:
    """Lock these requests of the project in this folder; nothing is written.

    Args:
        matrix: the facts.
        root: the project's folder.
        requests: what is asked.
        torch_index: what the settings say about PyTorch's own index.
        report: called with each request and the stage that it has come to, from whatever thread.
        movable: whether a Python that is open may be another than the requests say, where that gives what is asked
            for by name in its newest version.

    Raises:
        OutsideError: uv is missing.
    """
    cancel = threading.Event()

    def open_reader() -> WheelReader:
        # called while uv is at work: what is slow to import or to prepare is seen to now
        from kgen import wheels  # noqa: PLC0415

        templates.prepare("hooks/", "pylock")
        return wheels.WheelReader(
            cache=host.cache("wheels"),
            cancel=cancel,
            certificates=host.variable("SSL_CERT_FILE"),
            indexes=uvsettings.configured(root),
            patience=min(PATIENCE, host.seconds(PATIENCE)),
        )

    def open_index(reader: WheelReader) -> Index:
        from kgen.index import Index  # noqa: PLC0415 - who asks for nothing by name needs none

        pages = host.cache("pages")
        return Index(uvtool.indexes(program, root), reader, cache=pages)

    program = uvtool.find()
    sources = {name: url for name, (_, url) in uvsettings.shape(root).sources.items()}
    own = uvtool.own_indexes(program, root, torch_index)
    locker = uv.Uv(program, root=root, cancel=cancel, own=own, sources=sources)
    chosen = host.variable("UV_CONCURRENT_DOWNLOADS") is not None
    placed = None
    if any(one.url is not None for request in requests for one in request.dependencies):
        from kgen.formats.wheels.direct import DirectSources  # noqa: PLC0415

        repositories = host.cache("git")
        placed = DirectSources(root, repositories, open_reader)

    def session(reporter: Reporter) -> Session:
        in_flight = None if chosen else IN_FLIGHT
        return Session(
            matrix,
            locker,
            open_reader,
            cancel=cancel,
            report=reporter,
            in_flight=in_flight,
            open_index=open_index,
            sources=placed,
        )

    first = session(report)
    outcomes = first.lock(requests)
    if first.better_python is None or not movable:
        return outcomes
    moved = _moved(outcomes, first.better_python)
    back = dict(zip(moved, requests, strict=True))
    again = session(lambda request, stage: report(back.get(request, request), stage)).lock(moved)
    return again if _is_better(outcomes, again) else outcomes


def _moved(outcomes: Sequence[WheelOutcome], python: str) -> list[EnvironmentRequest]:
    """The requests on another Python, as far as that is open; nothing of the old one's locks is held."""
    return [
        one.request._replace(python=python, held=()) if one.request.python_open else one.request for one in outcomes
    ]


def _is_better(before: Sequence[WheelOutcome], after: Sequence[WheelOutcome]) -> bool:
    """Whether another Python gives every environment the frameworks that it had; and what was chosen is told then."""
    for old, new in zip(before, after, strict=True):
        # what comes along on the other Python may be more than there was
        if new.lock is None or not _frameworks(old).items() <= _frameworks(new).items():
            return False
    for old, new in zip(before, after, strict=True):
        if new.request.python == old.request.python or new.lock is None:
            continue
        moved = f"{new.request.environment}: for Python {new.request.python} and not {old.request.python}"
        if old.lock is None:
            new.notes.append(f"{moved}, for which what is asked cannot be closed")
        else:
            was, now = old.lock.versions, new.lock.versions
            newer = [
                f"{wish.name} {now[wish.name]} and not {was[wish.name]}"
                for wish in new.request.dependencies
                if wish.name in was and wish.name in now and now[wish.name] > was[wish.name]
            ]
            if newer:
                new.notes.append(f"{moved}, which has {', '.join(newer)}")
    return True


def _frameworks(outcome: WheelOutcome) -> Mapping[str, str]:
    return {} if outcome.lock is None else outcome.lock.summary.frameworks
