"""What came of a locking before: where uv answers everything as it did then, the same comes of it again.

Locks are made of the request, the matrix, this kgen, the configuration of uv, and of what uv and the index answer. All
but the answers is in the name of a note; the note has what was asked, with digests of the answers, and the files that
were made. So locking again asks the same at once, and where nothing has changed outside, there is nothing to
solve, to read, to judge or to render. Lists of the files in wheels are known by the wheel's hash, and never change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kgen import __version__, host, lockfiles, uvsettings
from kgen.errors import KgenError
from kgen.formats.notes import code_state, keep_few
from kgen.formats.outcome import LockJob, Outcome, Part
from kgen.formats.uptodate import CurrentLock
from kgen.formats.wheels import FORMAT
from kgen.formats.wheels.questions import Answer, Asker, Question, results
from kgen.project import LOCKS
from kgen.served.cache import keep, kept

if TYPE_CHECKING:
    from kgen.formats.wheels.age import Releases

_HEADER = "kgen-repeat 1"


class _Noted(NamedTuple):
    """What a note holds.

    Attributes:
        asked: the questions to uv, each with the digest of its answer.
        pages: project -> what tells whether its page in the index is another than before.
        notes: what the user was told of each request.
        files: environment -> the files of its locks, by name.
    """

    asked: Sequence[tuple[Question, str]]
    pages: Mapping[str, str]
    notes: Sequence[Sequence[str]]
    files: Mapping[str, Mapping[str, str]]


class Note:
    """The note of one job.

    Args:
        job: what is to be locked.
        program: the path of uv.
    """

    def __init__(self, job: LockJob, program: str) -> None:
        self._job = job
        # a newer uv may know more of the index, or answer otherwise
        stat = Path(program).stat()
        alike = (
            __version__,
            code_state(),
            job.matrix.revision,
            tuple(job.requests),
            (job.settings.torch_index, job.settings.portable, job.alone, job.every is None),
            sorted(job.form.items()),
            (program, stat.st_size, stat.st_mtime_ns),
            uvsettings.fingerprint(job.settings.root),
        )
        self._folder = host.cache("repeat")
        self._place = self._folder / lockfiles.digest(repr(alike).encode("utf-8", "surrogatepass"))

    def repeated(
        self,
        asker: Asker,
        ask_pages: Callable[[Sequence[str]], Mapping[str, str]],
        *,
        closers: int,
        cancel: threading.Event,
    ) -> Part | None:
        """What came of the same before, if every answer is as it was; None if not, or if nothing is known.

        Args:
            asker: receives the questions of then, so that later steps find the answers.
            ask_pages: gives what tells whether the pages of projects have changed, in no time if there are none.
            closers: how many questions are asked at a time.
            cancel: set it to end what is under way.
        """
        noted = self._noted()
        if noted is None:
            return None
        started = time.monotonic()
        for request in self._job.requests:
            self._job.report(request, "resolving")
        with ThreadPoolExecutor(closers + 1) as pool:
            listed = pool.submit(ask_pages, list(noted.pages)) if noted.pages else None
            answers = [pool.submit(asker.ask, question) for question, _ in noted.asked]
            try:
                found = results(answers, cancel)
                same = listed is None or results([listed], cancel) == [noted.pages]
            except KgenError:  # the next step meets it again, and reports it
                return None
        if not same or any(_digest(one) != digest for one, (_, digest) in zip(found, noted.asked, strict=True)):
            return None
        try:
            return self._part(noted, time.monotonic() - started)
        except (KgenError, KeyError):  # a note of another grammar
            return None

    def _noted(self) -> _Noted | None:
        """What was noted; None if nothing, or what no longer makes sense."""
        try:
            packed = kept(self._place, _HEADER)
            if packed is None:
                return None
            data = json.loads(zlib.decompress(packed))
            asked = [(Question(*_tuples(row)), digest) for row, digest in data["answers"]]
            noted = _Noted(asked, data["pages"], data["notes"], data["files"])
        except (OSError, ValueError, KeyError, TypeError, zlib.error):
            return None
        return noted if all(question.lasts for question, _ in asked) else None

    def _part(self, noted: _Noted, seconds: float) -> Part:
        outcomes = []
        for request, notes in zip(self._job.requests, noted.notes, strict=True):
            name = lockfiles.filename(request.platform)
            content = noted.files[request.environment][name].encode()
            lock, data = lockfiles.parse(Path(LOCKS) / request.environment / name, content)
            standing = CurrentLock.of(self._job.matrix, lock, data)
            outcomes.append(Outcome(request=request, form=FORMAT, lock=standing, notes=list(notes), seconds=seconds))
        made = {
            environment: {path: text.encode() for path, text in files.items()}
            for environment, files in noted.files.items()
        }
        return Part(outcomes, {} if self._job.every is None else made)

    def keep(self, part: Part, asker: Asker, releases: Sequence[Releases]) -> None:
        """Note what came of the job, if the same may be taken again.

        Args:
            part: what came of it.
            asker: has every question to uv, with its answer.
            releases: what has looked at pages of the index.
        """
        requests = self._job.requests
        locked = [one.request for one in part.outcomes if one.lock is not None] == list(requests)
        # what is at a place is looked at each time, and what stands for a source distribution was made for this run
        placed = any(wish.url is not None for request in requests for wish in request.dependencies)
        alike = not placed and not asker.failures and all(question.lasts for question in asker.answers)
        # a remark is about one run: that files could not be compared, which another run may do
        whole = all(one.complete for one in releases) and not any(one.remarks for one in part.outcomes)
        if not (part.files and locked and alike and whole):
            return
        noted = {
            "answers": [[question, _digest(answer)] for question, answer in asker.answers.items()],
            "pages": {name: digest for one in releases for name, digest in one.pages.items()},
            "notes": [one.notes for one in part.outcomes],
            "files": {
                name: {path: content.decode() for path, content in files.items()} for name, files in part.files.items()
            },
        }
        with contextlib.suppress(OSError, UnicodeDecodeError):  # who cannot keep it makes it again
            keep(self._place, _HEADER, zlib.compress(json.dumps(noted).encode(), 1))
            keep_few(self._folder)


def _tuples(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _digest(answer: Answer) -> str:
    return hashlib.sha256("\0".join(answer).encode("utf-8", "surrogatepass")).hexdigest()
