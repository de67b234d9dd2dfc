"""The interface of a form of locks: the modules that its package may have, and what each of them provides.

:mod:`kgen.model.format` finds the packages. Their modules are loaded on demand, so that a command in an environment of
wheels does not load anything for conda. Each module is named like its protocol here. Every form has `locker.py`,
`reader.py` and `installer.py`. A form whose locks are beside those of the default one has `checker.py`
(:mod:`kgen.freshness` compares the default ones with the settings). Optional are `exporter.py`, `importer.py`,
`merger.py`, `uptodate.py`, and `fetcher.py` for packages that no Python index has.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from kgen import lockfiles
from kgen.errors import LOCK, OtherPlatformError, Unlocked, UsageError
from kgen.model.format import Format
from kgen.model.lockfile import LockedFile, Lockfile

if TYPE_CHECKING:  # slow to import, and not needed by commands that neither lock nor install
    from kgen.formats.environment import Source
    from kgen.formats.outcome import Finish, LockJob
    from kgen.formats.verify import Difference
    from kgen.matrix.compatibility import CompatibilityMatrix
    from kgen.model.request import EnvironmentRequest
    from kgen.settings import Settings


class Locker(Protocol):
    """`locker.py`: resolves, verifies and renders locks."""

    def require(self, settings: Settings) -> None:
        """Check that locks of this form can be made on this machine, with these settings.

        Raises:
            UsageError: they cannot; with the command that changes that.
        """

    def takes_wheels(self, settings: Settings) -> bool:
        """Whether locks of this form contain locked wheels, which then have to be locked first."""

    def held(self, job: LockJob, request: EnvironmentRequest) -> Collection[str]:
        """The names of the packages that an old lock holds, and that can be upgraded by these names.

        Raises:
            SettingsError: the lock has merge conflicts, and may not have any.
        """

    def begin(self, job: LockJob) -> AbstractContextManager[Finish]:
        """Begin to lock. An outcome contains the error of its request.

        Raises:
            KgenError: locking cannot begin at all.
        """


class Reader(Protocol):
    """`reader.py`: reads locks."""

    def parse(self, path: Path, content: bytes) -> Sequence[Lockfile]:
        """The locks in a file, one for each platform.

        Args:
            path: the path of the file, which says for which environment and platform it should be.
            content: the content of the file.

        Raises:
            SettingsError: the file does not have the form that kgen writes; with every fault.
        """

    def as_matrix(self, lock: Lockfile, matrix: CompatibilityMatrix) -> Lockfile:
        """The lock in the solver's terms: frameworks by the names of their projects, and the oldest driver."""


class Beside(NamedTuple):
    """What an environment contains besides its packages.

    Attributes:
        files: path in the environment -> text.
        links: path in the environment -> the folder outside that it links to, which is created if it is missing.
        own: a wheel of the project itself that was built before. An installer may install it with the packages and
            write the record of that (:data:`kgen.editable.RECORD`); otherwise it is installed separately.
    """

    files: Callable[[], Mapping[str, str]]
    links: Mapping[str, Path]
    own: Path | None = None


class Installation(NamedTuple):
    """An environment that is ready to be made: everything that it needs was found and checked.

    Attributes:
        make: makes the environment and moves it to its place, and is called with a function that reports each stage.
            The previous environment stays until the new one is complete, or if that fails. Call it under
            :func:`kgen.storage.exclusive`.
        notes: what the user should know.
    """

    make: Callable[[Callable[[str], None]], None]
    notes: Sequence[str] = ()


class Installer(Protocol):
    """`installer.py`: makes environments on disk, and compares them with their locks."""

    def prepare(self, of: Source, beside: Callable[[Lockfile], Beside], *, thorough: bool) -> Installation:
        """Read the lock and find what installs it, without touching anything.

        Args:
            of: the lock, and where the environment is.
            beside: returns what the environment contains besides its packages, given the lock.
            thorough: whether to compare every file with its hash afterwards.

        Raises:
            KgenError: the lock is damaged or not for this machine, or what installs it is missing.
        """

    def differences(self, of: Source) -> tuple[Difference, ...]:
        """Every difference between an environment and its lock, sorted by path.

        Raises:
            KgenError: the lock is damaged, or not for this machine.
        """

    def lost(self, prefix: Path) -> Sequence[str]:
        """What a user has configured in an environment with the form's own tools, and what remaking it would lose."""


