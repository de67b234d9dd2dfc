"""The errors that a user can meet, and the exit status each of them means.

Lowest layer: imports nothing of kgen. An error says what is wrong with which object and where; its hints say what to
type next. Only :mod:`kgen.cli` renders them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType


class ExitStatus(enum.IntEnum):
    """What the exit status of `kgen` means."""

    DONE = 0
    CHECK_FAILED = 1
    USAGE = 2
    NO_SOLUTION = 3
    OUTSIDE = 4
    BUG = 5
    INTERRUPTED = 130


MEANINGS: Mapping[ExitStatus, str] = MappingProxyType(
    {
        ExitStatus.DONE: "done",
        ExitStatus.CHECK_FAILED: "a check said no",
        ExitStatus.USAGE: "wrong call or settings",
        ExitStatus.NO_SOLUTION: "no solution",
        ExitStatus.OUTSIDE: "something outside failed",
        ExitStatus.BUG: "a bug in kgen",
    }
)
"""Exit status -> what it means, as help and manual have it."""


CONFLICT_CODE = "K300"
"""The code of a request that has no solution, which is an answer and no exception."""

BUG_CODE = "K500"
"""The code of a fault that nobody has foreseen."""


class KgenError(Exception):
    """A fault that is not a bug in kgen.

    Attributes:
        message: what is wrong, with which object, where. No final full stop if it is one sentence.
        hints: the next things to type, most useful first.
        status: the exit status of the command that meets it.
        code: the name of its kind, which never changes: its page is `kgen help CODE`.
    """

    status: ExitStatus = ExitStatus.USAGE
    code = "K200"

    def __init__(self, message: str, *, hints: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hints = tuple(hints)


class UsageError(KgenError):
    """The call is wrong: an unknown name, contradicting flags, a value that does not parse."""


class SettingsError(KgenError):
    """The settings are wrong; the message names the file and the key's path."""

    code = "K201"


class MatrixError(KgenError):
    """The matrix is damaged. Holds every fault that was found, each with a dotted path.

    Attributes:
        faults: the faults, in reading order.
    """

    code = "K202"

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        listed = "\n".join(f"  {fault}" for fault in self.faults)
        super().__init__(
            f"the compatibility matrix has {count} fault{'s' if count != 1 else ''}:\n{listed}",
            hints=["reinstall kgen, or undo the last edit of the matrix file that is named"],
        )


class OutsideError(KgenError):
    """Something outside kgen failed: the network, uv, an interpreter, the disk."""

    code = "K400"

    status = ExitStatus.OUTSIDE


class TimedOut(OutsideError):  # noqa: N818 - it says when, not what
    """A program did not end in time, and was ended."""

    code = "K401"

    def __init__(self, message: str, *, hints: Iterable[str] = (), heard: Callable[[], tuple[str, str]]) -> None:
        super().__init__(message, hints=hints)
        self._heard = heard

    @property
    def stdout(self) -> str:
        """What it had written there until its end."""
        return self._heard()[0]

    @property
    def stderr(self) -> str:
        """The same of the other stream."""
        return self._heard()[1]


class Cancelled(OutsideError):  # noqa: N818 - it is no fault
    """Work was ended because the user asked for it."""

    code = "K402"

    status = ExitStatus.INTERRUPTED


class JudgementError(KgenError):
    """A lock that was made is not fit to be written; the message says which promise it breaks."""

    code = "K403"

    status = ExitStatus.OUTSIDE
