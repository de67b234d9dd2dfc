"""Gathers what surrounds an environment on this machine and may interfere with it, without judging it.

Every fact states its source, so that the reader of a message can look there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kgen import files, host, limits, process, shells
from kgen.accelerators import Kind
from kgen.errors import KgenError
from kgen.limits import Processors
from kgen.loader import environment, search, versions
from kgen.loader.environment import Carried
from kgen.loader.search import Process, System
from kgen.model.driver import DriverVersion

_REFUSED = 3
_ASK = f"""
import ctypes, sys
number = ctypes.c_int(0)
ask = getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])
sys.exit({_REFUSED} if ask(ctypes.byref(number)) != 0 or number.value == 0 else 0)
"""
"""Asks a driver's library for its version, which starts no GPU; a stub refuses."""

_RECORDS, _RECORD = 65536, 8192
"""So many records of the kernel's log are read at most, each of so many bytes: the kernel's own limit."""

_DISPLAY = "0x03"
"""The PCI class of display controllers, which includes GPUs without a display."""

_OWN_GROUPS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""The control groups of this process, and where they are mounted."""

_FOR_ALL = ("/etc/environment", "~/.config/environment.d/*.conf", "~/.pam_environment")
"""Files that set variables for every shell of a user."""


class Library(NamedTuple):
    """A shared library that this machine offers to every process.

    Attributes:
        stem: its name, such as `libcudnn`.
        version: the version of the package that installed it, or the version inside it; None if unknown.
        path: the file.
        via: why the loader looks there: `LD_LIBRARY_PATH`, `LD_PRELOAD`, `/etc/ld.so.preload` or `ldconfig`.
    """

    stem: str
    version: str | None
    path: str
    via: str


class DriverLibrary(NamedTuple):
    """A driver's own library, as a process finds it.

    Attributes:
        stem: its name, such as `libcuda`.
        path: the file that the loader opens.
        via: the rule that finds it.
        answers: whether there is a driver behind it; None if kgen could not ask it.
        fault: why the loader fails to load the file; None if it does not fail.
        version: the driver version in the file's name; None if the name has none.
    """

    stem: str
    path: str
    via: str
    answers: bool | None
    fault: str | None = None
    version: DriverVersion | None = None


class Assembler(NamedTuple):
    """A program that makes machine code for a device, and that a variable points compilers to.

    Attributes:
        variable: the variable, such as `PATH` or `CUDA_HOME`.
        path: the program.
        version: the release of its toolkit, such as `11.8`; None if it did not say.
    """

    variable: str
    path: str
    version: str | None


class DeviceFault(NamedTuple):
    """A fault of a device in the kernel's log.

    Attributes:
        device: its bus address.
        code: the driver's number for this kind of fault.
        times: how often it was logged.
    """

    device: str
    code: str
    times: int


class Scratch(NamedTuple):
    """The folder for temporary files.

    Attributes:
        folder: the folder.
        free: the bytes that can be written there; None if unknown.
        executable: whether files there can be loaded as libraries.
    """

    folder: str
    free: int | None
    executable: bool = True


class Server(NamedTuple):
    """The server through which processes of this user share a device.

    Attributes:
        folder: its folder.
        runs: whether its process is running; None if unknown.
        owner: the ID of its user, if that is neither root nor this user; else None.
        serves: whether its folder exists; without one it does not serve, whatever variables name.
    """

    folder: str
    runs: bool | None
    owner: int | None = None
    serves: bool = True


class KerasSettings(NamedTuple):
    """Keras's own settings file.

    Attributes:
        path: the file.
        values: its content; None if it is not JSON, in which case Keras silently ignores it.
    """

    path: Path
    values: Mapping[str, Any] | None


class Surroundings(NamedTuple):
    """What surrounds an environment.

    Attributes:
        variables: the environment variables of this process.
        libraries: an accelerator's libraries that LD_PRELOAD, LD_LIBRARY_PATH and ldconfig offer, in that order.
        keras: Keras's own settings; None if there are none.
        container: the kind of container that this process runs in, such as `docker`; None outside of containers.
        gpu_vendors: the PCI vendor IDs of the GPUs; None if unknown.
        distribution: the ID of the Linux distribution, such as `debian`, and those that it resembles.
        set_in: variable -> the places, as `file:line`, where a shell's start-up file mentions it.
        driver_library: the driver's own library; None if there is none, or kgen did not look for it.
        driver_elsewhere: the driver's own library in a folder that the loader does not search; None if there is none.
        assemblers: programs of an accelerator's toolkit that variables point to.
        modules: the loaded kernel modules.
        nodes: the entries of `/dev`; None if unknown.
        wsl: whether this Linux runs under Windows.
        faults: device faults in the kernel's log, as far as this user may read it.
        server: the server through which processes share a device; None if there is none.
        memory: the bytes of memory that processes may still use; None if unknown.
        shared_memory: the size of `/dev/shm` in bytes; None if unknown.
        scratch: the folder for temporary files; None if unknown.
        writable_home: whether this user may write to the home folder; None if unknown.
        processor: Linux's names for this processor's extensions of x86-64; None for other processors, or if unknown.
        addresses: the limit of a process's address space in bytes (`ulimit -v`); None for no limit.
        interfaces: the network interfaces; None if unknown.
        processors: the processors that processes may use; None if unknown.
        threads_left: how many more threads may be started; None for no limit.
        threads_refused: whether a system call filter (seccomp) refuses every new thread.
    """

    variables: Mapping[str, str]
    libraries: tuple[Library, ...]
    keras: KerasSettings | None
    container: str | None
    gpu_vendors: frozenset[str] | None
    distribution: tuple[str, ...]
    set_in: Mapping[str, tuple[str, ...]]
    driver_library: DriverLibrary | None = None
    driver_elsewhere: str | None = None
    assemblers: tuple[Assembler, ...] = ()
    modules: frozenset[str] = frozenset()
    nodes: frozenset[str] | None = None
    wsl: bool = False
    faults: tuple[DeviceFault, ...] = ()
    server: Server | None = None
    memory: int | None = None
    shared_memory: int | None = None
    scratch: Scratch | None = None
    writable_home: bool | None = None
    processor: frozenset[str] | None = None
    addresses: int | None = None
    interfaces: frozenset[str] | None = None
    processors: Processors | None = None
    threads_left: int | None = None
    threads_refused: bool = False


UNKNOWN = Surroundings(
    variables=MappingProxyType({}),
    libraries=(),
    keras=None,
    container=None,
    gpu_vendors=None,
    distribution=(),
    set_in=MappingProxyType({}),
)
"""What surrounds an environment on a machine that is only described."""


def gather(
    interesting: Sequence[str],
    known: Mapping[str, Carried] = MappingProxyType({}),
    kinds: Sequence[Kind] = (),
    rules: System | None = None,
) -> Surroundings:
    """Examine this machine.

    Args:
        interesting: patterns of variable names whose places in start-up files to look up.
        known: the accelerator's libraries: stem, such as `cudnn` -> the packages that contain it.
        kinds: the kinds of accelerator whose driver library to query.
        rules: the loader's rules on this machine, if they are known already.
    """
    variables = host.variables()
    rules = rules or search.system(variables)
    driver = next(filter(None, (_driver_library(kind, rules) for kind in kinds)), None)
    return Surroundings(
        variables=variables,
        libraries=tuple(
            Library(f"lib{stem}", versions.of(path, known[stem].packages, known[stem].text), str(path), via)
            for stem, path, via in environment.offered(rules, known)
            if stem in known
        ),
        keras=_keras(variables),
        container=_container(variables),
        gpu_vendors=_gpu_vendors(Path("/sys/bus/pci/devices")),
        distribution=_distribution(Path("/etc/os-release")),
        set_in=_mentions(interesting),
        driver_library=driver,
        driver_elsewhere=None if driver else next(filter(None, map(driver_elsewhere, kinds)), None),
        assemblers=tuple(one for kind in kinds for one in assemblers(kind, variables)),
        modules=_modules(Path("/proc/modules")),
        nodes=_nodes(Path("/dev")),
        wsl="microsoft" in _reads(Path("/proc/sys/kernel/osrelease")).lower(),
        faults=next(filter(None, (faults(kind, _kernel_log()) for kind in kinds if kind.driver_help.logged)), ()),
        server=next(filter(None, (server_of(kind, variables) for kind in kinds)), None),
        memory=limits.memory_left(Path("/proc/meminfo"), _OWN_GROUPS, _GROUPS),
        shared_memory=_size(Path("/dev/shm")),  # noqa: S108 - looked at, not written to
        scratch=scratch(host.temporary_folder()),
        writable_home=_may_write(host.home()),
        processor=search.additions(),
        addresses=limits.addresses(),
        interfaces=_nodes(Path("/sys/class/net")),
        processors=limits.processors(_OWN_GROUPS, _GROUPS),
        threads_left=limits.threads_left(_OWN_GROUPS, _GROUPS, Path("/proc")),
        threads_refused=limits.are_threads_refused(),
    )


def free_bytes(folder: Path) -> int | None:
    """The bytes that can be written where this folder is, or will be; None if unknown."""
    for existing in (folder, *folder.parents):
        if files.is_folder(existing):
            try:
                return shutil.disk_usage(existing).free
            except OSError:
                return None
    return None


# -- libraries ---------------------------------------------------------------------------------------------------------


def _driver_library(kind: Kind, rules: System) -> DriverLibrary | None:
    """A driver's own library as a process finds it, asked for its version in a separate process."""
    says = kind.driver_help
    if not says.library_file:
        return None
    program = Path(sys.executable)
    here = Process(rules, program)
    found = here.open_name(says.library_file, program)
    if found.path is None or found.passed_over:
        return None
    path = str(found.path)
    # what LD_PRELOAD has brought is there already: how it came counts
    via = next((one.via for one in here.openings if one.path == found.path and one.via != search.LOADED), found.via)
    if found.fault is not None:
        return DriverLibrary(says.library, path, via, answers=False, fault=found.fault)
    try:
        done = process.run([sys.executable, "-I", "-S", "-c", _ASK, path, says.library_asked], timeout=10)
    except KgenError:
        return DriverLibrary(says.library, path, via, answers=None)
    answers = {0: True, _REFUSED: False}.get(done.status)
    return DriverLibrary(says.library, path, via, answers, version=version_of(found.path))


