"""Locks wheels. Where uv answers as it did before, what came of that is taken again, and nothing is solved."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

from kgen.formats.outcome import Finish, LockJob, Part
from kgen.formats.wheels.outside import Outside
from kgen.formats.wheels.questions import CLOSERS
from kgen.formats.wheels.repeat import Note
from kgen.model.request import EnvironmentRequest
from kgen.settings import Settings


def require(_settings: Settings) -> None:
    """Nothing is to be seen to: whatever the settings ask for can be wheels, and uv is looked for when it is called."""


def takes_wheels(_settings: Settings) -> bool:
    """No: they are the wheels."""
    return False


def held(_job: LockJob, _request: EnvironmentRequest) -> Collection[str]:
    """Nothing besides: what old pylocks hold is part of what is asked, see :mod:`kgen.actions.keep`."""
    return ()


@contextlib.contextmanager
def begin(job: LockJob) -> Iterator[Finish]:
    """Lock while other forms are at work; see :class:`kgen.formats.interface.Locker`."""

    def finish(_default: object) -> Part:
        outside = Outside(job.settings.root)
        note = Note(job, outside.program) if job.repeatable else None
        if note is not None:
            again = note.repeated(outside.asker, outside.pages, closers=CLOSERS, cancel=outside.cancel)
            if again is not None:
                return again
        from kgen.formats.wheels.assembly import make  # noqa: PLC0415 - slow to import

        made = make(job, outside)
        if note is not None:
            note.keep(made, outside.asker, outside.asked)
        return made

    yield finish
