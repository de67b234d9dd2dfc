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
from kgen.settings import Settings

if TYPE_CHECKING:
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
            job.matrix, job.settings.root, job.requests, torch_index=job.settings.torch_index, report=job.report
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
) -> list[WheelOutcome]:
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
            indexes=uvsettings.configured(root),
            patience=min(wheels.PATIENCE, host.seconds(wheels.PATIENCE)),
        )

    program = uvtool.find()
    sources = {name: url for name, (_, url) in uvsettings.shape(root).sources.items()}
    own = uvtool.own_indexes(program, root, torch_index)
    locker = uv.Uv(program, root=root, cancel=cancel, own=own, sources=sources)
    chosen = host.variable("UV_CONCURRENT_DOWNLOADS") is not None
    session = Session(
        matrix, locker, open_reader, cancel=cancel, report=report, in_flight=None if chosen else IN_FLIGHT
    )
    return session.lock(requests)
