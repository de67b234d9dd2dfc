"""A request for one environment."""

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
"""The ways to treat frameworks that dependencies bring in."""


def other_frameworks(text: str) -> str:
    """Parses how to treat frameworks that dependencies bring in.

    Raises:
        ValueError: it is not one of :data:`OTHER_FRAMEWORKS`.
    """
    if text not in OTHER_FRAMEWORKS:
        raise ValueError(f"is neither {' nor '.join(OTHER_FRAMEWORKS)}")
    return text


CUTOFF_FLAG = "--exclude-newer"
"""The flag of the cut-off day, named like its key in settings and locks."""


class TargetMachine(NamedTuple):
    """A machine that an environment must run on, with its driver and the GPUs that the driver is for.

    Attributes:
        name: its name in the settings; empty for the machine that flags or the top level of the settings describe.
        driver: the accelerator's driver; None if unknown.
        gpus: architectures of its GPUs, such as `8.0` or `gfx942`.
    """

    name: str = ""
    driver: DriverVersion | None = None
    gpus: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The machine in the words of a message."""
        return self.name

    @property
    def text(self) -> str:
        """The machine as a lock stores it: `server driver=550 gpu=8.0 gpu=9.0`."""
        driver = () if self.driver is None else (f"driver={self.driver}",)
        return " ".join((self.name, *driver, *(f"gpu={gpu}" for gpu in self.gpus)))

    @property
    def known(self) -> bool:
        """Whether its driver or its GPUs are known."""
        return self.driver is not None or bool(self.gpus)

    @classmethod
    def parse(cls, text: str) -> TargetMachine:
        """The machine that a lock stores.

        Raises:
            ValueError: the text is not a machine.
        """
        name, *facts = text.split(" ")
        drivers = [fact.removeprefix("driver=") for fact in facts if fact.startswith("driver=")]
        gpus = [fact.removeprefix("gpu=") for fact in facts if fact.startswith("gpu=")]
        if len(drivers) > 1 or len(drivers) + len(gpus) < len(facts):
            raise ValueError(f"`{shown(text)}` is not a target such as `server driver=550 gpu=8.0`")
        return cls(target(name), DriverVersion(drivers[0]) if drivers else None, tuple(map(architecture, gpus)))


class ProvenVersion(NamedTuple):
    """A version that kgen prefers because receipts saw it train on the requested kind of device.

    Attributes:
        package: the project's normalised name.
        version: its version.
        receipts: the number of independent receipts.
        devices: the devices, such as `NVIDIA H200 (driver 570.1)`.
        sources: the paths of the receipts, relative to the project's folder.
    """

    package: str
    version: Version
    receipts: int
    devices: tuple[str, ...]
    sources: tuple[str, ...]


class BoundedVersion(NamedTuple):
    """A version that was taken because the resolver found no solution with a newer one.

    Attributes:
        package: the project's normalised name.
        version: its version.
        newer: the newest release that was tried.
        why: the conflicting requirements, or the resolver's other facts.
    """

    package: str
    version: Version
    newer: Version
    why: str


class EnvironmentRequest(NamedTuple):
    """A request for one environment: its backends, its target, and its bounds.

    Attributes:
        name: the environment's name without its accelerator: a backend, or the name of a joint environment.
        backends: the backends that must work in it, the most important first.
        accelerator: the kind and major, optionally with the newest minor allowed; or the CPU.
        python: the CPython minor, such as `3.12`.
        python_named: whether the Python is part of the environment's name, because there are several.
        python_open: whether kgen chose the Python, so that it may change when the request does.
        platform: the platform, as a conda subdir, such as `linux-64`.
        glibc: the oldest glibc that the environment must run on; None on a platform without one.
        macos: the oldest macOS that the environment must run on; None on other platforms.
        driver: the accelerator's driver on the target machine, if there is only one; None if unknown.
        gpus: architectures of that machine's GPUs to support, such as `8.0` or `gfx942`.
        targets: the machines from the settings to support, all of them, instead of that one.
        keras: the range of Keras.
        requirements: the requirements of `--require`, on anything that the matrix knows.
        dependencies: additional requirements, which the installer's resolver resolves.
        constraints: version ranges for packages if they are installed; they install nothing.
        uv: the part of uv's configuration that affects a lock, see :mod:`kgen.uvsettings`.
        project_build: the build requirements of the project itself, which is installed editable.
        held: versions of an older lock to keep where possible, and versions that are preferred to those.
        recorded: the reasons of held versions that the matrix does not know: receipts, or what a newer version
            conflicts with. Information only.
        cutoff: the last day whose publications may be used; None for no limit.
        as_of: whether the user named the day together with the Keras of that day. For messages only; locks do not store
            it.
        isolated: whether Keras's settings belong in the environment's own folder.
        other_frameworks: how to treat frameworks that dependencies bring in, one of :data:`OTHER_FRAMEWORKS`.
        allow_overlap: pairs of packages, as `first+second`, that may own the same files.
        build: projects that may be built from source if they have no wheel; informative only if it comes from a lock.
        members: backends whose frameworks dependencies bring in, so that they are solved together. kgen adds them while
            it locks; the user does not request them.
        cpu_members: backends whose frameworks dependencies bring in as CPU builds; added likewise.
        own_index: whether accelerator builds that only a framework's own index has may be used.
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
        """The machines that it must run on; without any, one machine of which nothing is known."""
        return self.targets or (TargetMachine(driver=self.driver, gpus=self.gpus),)

    @property
    def as_asked(self) -> EnvironmentRequest:
        """The request without what a lock holds and what dependencies bring in."""
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
        """The flag with which the user named the day."""
        return "--as-of" if self.as_of else CUTOFF_FLAG

    @property
    def joint(self) -> bool:
        """Whether it has several backends."""
        return len(self.backends) > 1