class Fetcher(Protocol):
    """`fetcher.py`: fetches packages that no Python index has, for a bundle."""

    def opened(self) -> Callable[[LockedFile, Path], None]:
        """A function that fetches a package into a file from the place in its lock; safe to use from many threads.

        The function raises :class:`kgen.errors.OutsideError` on failure. The caller compares the digest.

        Raises:
            KgenError: the program that fetches packages is missing, or misconfigured.
        """


class Flaw(NamedTuple):
    """Something that is wrong with a lock.

    Attributes:
        kind: `fault` if the lock cannot be relied on, `note` if it is only worth knowing.
        path: the file.
        what: what is wrong with it.
    """

    kind: Literal["fault", "note"]
    path: Path
    what: str


class Asked(NamedTuple):
    """The requests that the locks of an environment are compared with.

    Attributes:
        settings: the settings.
        requests: platform -> the request from the settings, or without settings the one that its lock was made for.
            Only platforms that are locked in the default form.
    """

    settings: Settings
    requests: Mapping[str, EnvironmentRequest]


class Checker(Protocol):
    """`checker.py`: compares locks with the matrix and with themselves; offline."""

    def flaws(
        self, folder: Path, locks: Sequence[Lockfile], matrix: CompatibilityMatrix, asked: Asked
    ) -> Iterable[Flaw]:
        """The flaws of the locks in the folder of an environment.

        Args:
            folder: the folder.
            locks: the locks of the default form in it that could be read.
            matrix: the facts.
            asked: the requests that they should satisfy.
        """


class Judge(Protocol):
    """In `checker.py`, for a form that another tool reads: that tool's own verdict."""

    def judged(self, folder: Path) -> Iterable[Flaw]:
        """The flaws that the tool finds in the locks in the folder of an environment.

        Raises:
            UsageError: the tool is not installed.
            OutsideError: the tool failed.
        """


class UpToDate(Protocol):
    """`uptodate.py`: whether locking again would change nothing, for the forms that can tell without locking."""

    def surroundings(self, matrix: CompatibilityMatrix, settings: Settings, platforms: Collection[str]) -> str:
        """A digest of what affects locks besides their requests, the matrix and kgen itself.

        Args:
            matrix: the facts; facts beyond those in its revision may count.
            settings: the settings, overridden by flags.
            platforms: the platforms to lock for.
        """

    def made_for(
        self,
        folder: Path,
        request: EnvironmentRequest,
        matrix: CompatibilityMatrix,
        settings: Settings,
        *,
        every: bool,
    ) -> Lockfile | None:
        """The lock of a request in the folder of its environment, if this kgen would make the same with this matrix.

        Args:
            folder: the folder.
            request: the request.
            matrix: the facts.
            settings: the settings, overridden by flags.
            every: whether the file may contain nothing for platforms outside the settings.

        Returns:
            The lock; None if it was made for something else, or differently.

        Raises:
            KgenError: there is no readable lock.
            ValueError: likewise.
        """


class Exporter(Protocol):
    """`exporter.py`: writes locks in the formats of other tools, each for one environment on one platform."""

    EXPORTS: Mapping[str, Callable[[Path, str], str]]
    """Name on the command line -> a function that writes the text, given the file of a lock and a platform."""


Import = Callable[[str, str, "CompatibilityMatrix"], Iterable[tuple[str, str]]]
"""A function of text, platform and matrix that returns projects with their versions. For text in another form it
raises what reading it by keys raises."""


class Importer(Protocol):
    """`importer.py`: reads locks of other tools that contain packages of this form."""

    IMPORTS: Mapping[str, Import]
    """Pattern of a file name, in which `*` stands for anything -> the function that reads it."""
    SIGNS: Mapping[str, re.Pattern[str]]
    """Some of these patterns -> a pattern that recognises the text of such a lock in a file of any name."""


