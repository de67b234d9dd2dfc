"""The kinds of accelerator that kgen knows: one module each, which calls its :class:`Kind` `KIND`.

A module in this package, a row in `matrix/accelerators.toml` and builds that name the kind are all that kgen has to
know of an accelerator. The row says which versions there are and what they need; the module how people write its
architectures, when code runs on one, and how a machine is asked what it has.
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
"""The value of a kind's flag that leaves its version to kgen."""


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
        name: what its driver calls it.
        architecture: as its kind spells it: `9.0`, `gfx942`.
        memory_bytes: the size of its memory; 0 where the driver does not say, as where it shares the
            machine's.
        selector: the name by which a process is given it, which no order of numbers changes; empty without one.
    """

    name: str
    architecture: str
    memory_bytes: int
    selector: str = ""


class Devices(NamedTuple):
    """What a machine has of one kind.

    Attributes:
        driver: the version of its driver; None without one, and where that does not tell.
        gpus: the devices, in the order of the driver.
        note: in words, what is there and does not work; None if all of it does, or none is there.
        two_versions: whether what does not work is that the kernel's module and the libraries are of two versions.
    """

    driver: DriverVersion | None = None
    gpus: tuple[Gpu, ...] = ()
    note: str | None = None
    two_versions: bool = False

    @property
    def found(self) -> bool:
        """Whether there is a driver that answers."""
        return self.driver is not None or bool(self.gpus)

    @property
    def architectures(self) -> tuple[str, ...]:
        """The architectures of its devices, each once."""
        return tuple(dict.fromkeys(gpu.architecture for gpu in self.gpus))

    @property
    def models(self) -> tuple[Gpu, ...]:
        """Its devices, of those of one name and architecture the first."""
        seen = {(gpu.name, gpu.architecture): gpu for gpu in reversed(self.gpus)}
        return tuple(gpu for gpu in self.gpus if seen[gpu.name, gpu.architecture] is gpu)


class Condition(NamedTuple):
    """The state that a device is in.

    Attributes:
        number: its number, by which its maker's tool is asked for it.
        name: what its driver calls it.
        selector: as in :class:`Gpu`.
        sharing: who may compute on it: `shared` by all, `exclusive` for one process, or `prohibited`.
        processes: the numbers of the processes that compute on it.
        uncorrected: errors of its memory since the last restart that it could not correct; None if it counts none.
        partitions: the devices that it is divided into; None if it is undivided.
        remapping: whether a faulty row of its memory waits for a reset to be replaced.
        worn: whether a faulty row of its memory could not be replaced.
        joining: whether it has still to join the fabric that it is a part of.
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
        """Whether a process that begins now is refused.

        Args:
            served: whether it goes through a server by which processes share devices.
        """
        return self.sharing == "prohibited" or (self.sharing == "exclusive" and bool(self.processes) and not served)


class SharingServer(NamedTuple):
    """A server of a driver's through which several processes share a device.

    Attributes:
        title: what people call it.
        variable: the variable that names its folder.
        folder: the folder where that is not set.
        control: what is in the folder where it serves; processes then go through it.
        process: the file in the folder with the number of its process.
        start: the command that starts it.
        stop: the command that ends it.
    """

    title: str
    variable: str
    folder: str
    control: str
    process: str
    start: str
    stop: str


class ContainerHelp(NamedTuple):
    """What a toolkit gives containers of a driver.

    Attributes:
        variable: the variable of a container that says which of the driver's libraries it is given.
        compute: the word in it for those that compute.
        every: the word for all.
        nodes: what a process opens in `/dev`.
        ask: the word for those through which the driver is asked.
        chooses: the variable of a container that says which devices it is given.
        none: its values for none.
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
        node: what a process opens in `/dev`.
    """

    folder: str
    node: str


