"""Gives an answer again if it cannot have changed, before kgen imports what it took to find it.

While a run may turn out to change nothing, it notes each path that it looks at (:func:`looked`) with the state of that
path, and everything that it prints. If the run ends without doing anything else (:func:`settle`), the next call with
the same words in the same folder only checks that these paths and its surroundings are unchanged, and prints the same.
A run that also wrote one file, whose content is still available elsewhere (:func:`wrote`), is repeated by writing that
file again.

This module imports nothing slow: saving the time of imports is its purpose.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from kgen import __version__, caches, filecopy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

COMMANDS = frozenset({"bundle", "lock"})
"""The commands that report whether they did more than look and print."""

LARGEST = 1024 * 1024 * 1024
"""Size in bytes of the largest file that is written again: a larger one needs a progress report, which this has not."""

_GRANULE = 2_000_000_000
"""Nanoseconds: a file that changed less than this ago may change again without a new time stamp (as on FAT and NFS)."""

_KEPT = 30 * 86400
"""Seconds for which an answer is kept if nobody asks for it."""

_PASSING = ("_", "OLDPWD", "SHLVL")
"""Variables that differ from one command line to the next, and that nothing reads."""

_State = tuple[int, ...]

_File = tuple[str, "list[filecopy.Piece]", int]
"""A file that was written: its path, its pieces, and its size."""


class _Witness:
    """What a run has looked at, printed and written."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.seen: dict[str, _State] = {}
        self.said: list[tuple[int, str]] = []
        self.began = time.time_ns()
        self.is_settled = False
        self.file: _File | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether everything that the run did can be repeated from these notes."""
        return self.is_settled or self.file is not None


_witness: _Witness | None = None


def again(words: Sequence[str]) -> bool:
    """Repeat the answer to these words if nothing has changed; otherwise start to note what finding it takes.

    Args:
        words: the arguments of kgen.
    """
    global _witness  # noqa: PLW0603 - one run of a process is witnessed, from its first line on
    _witness = None
    if not COMMANDS.intersection(words[:1]) or sys.stdout is None or sys.stderr is None:
        return False
    try:
        folder = os.getcwd()  # noqa: PTH109 - pathlib is slow to import
        cache = caches.folder("replay")
        place = os.path.join(cache, _digest([folder, *words, *_surroundings()]))  # noqa: PTH118 - as above
    except (OSError, RuntimeError, ValueError):
        return False
    kept = _kept(place)
    if kept is not None and _put(kept) and _give(kept):
        return True
    _witness = _Witness(place)
    return False


def looked(path: str | os.PathLike[str]) -> None:
    """Note a path that the answer depends on: read, listed, or checked for existence."""
    if _witness is None:
        return
    name = os.path.abspath(path)  # noqa: PTH100 - as above; no link is followed
    state = _state(name)
    # it changed while kgen looked at it, so the answer may be about either state
    if _witness.seen.setdefault(name, state) != state:
        forget()


def told(stream: TextIO, text: str) -> None:
    """Note what was printed."""
    if _witness is not None:
        _witness.said.append((2 if stream is sys.stderr else 1, text))


def settle() -> None:
    """Declare that this run only looks and prints."""
    if _witness is not None:
        _witness.is_settled = True


def wrote(path: str | os.PathLike[str], pieces: Sequence[filecopy.Piece], size: int) -> None:
    """Declare that this run looks, prints, and writes one file that did not exist.

    Args:
        path: the file; it was noted when it did not exist.
        pieces: its content, from files whose content stays the same as long as their state does.
        size: its size in bytes.
    """
    if _witness is None:
        return
    name = os.path.abspath(path)  # noqa: PTH100 - as above
    if size > LARGEST or _witness.seen.get(name) != ():
        forget()
        return
    for _, content, _, _ in pieces:
        if isinstance(content, str):
            looked(content)
    if _witness is not None:  # a file of these may have changed
        _witness.file = (name, [*pieces], size)


def forget() -> None:
    """Declare that this run does more than that."""
    global _witness  # noqa: PLW0603 - as above
    _witness = None


def keep() -> None:
    """Keep the answer of a successful run if it can be repeated from the notes."""
    found = _witness
    forget()
    if found is None or not found.is_repeatable:
        return
    newest = max((moment for state in found.seen.values() for moment in state[:2]), default=0)
    if newest > found.began - _GRANULE:
        return  # a file that was just written may be written again unnoticed; the next run keeps its answer
    import base64  # noqa: PLC0415 - as json
    import contextlib  # noqa: PLC0415 - as json
    import json  # noqa: PLC0415 - only a run that keeps an answer pays for it

    def text_of(content: bytes) -> dict[str, str]:
        return {"bytes": base64.b64encode(content).decode("ascii")}

    data = json.dumps({"seen": found.seen, "said": found.said, "file": found.file}, default=text_of)
    with contextlib.suppress(OSError):  # without a kept answer the next run looks again
        caches.keep(found.place, data.encode("ascii"))  # a torn file is not JSON, and counts as no answer
        _sweep(os.path.dirname(found.place))  # noqa: PTH120 - as above


def _sweep(folder: str) -> None:
    oldest = time.time() - _KEPT
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.stat().st_mtime < oldest:
                os.unlink(entry.path)  # noqa: PTH108 - as above


def _surroundings() -> list[object]:
    """Everything but paths that may change an answer."""
    code = os.path.abspath(__file__)  # noqa: PTH100 - as above
    variables = sorted(one for one in os.environ.items() if one[0] not in _PASSING)  # noqa: TID251 - all of them
    streams = [(stream.isatty(), stream.encoding, _width(number)) for number, stream in _streams()]
    system = os.uname()
    return [
        __version__,
        code,
        _state(code),
        sys.version,
        [*system],
        os.geteuid(),
        time.gmtime()[:3],  # relative dates in uv's settings count from today
        streams,
        variables,
    ]


def _streams() -> tuple[tuple[int, TextIO], ...]:
    return ((1, sys.stdout), (2, sys.stderr))


def _width(number: int) -> int:
    try:
        return os.get_terminal_size(number).columns
    except OSError:
        return 0


def _digest(what: object) -> str:
    import hashlib  # noqa: PLC0415 - only these commands pay for it

    return hashlib.sha256(ascii(what).encode("ascii")).hexdigest()


def _state(path: str) -> _State:
    """The change times of a path and of what it leads to, and which files they are; () if it does not exist."""
    try:
        own = os.lstat(path)
    except (OSError, ValueError):
        return ()
    try:
        end = os.stat(path) if stat.S_ISLNK(own.st_mode) else own  # noqa: PTH116 - as above
    except OSError:
        return (own.st_mtime_ns, own.st_ctime_ns, own.st_ino)
    newest = max(own.st_mtime_ns, end.st_mtime_ns), max(own.st_ctime_ns, end.st_ctime_ns)
    return (*newest, own.st_ino, end.st_ino, end.st_dev, end.st_mode, end.st_size)


def _kept(place: str) -> dict[str, Any] | None:
    """The notes of an earlier run, if nothing has changed since; else None."""
    try:
        with open(place, encoding="ascii") as file:  # noqa: PTH123 - as above
            text = file.read()
        import json  # noqa: PLC0415 - only if there is an answer

        data: dict[str, Any] = json.loads(text)
        if _is_otherwise(data["seen"]):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return data


def _is_otherwise(seen: dict[str, list[int]]) -> bool:
    return any(list(_state(path)) != state for path, state in seen.items())


def _put(kept: dict[str, Any]) -> bool:
    """Write the file that the run wrote, if any; False on failure, so that a real run follows."""
    try:
        if kept["file"] is None:
            return True
        import binascii  # noqa: PLC0415 - only a run that writes pays for it

        path, pieces, size = kept["file"]
        content = [
            (place, what if isinstance(what, str) else binascii.a2b_base64(what["bytes"]), start, count)
            for place, what, start, count in pieces
        ]
        return filecopy.write_new(path, content, size, lambda: not _is_otherwise(kept["seen"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
        return False


def _give(kept: dict[str, Any]) -> bool:
    """Print the answer; False on failure, so that a real run follows and reports what is wrong."""
    streams = dict(_streams())
    try:
        for number, text in kept["said"]:
            streams[number].write(text)
            streams[number].flush()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
