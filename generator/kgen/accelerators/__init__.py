"""The kinds of accelerator that kgen supports: one module each, with its :class:`Kind` as `KIND`.

To support an accelerator, kgen needs a module in this package, a row in `matrix/accelerators.toml`, and builds that
name the kind. The row states its versions and what they need. The module knows how people spell its architectures, when
code runs on an architecture, and how to find the devices of a machine.
"""

from __future__ import annotations

import enum
import functools
import importlib
import pkgutil
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kgen.model import grammar
from kgen.model.accelerator import CPU, Accelerator

if TYPE_CHECKING:
    from kgen.model.architecture import DeviceCode
    from kgen.model.driver import DriverVersion

AUTO = "auto"
"""The value of a kind's flag with which kgen chooses the version."""


class Fit(enum.Enum):
    """How code runs on an architecture."""

    NONE = enum.auto()
    """Not at all."""
    NATIVE = enum.auto()
    """As it is."""
    COMPILED = enum.auto()
    """Once the driver has compiled it, which one that is too old cannot."""


class Gpu(NamedTuple):
    """A device of this machine.

    Attributes:
        name: its name, as the driver reports it.
        architecture: its architecture, in the kind's spelling: `9.0`, `gfx942`.
        memory_bytes: the size of its memory; 0 if the driver does not report it, for example because the device shares
            the machine's memory.
        selector: a name that selects the device for a process independently of any numbering; empty if it has none.
    """

    name: str
    architecture: str
    memory_bytes: int
    selector: str = ""


class Devices(NamedTuple):
    """The devices of one kind in a machine.

    Attributes:
        driver: the version of the driver; None without a driver, or if it does not report one.
        gpus: the devices, in the driver's order.
        note: what is present but does not work, in words; None if everything works, or nothing is present.
        two_versions: whether the reason is that the kernel module and the libraries have different versions.
    """

    driver: DriverVersion | None = None
    gpus: tuple[Gpu, ...] = ()
    note: str | None = None
    two_versions: bool = False

    @property
    def found(self) -> bool:
        """Whether a driver answers."""
        return self.driver is not None or bool(self.gpus)

    @property
    def architectures(self) -> tuple[str, ...]:
        """The architectures of the devices, each once."""
        return tuple(dict.fromkeys(gpu.architecture for gpu in self.gpus))

    @property
    def models(self) -> tuple[Gpu, ...]:
        """The devices, only the first for each name and architecture."""
        seen = {(gpu.name, gpu.architecture): gpu for gpu in reversed(self.gpus)}
        return tuple(gpu for gpu in self.gpus if seen[gpu.name, gpu.architecture] is gpu)


class Condition(NamedTuple):
    """The state of a device.

    Attributes:
        number: its number, which the vendor's tool takes.
        name: its name, as the driver reports it.
        selector: as in :class:`Gpu`.
        sharing: who may compute on it: `shared` by all, `exclusive` for one process, or `prohibited`.
        processes: the numbers of the processes that compute on it.
        uncorrected: uncorrected memory errors since the last restart; None if the device does not count them.
        partitions: the devices that it is divided into; None if it is undivided.
        remapping: whether a faulty memory row waits for a reset to be remapped.
        worn: whether a faulty memory row could not be remapped.
        joining: whether it has not joined its fabric yet.
    """

    number: int
    name: str
    sharing: str = "shared"
    processes: tuple[int, ...] = ()
    uncorrected: int | None = None
    partitions: tuple[Gpu, ...] | None = None
    selector: str = ""
    remapping: bool = False
    worn: bool = False
    joining: bool = False

    def refuses(self, *, served: bool) -> bool:
        """Whether the device refuses a new process.

        Args:
            served: whether the process goes through a server by which processes share devices.
        """
        return self.sharing == "prohibited" or (self.sharing == "exclusive" and bool(self.processes) and not served)


class SharingServer(NamedTuple):
    """A driver's server through which several processes share a device.

    Attributes:
        title: the name that people use.
        variable: the variable that names its folder.
        folder: the default folder.
        control: a file that the folder contains while it serves, so that processes go through it.
        process: the file in the folder with the number of its process.
        start: the command that starts it.
        stop: the command that stops it.
    """

    title: str
    variable: str
    folder: str
    control: str
    process: str
    start: str
    stop: str