def driver_elsewhere(kind: Kind, root: Path = Path("/")) -> str | None:
    """A driver's own library in a folder that the loader searches only if a variable names it; None if there is none.

    Args:
        kind: the kind of accelerator.
        root: the root of the file system to look in.
    """
    says = kind.driver_help
    places = [f"{folder}/{says.library_file}" for folder in says.places]
    return next((place for place in places if files.exists(root / place.lstrip("/"))), None)


def assemblers(kind: Kind, variables: Mapping[str, str]) -> Iterator[Assembler]:
    """The programs that variables point compilers to, each asked for its release as compilers do."""
    name, home = kind.driver_help.assembler, variables.get("CUDA_HOME")
    if not name:
        return
    for variable, folders in (("PATH", variables.get("PATH", "")), ("CUDA_HOME", f"{home}/bin" if home else "")):
        path = shutil.which(name, path=folders) if folders else None
        if path is None:
            continue
        try:
            told = process.run([path, "--version"], timeout=10).stdout
        except KgenError:
            told = ""
        match = re.search(r"\brelease ([0-9]+\.[0-9]+)", told)
        yield Assembler(variable, path, None if match is None else match[1])


def version_of(library: Path) -> DriverVersion | None:
    """The version in the name of a driver's library, such as `libcuda.so.615.71.09`."""
    name = files.resolved(library).name
    try:
        return DriverVersion(name.partition(".so.")[2])
    except ValueError:
        return None


