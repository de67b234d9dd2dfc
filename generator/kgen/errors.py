"""The errors that a user can meet, and their exit statuses.

The lowest layer: imports nothing of kgen. An error states what is wrong, with which object, and where; its hints are
commands to type next. Only :mod:`kgen.cli` prints them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple


class ExitStatus(enum.IntEnum):
    """The exit statuses of `kgen`."""

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
"""The code of a request without a solution, which is an answer and not an exception."""

BUG_CODE = "K500"
"""The code of an unexpected error, which is a bug."""


class CallChange(NamedTuple):
    """A change of the call that corrects an error.

    Attributes:
        hint: the hint that the changed call replaces, if the call can be changed in this way.
        typed: consecutive words of the call to remove; none to remove nothing.
        meant: the words to put in their place, or at the end.
    """

    hint: str
    typed: tuple[str, ...] = ()
    meant: tuple[str, ...] = ()


class KgenError(Exception):
    """An error that is not a bug in kgen.

    Attributes:
        message: what is wrong, with which object, where; without a final full stop if it is one sentence.
        hints: commands to type next, most useful first.
        status: the exit status of the command that raises it.
        code: its permanent code; `kgen help CODE` shows its page.
        readings: an unknown or ambiguous word of the call, and the words that it may stand for. The command line makes
            a hint of each: the whole call with that word. Without any, the word may belong to another tool. None if no
            word is at fault.
        changes: changes of the call, of each of which the command line makes a hint: the whole changed call.
    """

    status: ExitStatus = ExitStatus.USAGE
    code = "K200"

    readings: tuple[str, tuple[str, ...]] | None = None
    changes: tuple[CallChange, ...] = ()

    def __init__(self, message: str, *, hints: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hints = tuple(hints)


class Unlocked(NamedTuple):
    """A missing lock that a command needs.

    Attributes:
        environment: the name of the environment, as typed; None for each that is locked.
        platform: the platform that the lock should be for; None for that of the other locks.
        installer: the name of the form that the lock should have; None for that of the other locks.
    """

    environment: str | None = None
    platform: str | None = None
    installer: str | None = None


LOCK = "kgen lock"
"""A hint that stands for the commands that make the missing lock, with the flags of the existing locks."""


class UsageError(KgenError):
    """The call is wrong: an unknown name, contradicting flags, a value that does not parse.

    Attributes:
        unlocked: the missing lock, if that is the error; the command line replaces :data:`LOCK` in the hints by the
            commands that make it.
    """

    def __init__(self, message: str, *, hints: Iterable[str] = (), unlocked: Unlocked | None = None) -> None:
        super().__init__(message, hints=hints)
        self.unlocked = unlocked


class NotLockedError(UsageError):
    """No environment of this name is locked, or nothing is."""

    code = "K203"


class OtherPlatformError(UsageError):
    """The environment is locked, but not for this machine, this platform or this kind of installer."""

    code = "K204"


class UnknownNameError(UsageError):
    """Neither the matrix nor the settings have a backend, an environment or a package of this name."""

    code = "K205"


class ContradictionError(UsageError):
    """Two options, or an option and an argument, exclude each other."""

    code = "K206"


class MissingExtraError(UsageError):
    """The command needs an optional dependency of kgen that is not installed."""

    code = "K207"


class SettingsError(KgenError):
    """The settings are wrong; the message names the file and the key's path."""

    code = "K201"


class MatrixError(KgenError):
    """The matrix is damaged. Contains every fault that was found, each with a dotted path.

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
            hints=["reinstall kgen, or undo the last edit of the file that the message names"],
        )


class OutsideError(KgenError):
    """Something outside kgen failed. The subclasses differ in what the user has to do."""

    code = "K400"

    status = ExitStatus.OUTSIDE

    def prefix(self, words: str) -> None:
        """Put words before the message: what the error is about, which only a caller knows."""
        self.message = f"{words}{self.message}"
        self.args = (self.message, *self.args[1:])


class TimedOut(OutsideError):  # noqa: N818 - it says when, not what
    """A program did not end in time, and kgen ended it."""

    code = "K401"

    def __init__(
        self, message: str, *, hints: Iterable[str] = (), heard: Callable[[], tuple[str, str]] = lambda: ("", "")
    ) -> None:
        super().__init__(message, hints=hints)
        self._heard = heard

    @property
    def stdout(self) -> str:
        """Its output until then."""
        return self._heard()[0]

    @property
    def stderr(self) -> str:
        """Its error output until then."""
        return self._heard()[1]


class Cancelled(OutsideError):  # noqa: N818 - it is not a fault
    """The user ended the work."""

    code = "K402"

    status = ExitStatus.INTERRUPTED


class JudgementError(KgenError):
    """A lock that was made is not fit to be written; the message says which promise it breaks."""

    code = "K403"

    status = ExitStatus.OUTSIDE


class FileError(OutsideError):
    """The system refuses to read or write a file or a folder. `kgen.files` creates it from an `OSError`."""

    code = "K405"


class UnreachableError(OutsideError):
    """A server does not answer, or refuses: an index, a channel, a git remote, a cluster."""

    code = "K406"


WITH_A_NETWORK = "run the same without --offline, and without UV_OFFLINE, where there is a network"
"""A hint that stands for the whole call without them."""


class OfflineError(OutsideError):
    """`--offline` forbids fetching something that is not on this machine."""

    code = "K407"


class MissingProgramError(OutsideError):
    """A program or an interpreter is not on this machine, or cannot be executed."""

    code = "K408"


class FailedProgramError(OutsideError):
    """A program that kgen started failed: uv, git, conda-lock, ReFrame."""

    code = "K409"


class HashMismatchError(OutsideError):
    """A file does not match its hash in a lock, an index or a bundle."""

    code = "K410"


class UnavailableError(OutsideError):
    """No configured index or channel has what a lock needs."""

    code = "K411"


class MalformedAnswerError(OutsideError):
    """A server or a program gave an answer that kgen cannot use."""

    code = "K412"


class BusyError(OutsideError):
    """Another kgen is running in the same place."""

    code = "K413"


class ObstructedError(OutsideError):
    """Something that kgen did not make is in the place where it has to write; kgen does not replace it."""

    code = "K414"


class InstallationError(OutsideError):
    """Files of kgen's own installation are missing or damaged."""

    code = "K415"


class BuildError(OutsideError):
    """A package cannot be built from source."""

    code = "K416"


class NotSyncedError(OutsideError):
    """An environment on disk does not match its lock, and the command may not, or cannot, install it."""

    code = "K417"
