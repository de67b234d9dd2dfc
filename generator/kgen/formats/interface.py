"""What a form of locks can do: the modules that its package may have, and what each of them holds.

A package is found by :mod:`kgen.model.format`. Its modules are loaded when they are asked for, so that who runs a
command in an environment of wheels does not pay for conda. Each is called like its protocol here: `locker.py`,
`reader.py` and `installer.py`; `checker.py` of the forms whose locks stand beside those of the default one, which
:mod:`kgen.freshness` compares with the settings; and `exporter.py`, `importer.py`, `merger.py` and `uptodate.py` of
those that have them; `fetcher.py` of those whose packages no Python index has.
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

if TYPE_CHECKING:  # who locks nothing, or installs nothing, does not pay for it
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
        """Whether wheels that were locked become part of locks of this form, so that they have to be solved first."""

    def held(self, job: LockJob, request: EnvironmentRequest) -> Collection[str]:
        """The names of the packages that an old lock holds, and that may so be upgraded by these names.

        Raises:
            SettingsError: the lock is in conflict after a merge, and may not be.
        """

    def begin(self, job: LockJob) -> AbstractContextManager[Finish]:
        """Begin to lock; what goes wrong with one request is in its outcome.

        Raises:
            KgenError: nothing could be begun.
        """


class Reader(Protocol):
    """`reader.py`: reads locks back."""

    def parse(self, path: Path, content: bytes) -> Sequence[Lockfile]:
        """The locks that a file is, one for each platform.

        Args:
            path: where it is, which says what environment and platform it should be for.
            content: what is in it.

        Raises:
            SettingsError: it does not have the form that kgen writes; with every fault.
        """

    def as_matrix(self, lock: Lockfile, matrix: CompatibilityMatrix) -> Lockfile:
        """The lock with what kgen's own solver would have decided.

        That is the frameworks by the names of their projects, and the oldest driver.
        """


class Beside(NamedTuple):
    """What an environment has beside its packages.

    Attributes:
        files: gives them: path in the environment -> text.
        links: path in the environment -> the folder outside that it stands for, which is made if it is not there.
        own: a wheel of the project itself that was built before. An installer that can takes it in with the packages,
            and leaves the record of that (:data:`kgen.editable.RECORD`); it is installed by itself else.
    """

    files: Callable[[], Mapping[str, str]]
    links: Mapping[str, Path]
    own: Path | None = None


class Installation(NamedTuple):
    """An environment that is ready to be made: all that it needs was found and checked.

    Attributes:
        make: makes it anew and puts it in its place, and is given what reports each stage. The one that was there
            stands until the new one is whole, and stays if that fails. To be called under
            :func:`kgen.storage.exclusive`.
        notes: what the user should know.
    """

    make: Callable[[Callable[[str], None]], None]
    notes: Sequence[str] = ()


class Installer(Protocol):
    """`installer.py`: makes environments on disk, and compares them with their locks."""

    def prepare(self, of: Source, beside: Callable[[Lockfile], Beside], *, thorough: bool) -> Installation:
        """Read the lock and find what installs it; nothing is touched.

        Args:
            of: what the environment is made from.
            beside: gives what is beside the packages, for the lock that was read.
            thorough: whether every file is compared with its hash afterwards.

        Raises:
            KgenError: the lock is damaged or not for this machine, or what installs it is missing.
        """

    def differences(self, of: Source) -> tuple[Difference, ...]:
        """Everything in an environment that is not as locked, sorted by path.

        Raises:
            KgenError: the lock is damaged, or not for this machine.
        """

    def lost(self, prefix: Path) -> Sequence[str]:
        """What a user has set in an environment by the means of the form, and what making it anew takes away."""


class Fetcher(Protocol):
    """`fetcher.py`: fetches packages that no Python index has, to be brought along in a bundle."""

    def opened(self) -> Callable[[LockedFile, Path], None]:
        """What fetches a package into a file, from the place that its lock names; safe to use from many threads.

        It raises :class:`kgen.errors.OutsideError` where that is impossible. The digest is for the caller to compare.

        Raises:
            KgenError: what fetches them is missing, or wrongly configured.
        """


class Flaw(NamedTuple):
    """Something about a lock that is not as it should be.

    Attributes:
        kind: `fault` if the lock cannot be relied on, `note` if it is worth knowing.
        path: the file.
        what: what is wrong with it.
    """

    kind: Literal["fault", "note"]
    path: Path
    what: str


class Asked(NamedTuple):
    """What is asked of the locks of an environment.

    Attributes:
        settings: the settings.
        requests: platform -> the request that the settings make of it, or that its lock was made for without any: of
            the platforms that are locked in the default form.
    """

    settings: Settings
    requests: Mapping[str, EnvironmentRequest]


class Checker(Protocol):
    """`checker.py`: compares locks with the matrix and with themselves; offline."""

    def flaws(
        self, folder: Path, locks: Sequence[Lockfile], matrix: CompatibilityMatrix, asked: Asked
    ) -> Iterable[Flaw]:
        """What is wrong with the locks in the folder of an environment.

        Args:
            folder: the folder.
            locks: the locks of the default form in it that could be read.
            matrix: the facts.
            asked: what is asked of them.
        """


class Judge(Protocol):
    """What `checker.py` has of a form that another tool reads: that tool's own word."""

    def judged(self, folder: Path) -> Iterable[Flaw]:
        """What the tool itself finds wrong with the locks in the folder of an environment.

        Raises:
            UsageError: it is not installed.
            OutsideError: it failed.
        """


