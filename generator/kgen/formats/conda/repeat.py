"""Notes of earlier conda locks: while every channel is unchanged, kgen writes the same lock without solving.

A lock depends on the request, the matrix, this kgen, rattler and its configuration, an older lock, and the channels.
All but the channels are in the name of a note. The note holds the files that kgen wrote, and the state of the channels,
which :meth:`Rattler.state` gives after asking them. kgen solves anew if that state is not known, and if a request was
refused.

rattler takes longer to start than all of this. The note also says from which addresses rattler read; while the channels
confirm that these are unchanged, kgen does not start rattler at all: see :mod:`kgen.formats.conda.shards`.
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
        job: the job.
        open_rattler: returns a new session, which has not read a channel yet.
        stays: returns the packages of an older lock that kgen keeps where it can.
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
            # the file keeps what it has for other platforms
            None if job.every else [_others_there(job, request) for request in job.requests],
            rattlertool.described(),
        )
        self._folder = host.cache("repeat")
        self._place = self._folder / f"conda-{lockfiles.digest(repr(alike).encode('utf-8', 'surrogatepass'))}"
        self._before: Mapping[str, str] | None = None

    def repeated(self, session: CondaSession) -> tuple[list[CondaOutcome], Mapping[str, Mapping[str, bytes]]] | None:
        """The outcomes and files of the note, if every channel is unchanged; None if kgen has to solve.

        Args:
            session: the session; it solves nothing here.
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
        except (KgenError, ValueError, KeyError, TypeError):  # a note in another format
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
        """Whether every channel is known, without rattler, to be as it was when the note was made."""
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
        """Write a note of the job, if a later run may repeat it.

        Args:
            part: the result of the job.
        """
        requests = self._job.requests
        locked = [one.request for one in part.outcomes if one.lock is not None] == list(requests)
        # another program may have refreshed rattler's cache meanwhile; kgen has not solved with that
        if not (locked and part.files and self._before is not None and self._before == self._states()):
            return
        noted = {
            "states": self._before,
            "places": {one: self._places(one) for one in self._before},
            "notes": [one.notes for one in part.outcomes],
            "files": {name: {path: text.decode() for path, text in of.items()} for name, of in part.files.items()},
        }
        with contextlib.suppress(OSError, UnicodeDecodeError):  # without a note, the next run solves anew
            keep(self._place, _HEADER, zlib.compress(json.dumps(noted).encode(), 1))
            keep_few(self._folder)

    def _states(self) -> Mapping[str, str] | None:
        """The state of the channels for each platform; None if it is not known.

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
        """The channels that are not folders of this machine; kgen reads the state of folders without rattler."""
        return [one for one in self._job.settings.channels if not list(folder_states(one, [platform]))]

    def _places(self, platform: str) -> Sequence[shards.Place]:
        others = self._asked(platform)
        found = self._open().places(others, platform) if others else []
        # a note holds no credentials
        return found if all(grammar.without_credentials(place.url) == place.url for place in found) else []

    def _digest(self, platform: str, state: str) -> str:
        """A digest of the state of all channels.

        Args:
            platform: the platform, as a conda subdir.
            state: the state of the channels that are not folders.
        """
        folders = [(one, list(folder_states(one, [platform]))) for one in self._job.settings.channels]
        return lockfiles.digest(json.dumps([folders, state]).encode())


def _others_there(job: LockJob, request: EnvironmentRequest) -> str:
    """A digest of an older lock's other platforms, which the new lock keeps; empty if it has none."""
    asked = {one.platform for one in job.requests if one.environment == request.environment}
    try:
        old = condafiles.read(job.settings.root / LOCKS / request.environment / RECORDS)
    except (OSError, KgenError):  # writing the lock anew loses them as well
        return ""
    others = {platform: one for platform, one in old.platforms.items() if platform not in asked}
    return lockfiles.digest(condafiles.text(old._replace(platforms=others)).encode()) if others else ""
