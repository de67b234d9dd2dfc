"""What came of locking for conda before: where every channel has what it had then, the same comes of it again.

Locks are made of the request, the matrix, this kgen, rattler and its configuration, what an older lock holds, and of
what the channels have. All but the last is in the name of a note; the note has what tells one state of the channels
from another, as :meth:`Rattler.state` gives it after asking them, and the files that were made. Where that cannot be
told, and where anything but a lock came of a request, all is solved anew.

rattler takes longer to start than all of this. The note says where rattler found what it asked for, and where the
channels say that it is what they have, rattler is not started at all: see :mod:`kgen.formats.conda.shards`.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kgen import __version__, host, lockfiles
from kgen.errors import KgenError, OutsideError
from kgen.formats.conda import FORMAT, RECORDS, condafiles, condarc, rattlertool, shards
from kgen.formats.conda.rattlertool import CondaRecord, Rattler
from kgen.formats.conda.session import CondaLock, CondaOutcome, CondaSession
from kgen.formats.conda.uptodate import folder_states
from kgen.formats.notes import code_state, keep_few
from kgen.formats.outcome import LockJob, Part
from kgen.model import grammar
from kgen.model.request import EnvironmentRequest
from kgen.project import LOCKS
from kgen.served.cache import keep, kept

_HEADER = "kgen-repeat-conda 2"


class Note:
    """The note of one job.

    Args:
        job: what is to be locked.
        open_rattler: gives a session in which no channel was asked yet.
        stays: gives the packages of an older lock that stay where they can.
    """

    def __init__(
        self,
        job: LockJob,
        open_rattler: Callable[[], Rattler],
        stays: Callable[[EnvironmentRequest], tuple[CondaRecord, ...]],
    ) -> None:
        self._job = job
        self._open = open_rattler
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
            rattlertool.described(),
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
        noted = self._noted()
        try:
            if noted is None or not self._stands(noted):
                self._before = self._states()
                if noted is None or self._before is None or noted["states"] != self._before:
                    return None
        except OutsideError as error:
            session.give_up(error)
            return None
        try:
            made = {name: {path: text.encode() for path, text in of.items()} for name, of in noted["files"].items()}
            records = {name: json.loads(of[RECORDS])["platforms"] for name, of in noted["files"].items()}
            seconds = time.monotonic() - started
            outcomes = [
                self._outcome(session, request, records[request.environment][request.platform], notes, seconds)
                for request, notes in zip(self._job.requests, noted["notes"], strict=True)
            ]
        except (KgenError, ValueError, KeyError, TypeError):  # one of another grammar
            return None
        return outcomes, made

    def _noted(self) -> Mapping[str, Any] | None:
        try:
            packed = kept(self._place, _HEADER)
            found: Mapping[str, Any] | None = None if packed is None else json.loads(zlib.decompress(packed))
        except (OSError, ValueError, zlib.error):
            return None
        return found

    def _stands(self, noted: Mapping[str, Any]) -> bool:
        """Whether every channel has what it had when the note was made, as far as that can be told without rattler."""
        cache = shards.usual_cache()
        for platform in self._platforms():
            places = [shards.Place(*place) for place in noted["places"][platform]]
            state = shards.unchanged(cache, places) if places else ""
            if state is None or self._digest(platform, state) != noted["states"][platform]:
                return False
        return True

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
        outcome.remarks += (*condarc.read().remarks, *condarc.overridden())
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
            "places": {one: self._places(one) for one in self._before},
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
        for platform in self._platforms():
            others = self._asked(platform)
            state = self._open().state(others, platform) if others else ""
            if state is None:
                return None
            found[platform] = self._digest(platform, state)
        return found

    def _platforms(self) -> Iterable[str]:
        return dict.fromkeys(request.platform for request in self._job.requests)

    def _asked(self, platform: str) -> list[str]:
        """The channels that are not in folders of this machine, which are looked at without rattler."""
        return [one for one in self._job.settings.channels if not list(folder_states(one, [platform]))]

    def _places(self, platform: str) -> Sequence[shards.Place]:
        others = self._asked(platform)
        found = self._open().places(others, platform) if others else []
        # what logs in is in no note
        return found if all(grammar.without_credentials(place.url) == place.url for place in found) else []

    def _digest(self, platform: str, state: str) -> str:
        """What tells one state of all channels from another.

        Args:
            platform: the platform, as a conda subdir.
            state: that of the channels that have to be asked.
        """
        folders = [(one, list(folder_states(one, [platform]))) for one in self._job.settings.channels]
        return lockfiles.digest(json.dumps([folders, state]).encode())


def _others_there(job: LockJob, request: EnvironmentRequest) -> str:
    """What an older lock has for platforms that nobody asks for now, and that stay in it."""
    asked = {one.platform for one in job.requests if one.environment == request.environment}
    try:
        old = condafiles.read(job.settings.root / LOCKS / request.environment / RECORDS)
    except (OSError, KgenError):  # who writes it again does without
        return ""
    others = {platform: one for platform, one in old.platforms.items() if platform not in asked}
    return lockfiles.digest(condafiles.text(old._replace(platforms=others)).encode()) if others else ""
