"""What came of locking for conda before: where every channel has what it had then, the same comes of it again.

Locks are made of the request, the matrix, this kgen, rattler and its configuration, what an older lock holds, and of
what the channels have. All but the last is in the name of a note; the note has what tells one state of the channels
from another, as :meth:`Rattler.state` gives it after asking them, and the files that were made. Where that cannot be
told, and where anything but a lock came of a request, all is solved anew.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from kgen import __version__, host, lockfiles
from kgen.errors import KgenError, OutsideError
from kgen.formats.conda import FORMAT, RECORDS, condafiles
from kgen.formats.conda.rattlertool import CondaRecord, Rattler
from kgen.formats.conda.session import CondaLock, CondaOutcome, CondaSession
from kgen.formats.conda.standing import folder_states
from kgen.formats.notes import code_state, keep_few
from kgen.formats.outcome import LockJob, Part
from kgen.model.request import EnvironmentRequest
from kgen.project import LOCKS
from kgen.served.cache import keep, kept

_HEADER = "kgen-repeat-conda 1"


class Note:
    """The note of one job.

    Args:
        job: what is to be locked.
        rattler: a session in which no channel was asked yet.
        stays: gives the packages of an older lock that stay where they can.
    """

    def __init__(
        self, job: LockJob, rattler: Rattler, stays: Callable[[EnvironmentRequest], tuple[CondaRecord, ...]]
    ) -> None:
        self._job = job
        self._rattler = rattler
        settings = job.settings
        alike = (
            __version__,
            code_state(),
            job.matrix.revision,
            job.matrix.conda_names_revision,
            tuple(job.requests),
            (settings.channels, settings.conda, settings.conda_names),
            [json.dumps(stays(request), sort_keys=True) for request in job.requests],
            # of other platforms, what is there goes into the file
            None if job.every else [_others_there(job, request) for request in job.requests],
            rattler.described(),
        )
        self._folder = host.cache("repeat")
        self._place = self._folder / f"conda-{lockfiles.digest(repr(alike).encode('utf-8', 'surrogatepass'))}"
        self._before: Mapping[str, str] | None = None

    def repeated(self, session: CondaSession) -> tuple[list[CondaOutcome], Mapping[str, Mapping[str, bytes]]] | None:
        """What came of the same before, and its files, if every channel has what it had; None if that is not known.

        Args:
            session: knows what is asked, and solves nothing here.
        """
        started = time.monotonic()
        try:
            self._before = self._states()
        except OutsideError as error:
            session.give_up(error)
            return None
        try:
            packed = kept(self._place, _HEADER)
            noted = None if packed is None else json.loads(zlib.decompress(packed))
            if noted is None or self._before is None or noted["states"] != self._before:
                return None
            made = {name: {path: text.encode() for path, text in of.items()} for name, of in noted["files"].items()}
            records = {name: json.loads(of[RECORDS])["platforms"] for name, of in noted["files"].items()}
            seconds = time.monotonic() - started
            outcomes = [
                self._outcome(session, request, records[request.environment][request.platform], notes, seconds)
                for request, notes in zip(self._job.requests, noted["notes"], strict=True)
            ]
        except (KgenError, OSError, ValueError, KeyError, TypeError, zlib.error):  # none, or one of another grammar
            return None
        return outcomes, made

    def _outcome(
        self,
        session: CondaSession,
        request: EnvironmentRequest,
        row: Mapping[str, Any],
        notes: list[str],
        seconds: float,
    ) -> CondaOutcome:
        lock = CondaLock(
            target=session.target(request),
            records=tuple(row["packages"]),
            cuda=row.get("cuda"),
            cudnn=row.get("cudnn"),
        )
        outcome = CondaOutcome(request=request, form=FORMAT, lock=lock, notes=list(notes), seconds=seconds)
        outcome.remarks += self._rattler.remarks
        return outcome

    def keep(self, part: Part) -> None:
        """Note what came of the job, if the same may be taken again.

        Args:
            part: what came of it.
        """
        requests = self._job.requests
        locked = [one.request for one in part.outcomes if one.lock is not None] == list(requests)
        # what another program has fetched meanwhile, nobody here has solved on
        if not (locked and part.files and self._before is not None and self._before == self._states()):
            return
        noted = {
            "states": self._before,
            "notes": [one.notes for one in part.outcomes],
            "files": {name: {path: text.decode() for path, text in of.items()} for name, of in part.files.items()},
        }
        with contextlib.suppress(OSError, UnicodeDecodeError):  # who cannot keep it makes it again
            keep(self._place, _HEADER, zlib.compress(json.dumps(noted).encode(), 1))
            keep_few(self._folder)

    def _states(self) -> Mapping[str, str] | None:
        """Platform -> what tells one state of the channels from another; None where that cannot be told.

        Raises:
            OutsideError: a channel does not answer.
        """
        found = {}
        for platform in dict.fromkeys(request.platform for request in self._job.requests):
            folders = {one: list(folder_states(one, [platform])) for one in self._job.settings.channels}
            others = [one for one, described in folders.items() if not described]
            state = self._rattler.state(others, platform) if others else ""
            if state is None:
                return None
            found[platform] = lockfiles.digest(json.dumps([list(folders.items()), state]).encode())
        return found


def _others_there(job: LockJob, request: EnvironmentRequest) -> str:
    """What an older lock has for platforms that nobody asks for now, and that stay in it."""
    asked = {one.platform for one in job.requests if one.environment == request.environment}
    try:
        old = condafiles.read(job.settings.root / LOCKS / request.environment / RECORDS)
    except (OSError, KgenError):  # who writes it again does without
        return ""
    others = {platform: one for platform, one in old.platforms.items() if platform not in asked}
    return lockfiles.digest(condafiles.text(old._replace(platforms=others)).encode()) if others else ""