# -- Keras, containers, hardware ---------------------------------------------------------------------------------------


def _keras(variables: Mapping[str, str]) -> KerasSettings | None:
    named = variables.get("KERAS_HOME")
    home = host.home()
    folder = Path(named).expanduser() if named else home / ".keras" if home else None
    if folder is None:
        return None
    path = folder / "keras.json"
    try:
        values = json.loads(files.read(path, files.SMALL))
    except OSError:
        return None
    except (ValueError, RecursionError):
        return KerasSettings(path, None)
    return KerasSettings(path, values if isinstance(values, dict) else None)


def _container(variables: Mapping[str, str], root: Path = Path("/")) -> str | None:
    """The kind of container that this process runs in.

    Source of what is not specific to one tool: systemd, "The Container Interface". The container manager gives its name
    to the container's first process in a variable, which systemd stores for the others.
    """
    signs = {
        "docker": files.exists(root / ".dockerenv"),
        "podman": files.exists(root / "run/.containerenv"),
        "apptainer": "APPTAINER_CONTAINER" in variables or "SINGULARITY_CONTAINER" in variables,
        # what Slurm's pyxis starts: it keeps its lock there by a mount
        "enroot": files.is_folder(root / ".enroot") or " /.lock " in _reads(root / "proc/self/mountinfo"),
        "charliecloud": "CH_RUNNING" in variables,
        "kubernetes": "KUBERNETES_SERVICE_HOST" in variables,
    }
    sign = next((kind for kind, there in signs.items() if there), None)
    if sign is not None:
        return sign
    named = _reads(root / "run/systemd/container") or variables.get("container", "")
    return named if re.fullmatch("[a-z][a-z-]*", named) and named != "wsl" else None