class Merger(Protocol):
    """`merger.py`: merges the two sides of a lock."""

    def merged(self, ours: bytes, theirs: bytes, name: Path) -> str:
        """The text of a lock's file after a merge: what the request of both sides gives now.

        Args:
            ours: the content of the file on our side.
            theirs: the content of the file on their side.
            name: the path of the file, relative to the project's folder.

        Raises:
            ValueError: the sides are not locks, or were made for different requests.
            KgenError: there is no such lock.
        """


def locker(of: Format) -> Locker:
    """The locker of a form."""
    found: Locker = _module(of, "locker")
    return found


def reader(of: Format) -> Reader:
    """The reader of a form."""
    found: Reader = _module(of, "reader")
    return found


def installer(of: Format) -> Installer:
    """The installer of a form."""
    found: Installer = _module(of, "installer")
    return found


def fetcher(of: Format) -> Fetcher | None:
    """The fetcher of a form; None if all of its packages are on an index."""
    found: Fetcher | None = _module(of, "fetcher") if _has(of, "fetcher") else None
    return found


def checker(of: Format) -> Checker:
    """The checker of a form."""
    found: Checker = _module(of, "checker")
    return found


def judge(of: Format) -> Judge | None:
    """The tool that judges locks of a form; None if there is none."""
    found = _module(of, "checker") if _has(of, "checker") else None
    return found if hasattr(found, "judged") else None


def up_to_date(of: Format) -> UpToDate | None:
    """The module that tells whether locking again would change nothing; None if the form has none."""
    found: UpToDate | None = _module(of, "uptodate") if _has(of, "uptodate") else None
    return found


def exports(of: Format) -> Mapping[str, Callable[[Path, str], str]]:
    """The formats that locks of a form can be exported to."""
    return _module(of, "exporter").EXPORTS if _has(of, "exporter") else {}


def imports(of: Format) -> Mapping[str, Import]:
    """The locks of other tools that a form can read, by the pattern of their file names."""
    return _module(of, "importer").IMPORTS if _has(of, "importer") else {}


def signs(of: Format) -> Mapping[str, re.Pattern[str]]:
    """Patterns that recognise the texts of some of :func:`imports`, by the same file names."""
    found: Mapping[str, re.Pattern[str]] = _module(of, "importer").SIGNS if _has(of, "importer") else {}
    return found


def merger(of: Format) -> Merger | None:
    """The merger of a form; None if it has none."""
    found: Merger | None = _module(of, "merger") if _has(of, "merger") else None
    return found


def _module(of: Format, name: str) -> Any:  # noqa: ANN401 - a module, which the functions above give their types
    return importlib.import_module(f"{of.package}.{name}")


def _has(of: Format, name: str) -> bool:
    return importlib.util.find_spec(f"{of.package}.{name}") is not None


# -- reading -----------------------------------------------------------------------------------------------------------


def read_every(of: Format, path: Path) -> Sequence[Lockfile]:
    """The locks in a file, one for each platform.

    Raises:
        OutsideError: the file cannot be read.
        SettingsError: it does not have the form that kgen writes; with every fault.
    """
    return reader(of).parse(path, lockfiles.content_of(path))


def read(of: Format, path: Path, platform: str | None) -> Lockfile:
    """The lock in a file for a platform.

    Raises:
        OutsideError: the file cannot be read.
        SettingsError: it does not have the form that kgen writes; with every fault.
        UsageError: it is not for this platform.
    """
    every = read_every(of, path)
    found = next((one for one in every if one.platform == platform), None)
    if found is None:
        raise other_platform(of, path.parent.name, [one.platform for one in every], platform)
    return found


def other_platform(of: Format, environment: str, platforms: Iterable[str], platform: str | None) -> UsageError:
    """The error that an environment is locked for other platforms, but not for this machine's."""
    for_whom = "" if of.is_default else f" for {of.name}"
    return OtherPlatformError(
        f"{environment} is locked{for_whom} on {', '.join(platforms)}, and {lockfiles.instead(platform)}",
        hints=[LOCK] if platform else [],
        unlocked=Unlocked(environment, platform, of.name),
    )
