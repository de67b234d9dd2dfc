"""What a finding is, what finds it, and the facts that it looks at."""

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
        prefix: where it is on disk, or would be.
        whole: whether it is there.
        interpreter: whether this machine has a CPython of its minor; None if that was not looked for.
        free: the bytes that may be written where it is, or would be; None if unknown.
        opened: the accelerator's libraries that its frameworks would open on this machine; none where it is not there.
        shared: files that several of its distributions own.
        missing: libraries and packages that its distributions brought and that are gone.
        doubled: projects that it has the metadata of two releases of.
        free_threaded: whether its interpreter is the free-threaded one; None where it is not there.
        rivals: plugins of its frameworks that stand in each other's way.
        versions: project -> the version that is installed, of one that was changed since it was made; else empty.
        too_old: libraries that a variable puts in the place of others, and that lack what its files need.
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
    """A library of an accelerator that may be on a machine beside the locked one.

    Attributes:
        title: what people call it, such as `cuDNN`.
        packages: the packages, one of which carries it.
    """

    title: str
    packages: tuple[str, ...]


class Facts(NamedTuple):
    """All that a rule may look at.

    Attributes:
        machine: the drivers and the GPUs.
        around: what surrounds the environments.
        examined: the environments.
        matrix: what serves which GPU.
        libraries: stem of a shared library, as `libcudnn` -> what it is.
        target: the target of the settings that is judged by its description; empty for this machine.
        conditions: kind of accelerator -> the state that each of its devices is in.
        folder: the project's; empty for another machine.
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
        """Where a fact about the machine is from: an interface of this machine, or the description of another."""
        return f"target.{self.target} of the settings" if self.target else interface

    def unasked(self, kind: Kind) -> bool:
        """Whether a driver is at work that kgen cannot ask: its library and its devices are here, and that is not."""
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
        """The environments that are for a GPU."""
        return tuple(one for one in self.examined if one.lock.accelerated)


class Rule(NamedTuple):
    """A kind of finding.

    Attributes:
        rank: the order in which rules look: what the rest depends on comes first.
        title: what it finds, in a line.
        about: what that means and how kgen knows, in a paragraph for the documentation.
        fixing: what to do about it, in a paragraph for the documentation.
        examine: the findings in these facts.
        of_description: whether it judges another machine by its description too: it looks at driver, GPUs, glibc and
            locks alone.
    """

    rank: int
    title: str
    about: str
    fixing: str
    examine: Callable[[Facts], Iterator[Finding]]
    of_description: bool = False