class ContainerHelp(NamedTuple):
    """What a container toolkit gives containers of a driver.

    Attributes:
        variable: the container's variable that selects the driver's libraries.
        compute: its value for libraries to compute.
        every: its value for all libraries.
        nodes: the devices in `/dev` that a process opens.
        ask: its value for libraries that query the driver.
        chooses: the container's variable that selects devices.
        none: its values for no device.
    """

    variable: str
    compute: str
    every: str
    nodes: tuple[str, ...]
    ask: str
    chooses: str
    none: tuple[str, ...]


class WslHelp(NamedTuple):
    """Where Windows puts a driver for Linux.

    Attributes:
        folder: the folder of its libraries.
        node: the device in `/dev` that a process opens.
    """

    folder: str
    node: str


class DriverHelp(NamedTuple):
    """What people type, and read, about the driver of a kind.

    Attributes:
        interface: the interface through which kgen queries the driver.
        status: the command that shows whether the driver works.
        listing: the command that lists its devices.
        too_old: the consequence of a driver that is too old.
        consumer: an example of a consumer device, which forward-compatibility packages do not support; empty if there
            are no such packages.
        no_code: the consequence of a device that code was not compiled for.
        library: the driver's own library, of which toolkits contain a stub for linking; empty if there is none.
        library_file: the name under which processes open it.
        library_asked: a function in it that returns the driver's version without starting a device.
        stub: the consequence of such a stub.
        assembler: the program of its toolkit that makes machine code, which compilers start; empty if there is none.
        assembler_packages: the packages whose version is the toolkit's, without a major at the end of their names; the
            one with the program first.
        places: folders for its library that no program searches by default, but only if a variable names them.
        other_module: a kernel module that may drive the devices instead of the vendor's driver.
        vendor: the PCI vendor ID of its devices, in lower-case hexadecimal; empty if they are not on a PCI bus.
        install: distribution -> the command that installs a newer driver.
        docker: the options with which Docker passes the devices to a container.
        containers: container runtime -> how it passes the devices to a container.
        kubernetes: the Kubernetes resource for one device; empty if no device plugin offers them.
        server: the server through which processes share a device; None if there is none.
        contained: what a container toolkit gives containers of it; None if unknown.
        wsl: what Windows gives Linux of it; None if nothing.
        logged: the pattern of a line in the kernel's log that reports a fault, with the groups `device` and `code`;
            empty if there is none.
        codes: code of a fault -> what it means, for faults after which a device computes wrongly or not at all.
        reset: the command that resets a device; `{number}` in it is the device's number.
        names_begin: the prefix of device names in the variables that select devices; empty if those take numbers only,
            or another form of names.
    """

    interface: str = ""
    status: str = ""
    listing: str = ""
    too_old: str = ""
    consumer: str = ""
    no_code: str = ""
    library: str = ""
    library_file: str = ""
    library_asked: str = ""
    stub: str = ""
    assembler: str = ""
    assembler_packages: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    other_module: str = ""
    vendor: str = ""
    install: Mapping[str, str] = MappingProxyType({})
    docker: tuple[str, ...] = ()
    containers: Mapping[str, str] = MappingProxyType({})
    kubernetes: str = ""
    server: SharingServer | None = None
    contained: ContainerHelp | None = None
    wsl: WslHelp | None = None
    logged: str = ""
    codes: Mapping[str, str] = MappingProxyType({})
    reset: str = ""
    names_begin: tuple[str, ...] = ()