class DriverHelp(NamedTuple):
    """What a person types, and reads, about the driver of a kind.

    Attributes:
        interface: what kgen asks the driver through.
        status: the command that says whether the driver works.
        listing: the command that lists its devices.
        too_old: what happens with a driver that is too old.
        consumer: a device for consumers, which the maker's packages for an older driver do not serve; empty if there
            is no such package.
        no_code: what happens on a device that code was not compiled for.
        library: the driver's own library; toolkits bring a stub of it for linking. Empty if there is none.
        library_file: the name that processes open it by.
        library_asked: a function in it that fills in the driver's version and starts no device.
        stub: what happens with such a stub.
        assembler: the program of its toolkit that makes machine code, which compilers start; empty if there is none.
        assembler_packages: the packages whose version is the toolkit's, without the major that a name may end with;
            the one with the program first.
        places: folders that its library is put into where no program looks by itself: a variable leads there.
        other_module: a module of the kernel that serves the devices in the place of the maker's driver.
        vendor: the PCI vendor of its devices, in lower-case hexadecimal; empty if they are on no such bus.
        install: distribution -> the command that installs a newer driver.
        docker: the options that give Docker's containers the devices.
        containers: container runtime -> how it is given the devices.
        kubernetes: the resource of Kubernetes that is one of the devices; empty where no plugin offers them.
        server: what lets processes share a device; None if there is no such.
        contained: what a container is given of it; None where nothing is known.
        wsl: what Windows gives Linux of it; None if it does not.
        logged: pattern of a line of the kernel's log that tells of a fault, with the groups `device` and `code`; empty
            if there is none.
        codes: such a code -> what it means, of those after which a device computes wrong or not at all.
        reset: the command that brings a device back; `{number}` in it is its number.
        names_begin: what the names of devices begin with, in the variables that choose devices; nothing where those
            take numbers alone, or are written otherwise.
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
    """What kgen knows of a kind of accelerator.

    Attributes:
        name: as in `matrix/accelerators.toml`, and after `--`.
        title: how people call it.
        maker: who makes its devices.
        device: one of them, with its article.
        help: of its flag.
        example: a version that can be typed; empty for a kind that has none.
        primitives: its library of the operations of neural networks.
        architecture: how people call what code is compiled for.
        architecture_example: one that can be typed.
        driver_example: a version of its driver to type; empty where the driver reports none.
        in_wheels: whether its libraries are in an environment's packages; else they are the machine's own.
        rank: the order in which kinds are offered; the CPU is last.
        driver_help: what help says about its driver.
        spelled: other words for it, in names of packages and of people.
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
        """One of its devices without the article: `NVIDIA GPU`."""
        return self.device.partition(" ")[2]

    @property
    def versioned(self) -> bool:
        """Whether it has versions, so that its flag takes one."""
        return bool(self.example)

    def describe(self, accelerator: Accelerator) -> str:
        """An accelerator of this kind for people: `CUDA 12.6`."""
        return f"{self.title} {accelerator.number}".strip()

    @abstractmethod
    def parse_architecture(self, text: str) -> str:
        """An architecture as this kind spells it, from what people write.

        Raises:
            ValueError: it is not one; says how one looks.
        """

    @abstractmethod
    def parse_driver(self, text: str) -> str:
        """A version of its driver.

        Raises:
            ValueError: it is not one; says how one looks.
        """

    @abstractmethod
    def fit(self, code: DeviceCode, architecture: str) -> Fit:
        """How code of a build runs on an architecture; nothing is known of a build without code."""

    @abstractmethod
    def probe(self) -> Devices:
        """What this machine has; a machine without such a device, or with a broken driver, is an answer."""

    def variant_facts(self, runs: str, architectures: Sequence[str]) -> Mapping[str, str]:
        """Variables that give a resolver which picks wheel variants the facts of a target; none where none is known.

        Args:
            runs: the newest version that the target's driver runs; empty where the driver is not known.
            architectures: those of the target's devices.
        """
        del runs, architectures
        return {}

    def conditions(self) -> tuple[Condition, ...]:
        """The state that each device is in; nothing where the driver does not report it, or was not asked yet."""
        return ()


@functools.cache
def names() -> tuple[str, ...]:
    """Every kind, sorted, by the names of modules; loads none of them."""
    return tuple(sorted(one.name for one in pkgutil.iter_modules(__path__)))


@functools.cache
def kind(name: str) -> Kind:
    """The kind of this name, which must be one of :func:`names`."""
    found: Kind = importlib.import_module(f"{__name__}.{name}").KIND
    return found


@functools.cache
def known() -> tuple[Kind, ...]:
    """Every kind, in the order in which they are offered; the CPU is last."""
    return tuple(sorted(map(kind, names()), key=lambda one: (one.rank, one.name)))


def probed() -> tuple[Kind, ...]:
    """The kinds whose devices a machine can be asked for."""
    return tuple(one for one in known() if one.name != CPU.kind)


def pattern() -> str:
    """The end of an environment's name that says what it computes on, and on which Python: `cpu`, `cuda12-py311`."""
    return rf"(?:{'|'.join(names())})[0-9]*(?:-py[0-9]+)?"


def without_ending(environment: str) -> str:
    """What an environment is called before its accelerator: `jax` for `jax-cuda12` and `jax-cuda12-py311`."""
    return re.sub(f"-{pattern()}$", "", environment)


def in_name(environment: str) -> Accelerator:
    """The accelerator in the name of an environment: CUDA 12 for `jax-cuda12` and `jax-cuda12-py311`."""
    return named(environment.removeprefix(f"{without_ending(environment)}-").partition("-")[0])


def named(text: str) -> Accelerator:
    """The accelerator of an environment's name: `cuda12`, `cpu`.

    Raises:
        ValueError: there is no such kind.
    """
    found = Accelerator.named(grammar.accelerator(text))
    if found.kind not in names():
        raise ValueError(f"`{grammar.shown(text)}` is not an accelerator: one of {', '.join(names())}, with a major")
    return found


def title(accelerator: Accelerator) -> str:
    """An accelerator for people: `CUDA 12.6`, `the CPU`."""
    return kind(accelerator.kind).describe(accelerator)