def _gpu_vendors(devices: Path) -> frozenset[str] | None:
    try:
        found = list(devices.iterdir())
    except OSError:
        return None
    shown = [path for path in found if _reads(path / "class").startswith(_DISPLAY)]
    return frozenset(_reads(path / "vendor").removeprefix("0x") for path in shown)


def _reads(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _distribution(release: Path) -> tuple[str, ...]:
    try:
        text = release.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ()
    found = dict(re.findall(r'^(ID|ID_LIKE)="?([^"\n]*)"?$', text, re.MULTILINE))
    return tuple(dict.fromkeys(f"{found.get('ID', '')} {found.get('ID_LIKE', '')}".split()))


def _modules(listing: Path) -> frozenset[str]:
    """The loaded kernel modules; none if unknown."""
    try:
        lines = listing.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(line.split(" ")[0] for line in lines)


def _nodes(folder: Path) -> frozenset[str] | None:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError:
        return None


def _kernel_log(device: Path = Path("/dev/kmsg")) -> tuple[str, ...]:
    """The lines of the kernel's log; none if this user may not read it."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ()
    lines = []
    try:
        for _ in range(_RECORDS):
            try:
                record = os.read(handle, _RECORD)
            except BrokenPipeError:  # overwritten meanwhile: the next read is of the oldest that is there
                continue
            if not record:
                break
            lines.append(record.decode("utf-8", "replace").partition(";")[2])
    except OSError:  # as BlockingIOError: that was the last
        pass
    finally:
        os.close(handle)
    return tuple(lines)


def faults(kind: Kind, lines: Sequence[str]) -> tuple[DeviceFault, ...]:
    """The device faults of a kind that lines of the kernel's log report, each once."""
    pattern = re.compile(kind.driver_help.logged)
    found = [(match["device"], match["code"]) for match in map(pattern.search, lines) if match is not None]
    return tuple(DeviceFault(*one, found.count(one)) for one in dict.fromkeys(found))


def server_of(kind: Kind, variables: Mapping[str, str], processes: Path = Path("/proc")) -> Server | None:
    """The server of a kind that processes in this environment would use; None if they use none."""
    says = kind.driver_help.server
    if says is None:
        return None
    named = variables.get(says.variable)
    folder = Path(named or says.folder)
    try:
        owner = (folder / says.control).stat().st_uid
    except OSError:
        return Server(str(folder), None, serves=False) if named else None
    number = _reads(folder / says.process)
    runs = files.exists(processes / number) if number.isdigit() else None
    return Server(str(folder), runs, owner if owner not in {0, os.geteuid()} else None)


def _size(folder: Path) -> int | None:
    try:
        facts = os.statvfs(folder)
    except OSError:
        return None
    return facts.f_blocks * facts.f_frsize


def scratch(folder: Path) -> Scratch:
    """The facts about a folder for temporary files."""
    try:
        executable = not os.statvfs(folder).f_flag & os.ST_NOEXEC
    except OSError:
        return Scratch(str(folder), None)
    return Scratch(str(folder), free_bytes(folder), executable)


def _may_write(folder: Path | None) -> bool | None:
    """Whether this user may write to the folder, False if it does not exist; None without a folder."""
    return None if folder is None else os.access(folder, os.W_OK)


def _mentions(patterns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    home = host.home()
    found: dict[str, list[str]] = {}
    wanted = re.compile(rf"\b({'|'.join(patterns)})\b") if patterns else None
    for pattern in (*_FOR_ALL, *(one for shell in shells.known() for one in shell.user_files)) if wanted else ():
        if pattern.startswith("~"):
            if home is None:
                continue
            paths = files.matching(home, pattern.removeprefix("~/"))
        else:
            paths = files.matching(Path("/"), pattern.removeprefix("/"))
        for path in paths:
            try:
                lines = files.read_text(path, errors="replace").splitlines()
            except OSError:
                continue
            for number, line in enumerate(lines, start=1):
                if wanted and not line.lstrip().startswith("#") and (match := wanted.search(line)):
                    found.setdefault(match[1], []).append(f"{path}:{number}")
    return {name: tuple(places) for name, places in found.items()}