class Kind(Protocol):
    """A kind of accelerator.

    Attributes:
        name: its name in `matrix/accelerators.toml`, and of its flag.
        title: the name that people use.
        maker: the vendor of its devices.
        device: one of its devices, with an article.
        help: the help text of its flag.
        example: a version that a user can type; empty for a kind without versions.
        primitives: its library of neural network operations.
        architecture: what people call the targets that code is compiled for.
        architecture_example: an architecture that a user can type.
        driver_example: a driver version that a user can type; empty if the driver reports none.
        in_wheels: whether its libraries come as packages of an environment; otherwise they belong to the machine.
        rank: its position in the order in which kgen offers kinds; the CPU is last.
        driver_help: what help says about its driver.
        spelled: other words for it, in package names and in what people type.
    """

    name: str
    title: str
    maker: str
    device: str
    help: str
    example: str
    primitives: str
    architecture: str
    architecture_example: str
    driver_example: str
    in_wheels: bool
    rank: int
    driver_help: DriverHelp
    spelled: tuple[str, ...] = ()

    @property
    def device_noun(self) -> str:
        """One of its devices, without an article: `NVIDIA GPU`."""
        return self.device.partition(" ")[2]

    @property
    def versioned(self) -> bool:
        """Whether it has versions, so that its flag takes one."""
        return bool(self.example)

    def describe(self, accelerator: Accelerator) -> str:
        """An accelerator of this kind in words: `CUDA 12.6`."""
        return f"{self.title} {accelerator.number}".strip()

    @abstractmethod
    def parse_architecture(self, text: str) -> str:
        """An architecture in this kind's spelling, parsed from what people write.

        Raises:
            ValueError: it is not one; the text shows an example.
        """

    @abstractmethod
    def parse_driver(self, text: str) -> str:
        """A driver version.

        Raises:
            ValueError: it is not one; the text shows an example.
        """

    @abstractmethod
    def fit(self, code: DeviceCode, architecture: str) -> Fit:
        """How the code of a build runs on an architecture."""

    @abstractmethod
    def probe(self) -> Devices:
        """The devices of this machine. A missing device or a broken driver is a result and not an error."""

    def variant_facts(self, runs: str, architectures: Sequence[str]) -> Mapping[str, str]:
        """Variables that tell a resolver for wheel variants the facts of a target; none if none are known.

        Args:
            runs: the newest version that the target's driver supports; empty if the driver is unknown.
            architectures: the architectures of the target's devices.
        """
        del runs, architectures
        return {}

    def conditions(self) -> tuple[Condition, ...]:
        """The state of each device; () if the driver does not report it, or was not queried yet."""
        return ()


@functools.cache
def names() -> tuple[str, ...]:
    """Every kind by the name of its module, sorted; loads none of them."""
    return tuple(sorted(one.name for one in pkgutil.iter_modules(__path__)))


@functools.cache
def kind(name: str) -> Kind:
    """The kind of this name, which must be one of :func:`names`."""
    found: Kind = importlib.import_module(f"{__name__}.{name}").KIND
    return found


@functools.cache
def known() -> tuple[Kind, ...]:
    """Every kind, in the order in which kgen offers them; the CPU is last."""
    return tuple(sorted(map(kind, names()), key=lambda one: (one.rank, one.name)))


def probed() -> tuple[Kind, ...]:
    """The kinds whose devices kgen can find in a machine."""
    return tuple(one for one in known() if one.name != CPU.kind)


def pattern() -> str:
    """The pattern for the end of an environment's name: accelerator and Python, as in `cpu` or `cuda12-py311`."""
    return rf"(?:{'|'.join(names())})[0-9]*(?:-py[0-9]+)?"


def without_ending(environment: str) -> str:
    """The name of an environment without its accelerator: `jax` for `jax-cuda12` and `jax-cuda12-py311`."""
    return re.sub(f"-{pattern()}$", "", environment)


def in_name(environment: str) -> Accelerator:
    """The accelerator in the name of an environment: CUDA 12 for `jax-cuda12` and `jax-cuda12-py311`."""
    return named(environment.removeprefix(f"{without_ending(environment)}-").partition("-")[0])


def named(text: str) -> Accelerator:
    """The accelerator that an environment's name contains as `cuda12` or `cpu`.

    Raises:
        ValueError: there is no such kind.
    """
    found = Accelerator.named(grammar.accelerator(text))
    if found.kind not in names():
        raise ValueError(f"`{grammar.shown(text)}` is not an accelerator: one of {', '.join(names())}, with a major")
    return found


def title(accelerator: Accelerator) -> str:
    """An accelerator in words: `CUDA 12.6`, `the CPU`."""
    return kind(accelerator.kind).describe(accelerator)
