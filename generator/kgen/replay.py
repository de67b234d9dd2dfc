"""An answer of kgen's that would be the same again, given again: before anything is imported that it took to find it.

While a run may turn out to change nothing, it notes each path that it looks at (:func:`looked`), as it is or is not at
that moment, and what it prints. If it says at its end that it did nothing else (:func:`settle`), the next call of the
same words in the same folder needs only to see that none of these paths, and nothing of its surroundings, is otherwise.
A run that also wrote one file, of bytes that are still at hand (:func:`wrote`), is answered by writing that file again.

Imports nothing of kgen's that needs the standard library: who asks wants to be spared just that.
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
"""The commands that say whether they did anything but look and print."""

LARGEST = 1024 * 1024 * 1024
"""Bytes of the largest file that is written again: with more, to show how far it is matters more than what is saved."""

_GRANULE = 2_000_000_000
"""Nanoseconds: what changed a shorter time ago may change again without a later time on it (FAT and NFS count so)."""

_KEPT = 30 * 86400
"""Seconds for which an answer is kept that nobody asked for."""

_PASSING = ("_", "OLDPWD", "SHLVL")
"""Variables that differ from one line of a shell to the next, and that nothing reads."""

_State = tuple[int, ...]

_File = tuple[str, "list[filecopy.Piece]", int]
"""A file that was written: its path, what is in it, and its size."""


class _Witness:
    """What one run has looked at, and what it has said."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.seen: dict[str, _State] = {}
        self.said: list[tuple[int, str]] = []
        self.began = time.time_ns()
        self.is_settled = False
        self.file: _File | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether all that the run did can be done again from what is noted."""
        return self.is_settled or self.file is not None


_witness: _Witness | None = None


def again(words: Sequence[str]) -> bool:
    """Give the answer to these words again if nothing is otherwise than it was; else begin to witness what they take.

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
    """Note a path whose state decides what is answered: read, listed, or asked for."""
    if _witness is None:
        return
    name = os.path.abspath(path)  # noqa: PTH100 - as above; no link is followed
    state = _state(name)
    # changed while it was looked at: nobody knows which of the two the answer is of
    if _witness.seen.setdefault(name, state) != state:
        forget()


def told(stream: TextIO, text: str) -> None:
    """Note what was printed."""
    if _witness is not None:
        _witness.said.append((2 if stream is sys.stderr else 1, text))


def settle() -> None:
    """Say that this run looks and prints, and does nothing else."""
    if _witness is not None:
        _witness.is_settled = True


def wrote(path: str | os.PathLike[str], pieces: Sequence[filecopy.Piece], size: int) -> None:
    """Say that this run looks, prints, and writes one file that was not there before.

    Args:
        path: the file; it was noted when it was not there.
        pieces: what is in it, by files whose content is known, and stays what it is while they stay as they are.
        size: its bytes.
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
    """Say that this run does more than that."""
    global _witness  # noqa: PLW0603 - as above
    _witness = None


def keep() -> None:
    """Keep the answer of a run that went well, if it did nothing that cannot be done again from what is noted."""
    found = _witness
    forget()
    if found is None or not found.is_repeatable:
        return
    newest = max((moment for state in found.seen.values() for moment in state[:2]), default=0)
    if newest > found.began - _GRANULE:
        return  # what has just been written may be written again: the next run keeps its answer
    import base64  # noqa: PLC0415 - as json
    import contextlib  # noqa: PLC0415 - as json
    import json  # noqa: PLC0415 - only who keeps an answer pays for it

    def text_of(content: bytes) -> dict[str, str]:
        return {"bytes": base64.b64encode(content).decode("ascii")}

    data = json.dumps({"seen": found.seen, "said": found.said, "file": found.file}, default=text_of)
    with contextlib.suppress(OSError):  # who cannot keep it looks again next time
        caches.keep(found.place, data.encode("ascii"))  # what is torn is not JSON, and then there is no answer
        _sweep(os.path.dirname(found.place))  # noqa: PTH120 - as above


def _sweep(folder: str) -> None:
    oldest = time.time() - _KEPT
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.stat().st_mtime < oldest:
                os.unlink(entry.path)  # noqa: PTH108 - as above


def _surroundings() -> list[object]:
    """All that may change an answer and is not a path of this machine."""
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
        time.gmtime()[:3],  # durations of uv's settings are counted from today
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
    import hashlib  # noqa: PLC0415 - only those commands pay for it

    return hashlib.sha256(ascii(what).encode("ascii")).hexdigest()


def _state(path: str) -> _State:
    """When a path and what it leads to were changed, and which files they are; () for none."""
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
    """What a run did when all was as it is now; None if kgen knows of no such run."""
    try:
        with open(place, encoding="ascii") as file:  # noqa: PTH123 - as above
            text = file.read()
        import json  # noqa: PLC0415 - only where there is an answer

        data: dict[str, Any] = json.loads(text)
        if _is_otherwise(data["seen"]):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return data


def _is_otherwise(seen: dict[str, list[int]]) -> bool:
    return any(list(_state(path)) != state for path, state in seen.items())


def _put(kept: dict[str, Any]) -> bool:
    """Write the file that a run wrote, if it wrote one; False where that failed, so that the run itself writes it."""
    try:
        if kept["file"] is None:
            return True
        import binascii  # noqa: PLC0415 - only who writes

        path, pieces, size = kept["file"]
        content = [
            (place, what if isinstance(what, str) else binascii.a2b_base64(what["bytes"]), start, count)
            for place, what, start, count in pieces
        ]
        return filecopy.write_new(path, content, size, lambda: not _is_otherwise(kept["seen"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
        return False


def _give(kept: dict[str, Any]) -> bool:
    """Print an answer; False where that failed, so that the run itself says what is wrong."""
    streams = dict(_streams())
    try:
        for number, text in kept["said"]:
            streams[number].write(text)
            streams[number].flush()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
