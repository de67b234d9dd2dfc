"""What one environment is asked to be."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from packaging.version import Version

from kgen.model.accelerator import Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.grammar import architecture, python_ending, shown, target
from kgen.model.ranges import VersionRange
from kgen.model.requirement import Requirement

JOINT = "joint"
"""Frameworks that dependencies bring in are solved together with the others."""

CPU_BUILDS = "cpu"
"""Frameworks that dependencies bring in are CPU builds."""

OTHER_FRAMEWORKS = (JOINT, CPU_BUILDS)
"""What may become of frameworks that dependencies bring in."""


def other_frameworks(text: str) -> str:
    """What becomes of frameworks that dependencies bring in.

    Raises:
        ValueError: it is not one of :data:`OTHER_FRAMEWORKS`.
    """
    if text not in OTHER_FRAMEWORKS:
        raise ValueError(f"is neither {' nor '.join(OTHER_FRAMEWORKS)}")
    return text


CUTOFF_FLAG = "--exclude-newer"
"""The flag of the day as the settings have it, and locks."""


class TargetMachine(NamedTuple):
    """A machine that an environment must run on: its driver belongs to its own GPUs, and to no others.

    Attributes:
        name: what the settings call it; empty for the one that flags or the top of the settings describe.
        driver: the accelerator's driver; None if unknown.
        gpus: architectures of its GPUs, such as `8.0` or `gfx942`.
    """

    name: str = ""
    driver: DriverVersion | None = None
    gpus: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As it is asked for."""
        return self.name

    @property
    def text(self) -> str:
        """As a lock has it: `server driver=550 gpu=8.0 gpu=9.0`."""
        driver = () if self.driver is None else (f"driver={self.driver}",)
        return " ".join((self.name, *driver, *(f"gpu={gpu}" for gpu in self.gpus)))

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return self.driver is not None or bool(self.gpus)

    @classmethod
    def parse(cls, text: str) -> TargetMachine:
        """The machine that a lock names.

        Raises:
            ValueError: this is none.
        """
        name, *facts = text.split(" ")
        drivers = [fact.removeprefix("driver=") for fact in facts if fact.startswith("driver=")]
        gpus = [fact.removeprefix("gpu=") for fact in facts if fact.startswith("gpu=")]
        if len(drivers) > 1 or len(drivers) + len(gpus) < len(facts):
            raise ValueError(f"`{shown(text)}` is not a target such as `server driver=550 gpu=8.0`")
        return cls(target(name), DriverVersion(drivers[0]) if drivers else None, tuple(map(architecture, gpus)))


class ProvenVersion(NamedTuple):
    """A version that receipts saw train on the kind of device that is asked for, which is why it is preferred.

    Attributes:
        package: the project's normalised name.
        version: its version.
        receipts: how many independent receipts saw it.
        devices: where they saw it, such as `NVIDIA H200 (driver 570.1)`.
        sources: where the receipts are, seen from the project's folder.
    """

    package: str
    version: Version
    receipts: int
    devices: tuple[str, ...]
    sources: tuple[str, ...]


class BoundedVersion(NamedTuple):
    """A version that was taken as the resolver could not close a newer one with what is asked for.

    Attributes:
        package: the project's normalised name.
        version: its version.
        newer: the newest release that was tried.
        why: who requires what of it, or the resolver's other facts.
    """

    package: str
    version: Version
    newer: Version
    why: str


