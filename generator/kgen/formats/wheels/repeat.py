"""Repeats an earlier locking: if uv gives the same answers as then, the result is the same.

Locks depend on the request, the matrix, this kgen, uv's configuration, and the answers of uv and the index. Everything
but the answers is in the name of a note. The note contains the questions, with digests of the answers, and the
resulting files. Locking again asks the same questions at once; if nothing has changed outside, there is nothing to
solve, read, verify or render. File lists of wheels are known by the wheel's hash, and never change.
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
    """The content of a note.

    Attributes:
        asked: the questions to uv, each with the digest of its answer.
        pages: project -> a digest of its page on the index.
        notes: the notes about each request.
        files: environment -> the files of its locks, by name.
    """

    asked: Sequence[tuple[Question, str]]
    pages: Mapping[str, str]
    notes: Sequence[Sequence[str]]
    files: Mapping[str, Mapping[str, str]]


class Note:
    """The note of one job.

    Args:
        job: the job.
        program: the path of uv.
    """

    def __init__(self, job: LockJob, program: str) -> None:
        self._job = job
        # a newer uv may read more of the index, or answer differently
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
        """The earlier result, if every answer is unchanged; None if not, or if there is no note.

        Args:
            asker: receives the earlier questions, so that later steps find their answers.
            ask_pages: returns whether the pages of projects have changed; costs nothing without projects.
            closers: the number of concurrent questions.
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
            except KgenError:  # the next step encounters and reports it
                return None
        if not same or any(_digest(one) != digest for one, (_, digest) in zip(found, noted.asked, strict=True)):
            return None
        try:
            return self._part(noted, time.monotonic() - started)
        except (KgenError, KeyError):  # a note in another form
            return None

    def _noted(self) -> _Noted | None:
        """The content of the note; None if there is none, or if it is invalid."""
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
        """Write a note of the job's result, if it can be repeated.

        Args:
            part: the result.
            asker: has every question to uv, with its answer.
            releases: has queried pages of the index.
        """
        requests = self._job.requests
        locked = [one.request for one in part.outcomes if one.lock is not None] == list(requests)
        # direct references are examined each time, and replacements of source distributions belong to this run
        placed = any(wish.url is not None for request in requests for wish in request.dependencies)
        alike = not placed and not asker.failures and all(question.lasts for question in asker.answers)
        # a remark is about one run, such as that files could not be compared; another run may succeed
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
        with contextlib.suppress(OSError, UnicodeDecodeError):  # without a note, the next run locks again
            keep(self._place, _HEADER, zlib.compress(json.dumps(noted).encode(), 1))
            keep_few(self._folder)


def _tuples(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _digest(answer: Answer) -> str:
    return hashlib.sha256("\0".join(answer).encode("utf-8", "surrogatepass")).hexdigest()