class UpToDate(Protocol):
    """`uptodate.py`: says whether locks would be made again as they are, of the forms that can tell without locking."""

    def surroundings(self, matrix: CompatibilityMatrix, settings: Settings, platforms: Collection[str]) -> str:
        """A digest of what shapes locks besides their requests, the matrix and kgen itself.

        Args:
            matrix: the facts; more of them may count than their revision.
            settings: the settings, with the flags over them.
            platforms: those that are locked for.
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
        """The lock of a request in the folder of its environment, as this kgen makes it with this matrix.

        Args:
            folder: the folder.
            request: what is asked.
            matrix: the facts.
            settings: the settings, with the flags over them.
            every: whether the file is to hold nothing for other platforms than the settings'.

        Returns:
            The lock; None if it was made for something else, or differently.

        Raises:
            KgenError: there is none that can be read.
            ValueError: the same.
        """


class Exporter(Protocol):
    """`exporter.py`: locks in the formats of other tools, each of one environment on one platform."""

    EXPORTS: Mapping[str, Callable[[Path, str], str]]
    """Name on the command line -> what makes its text, of the lock in a file and of a platform that it is for."""


Import = Callable[[str, str, "CompatibilityMatrix"], Iterable[tuple[str, str]]]
"""Text, platform and matrix -> projects with their versions; raises what reading by keys does for what is none."""


class Importer(Protocol):
    """`importer.py`: reads locks of other tools that hold packages of this form."""

    IMPORTS: Mapping[str, Import]
    """Name of a file, in which `*` stands for anything -> what reads it."""
    SIGNS: Mapping[str, re.Pattern[str]]
    """Some of these names -> what tells the text of such a lock, as people give it any name."""


class Merger(Protocol):
    """`merger.py`: merges the two sides of a lock."""

    def merged(self, ours: bytes, theirs: bytes, name: Path) -> str:
        """The text of a file of a lock that the request of both sides gives now.

        Args:
            ours: what our side has in the file.
            theirs: what their side has in it.
            name: where it is, relative to the project's folder.

        Raises:
            ValueError: the sides are no locks, or were made for different requests.
            KgenError: there is no such lock.
        """


def locker(of: Format) -> Locker:
    """What locks in a form."""
    found: Locker = _module(of, "locker")
    return found


def reader(of: Format) -> Reader:
    """What reads its locks."""
    found: Reader = _module(of, "reader")
    return found


def installer(of: Format) -> Installer:
    """What installs them."""
    found: Installer = _module(of, "installer")
    return found


def fetcher(of: Format) -> Fetcher | None:
    """What fetches its packages; None where all of them are on an index."""
    found: Fetcher | None = _module(of, "fetcher") if _has(of, "fetcher") else None
    return found


def checker(of: Format) -> Checker:
    """What checks them."""
    found: Checker = _module(of, "checker")
    return found


def judge(of: Format) -> Judge | None:
    """What has another tool judge its locks; None where there is no such tool."""
    found = _module(of, "checker") if _has(of, "checker") else None
    return found if hasattr(found, "judged") else None


def up_to_date(of: Format) -> UpToDate | None:
    """What says whether its locks would be made again as they are; None where nothing does."""
    found: UpToDate | None = _module(of, "uptodate") if _has(of, "uptodate") else None
    return found


def exports(of: Format) -> Mapping[str, Callable[[Path, str], str]]:
    """What its locks can be exported to."""
    return _module(of, "exporter").EXPORTS if _has(of, "exporter") else {}


def imports(of: Format) -> Mapping[str, Import]:
    """The locks of other tools that it reads, by the names of their files."""
    return _module(of, "importer").IMPORTS if _has(of, "importer") else {}


def signs(of: Format) -> Mapping[str, re.Pattern[str]]:
    """What tells the texts of some of :func:`imports`, by the same names, as people give such files any."""
    found: Mapping[str, re.Pattern[str]] = _module(of, "importer").SIGNS if _has(of, "importer") else {}
    return found


def merger(of: Format) -> Merger | None:
    """What merges its locks; None where nothing does."""
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
        OutsideError: it cannot be read.
        SettingsError: it does not have the form that kgen writes; with every fault.
    """
    return reader(of).parse(path, lockfiles.content_of(path))


def read(of: Format, path: Path, platform: str | None) -> Lockfile:
    """The lock in a file for a platform.

    Raises:
        OutsideError: it cannot be read.
        SettingsError: it does not have the form that kgen writes; with every fault.
        UsageError: it is not for this platform.
    """
    every = read_every(of, path)
    found = next((one for one in every if one.platform == platform), None)
    if found is None:
        raise other_platform(of, path.parent.name, [one.platform for one in every], platform)
    return found


def other_platform(of: Format, environment: str, platforms: Iterable[str], platform: str | None) -> UsageError:
    """That an environment is not locked for this machine's platform, but for others."""
    for_whom = "" if of.is_default else f" for {of.name}"
    return OtherPlatformError(
        f"{environment} is locked{for_whom} on {', '.join(platforms)}, and {lockfiles.instead(platform)}",
        hints=[LOCK] if platform else [],
        unlocked=Unlocked(environment, platform, of.name),
    )