class EnvironmentRequest(NamedTuple):
    """One environment: which backends, on what, and within which bounds.

    Attributes:
        name: what the environment is called before its accelerator: a backend, or the name of a joint one.
        backends: the backends that must work in it, the most important first.
        accelerator: its kind and major, perhaps with the newest minor allowed; or the CPU.
        python: the CPython minor, such as `3.12`.
        python_named: whether it is one of several Pythons, and so called after its own.
        python_open: whether the Python was chosen for the user, so that it may change with what they change.
        platform: the platform, as a conda subdir, such as `linux-64`.
        glibc: the oldest glibc that the environment must run on; None where the platform has none.
        macos: the oldest macOS, the same.
        driver: the accelerator's driver on the one machine that is meant; None if unknown.
        gpus: architectures of the GPUs of that machine that must be served, such as `8.0` or `gfx942`.
        targets: the machines of the settings that must all be served, in the place of that one.
        keras: the range of Keras.
        requirements: what `--require` says, about anything the matrix knows.
        dependencies: further requirements of the environment, closed by the installer's resolver.
        constraints: ranges of packages that are kept to where they come in, without bringing them in.
        uv: what the installer's resolver is configured with that shapes a lock, see :mod:`kgen.uvsettings`.
        project_build: what builds the project itself, which is installed editable.
        held: versions of an older lock that are to stay where they can, and what is preferred to those.
        recorded: why versions that are held were taken, where the matrix alone does not say it: who saw them train, or
            what a newer one does not fit; known, and no part of the question.
        cutoff: nothing published after this day is used; None for no such limit.
        as_of: whether the day was named together with the Keras of then; of interest to people, and in no lock.
        isolated: whether Keras's settings are to be in the environment's own folder.
        other_frameworks: what becomes of frameworks that dependencies bring in, one of :data:`OTHER_FRAMEWORKS`.
        allow_overlap: pairs of packages, as `first+second`, that may own the same files.
        build: projects that may be built from source if they have no wheel; informative only if it comes from a lock.
        members: backends whose frameworks dependencies bring along, so that they are solved together with the others;
            what kgen finds out on the way, and no part of the question.
        cpu_members: those whose frameworks dependencies bring along as builds for the CPU; found out likewise.
        own_index: whether builds for an accelerator may be used that only a framework's own index has.
    """

    name: str
    backends: tuple[str, ...]
    accelerator: Accelerator
    python: str
    platform: str
    python_named: bool = False
    python_open: bool = False
    glibc: Version | None = None
    macos: Version | None = None
    driver: DriverVersion | None = None
    gpus: tuple[str, ...] = ()
    targets: tuple[TargetMachine, ...] = ()
    keras: VersionRange = VersionRange()
    requirements: tuple[Requirement, ...] = ()
    dependencies: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    uv: tuple[str, ...] = ()
    project_build: tuple[Requirement, ...] = ()
    held: tuple[Requirement, ...] = ()
    recorded: tuple[ProvenVersion | BoundedVersion, ...] = ()
    cutoff: datetime.date | None = None
    as_of: bool = False
    isolated: bool = False
    own_index: bool = False
    other_frameworks: str = JOINT
    allow_overlap: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    cpu_members: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        """The name of the environment: `jax-cuda12`, `all-cuda12`, `numpy-cpu`, `jax-cpu-py311`."""
        return f"{self.name}-{self.accelerator.name}{python_ending(self.python) if self.python_named else ''}"

    @property
    def machines(self) -> tuple[TargetMachine, ...]:
        """The machines that it must run on; where none is named, one that may be unknown in every respect."""
        return self.targets or (TargetMachine(driver=self.driver, gpus=self.gpus),)

    @property
    def as_asked(self) -> EnvironmentRequest:
        """It without what a lock holds and what dependencies bring along."""
        return self._replace(held=(), members=(), cpu_members=())

    @property
    def every_gpu(self) -> tuple[str, ...]:
        """The architectures of all its machines, each once."""
        return tuple(dict.fromkeys(gpu for machine in self.machines for gpu in machine.gpus))

    @property
    def oldest_driver(self) -> DriverVersion | None:
        """The oldest driver of its machines; None if none is known."""
        return min((one.driver for one in self.machines if one.driver is not None), default=None)

    @property
    def cutoff_flag(self) -> str:
        """What the user called the day."""
        return "--as-of" if self.as_of else CUTOFF_FLAG

    @property
    def joint(self) -> bool:
        """Whether it holds several backends."""
        return len(self.backends) > 1
