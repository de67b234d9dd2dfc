"""Findings, the rules that find them, and the facts that rules examine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from kgen.accelerators import Condition, Kind
from kgen.host import Host
from kgen.loader.environment import LibraryTooOld, OpenedLibrary
from kgen.loader.flags import UnknownFlags
from kgen.loader.owners import DoubledProject, MissingFile, SharedFile
from kgen.loader.plugins import RivalPlugins
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.lockfile import Lockfile
from kgen.surroundings import Surroundings


class Finding(NamedTuple):
    """Something that breaks environments, or may.

    Attributes:
        kind: `fault` if it breaks something that is locked, `note` if it is only worth knowing.
        environments: the environments that it concerns; none if it concerns all.
        what: what is wrong.
        where: where kgen saw it.
        why: why it matters.
        fix: the command to type next.
        identifier: the identifier of the rule that found it, which stays the same from release to release.
    """

    kind: Literal["fault", "note"]
    environments: tuple[str, ...]
    what: str
    where: str
    why: str
    fix: str
    identifier: str = ""


class ExaminedEnvironment(NamedTuple):
    """A locked environment.

    Attributes:
        lock: its lock.
        prefix: its folder on disk, which may not exist.
        whole: whether it exists.
        interpreter: whether this machine has a CPython of its minor; None if kgen did not look.
        free: the bytes that can be written to its folder; None if unknown.
        opened: the accelerator's libraries that its frameworks would open on this machine; none if it does not exist.
        shared: files that several of its distributions own.
        missing: libraries and packages that its distributions installed and that are gone.
        doubled: projects for which it has the metadata of two releases.
        free_threaded: whether its interpreter is free-threaded; None if it does not exist.
        rivals: plugins of its frameworks that conflict with each other.
        versions: project -> the installed version, if it was changed since the environment was made; else empty.
        too_old: libraries that a variable substitutes for others, and that lack what its files need.
        unknown_flags: flags in variables that its compilers do not know.
    """

    lock: Lockfile
    prefix: Path
    whole: bool
    interpreter: bool | None
    free: int | None
    opened: tuple[OpenedLibrary, ...] = ()
    shared: tuple[SharedFile, ...] = ()
    missing: tuple[MissingFile, ...] = ()
    doubled: tuple[DoubledProject, ...] = ()
    free_threaded: bool | None = None
    rivals: tuple[RivalPlugins, ...] = ()
    versions: Mapping[str, str] = MappingProxyType({})
    too_old: tuple[LibraryTooOld, ...] = ()
    unknown_flags: tuple[UnknownFlags, ...] = ()


class SystemLibrary(NamedTuple):
    """An accelerator's library that a machine may have in addition to the locked one.

    Attributes:
        title: the name that people use, such as `cuDNN`.
        packages: the packages, one of which contains it.
    """

    title: str
    packages: tuple[str, ...]


class Facts(NamedTuple):
    """Everything that a rule may examine.

    Attributes:
        machine: the drivers and the GPUs.
        around: the surroundings of the environments.
        examined: the environments.
        matrix: the facts about GPUs.
        libraries: stem of a shared library, such as `libcudnn` -> what it is.
        target: the target in the settings that describes the machine; empty for this machine.
        conditions: kind of accelerator -> the state of each of its devices.
        folder: the project's folder; empty for another machine.
    """

    machine: Host
    around: Surroundings
    examined: tuple[ExaminedEnvironment, ...]
    matrix: CompatibilityMatrix
    libraries: Mapping[str, SystemLibrary]
    target: str = ""
    conditions: Mapping[str, tuple[Condition, ...]] = MappingProxyType({})
    folder: str = ""

    def seen_by(self, interface: str) -> str:
        """The source of a fact about the machine: an interface of this machine, or the description of another."""
        return f"target.{self.target} of the settings" if self.target else interface

    def unasked(self, kind: Kind) -> bool:
        """Whether there is a driver that kgen cannot query: its library and devices exist, but not the interface."""
        here, says, library = self.machine.of(kind.name), kind.driver_help, self.around.driver_library
        return (
            not here.found
            and here.note is None
            and library is not None
            and library.stem == says.library
            and library.answers is True
            and says.contained is not None
            and self.around.nodes is not None
            and self.around.nodes >= {*says.contained.nodes}
        )

    @property
    def accelerated(self) -> tuple[ExaminedEnvironment, ...]:
        """The environments for a GPU."""
        return tuple(one for one in self.examined if one.lock.accelerated)


class Rule(NamedTuple):
    """A kind of finding.

    Attributes:
        rank: the order of rules; what others depend on comes first.
        title: what it finds, in a line.
        about: what that means and how kgen knows, as a paragraph of the documentation.
        fixing: what to do about it, as a paragraph of the documentation.
        examine: returns the findings in these facts.
        of_description: whether it also judges a described machine, from its driver, GPUs, glibc and locks only.
    """

    rank: int
    title: str
    about: str
    fixing: str
    examine: Callable[[Facts], Iterator[Finding]]
    of_description: bool = False
