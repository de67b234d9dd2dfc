"""What surrounds an environment on this machine and may get in its way; gathered, not judged.

Every fact says where it is from, so that whoever is told of it can go there.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kgen import files, host, process, shells
from kgen.accelerators import Kind
from kgen.errors import KgenError
from kgen.loader import environment, search, versions
from kgen.loader.environment import Carried
from kgen.loader.search import Process, System

_REFUSED = 3
_ASK = f"""
import ctypes, sys
number = ctypes.c_int(0)
ask = getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])
sys.exit({_REFUSED} if ask(ctypes.byref(number)) != 0 or number.value == 0 else 0)
"""
"""Asks a driver's library for its version, which starts no GPU; a stub refuses."""

_DISPLAY = "0x03"
"""The class of PCI devices that show something, GPUs without a display among them."""

_FOR_ALL = ("/etc/environment", "~/.config/environment.d/*.conf", "~/.pam_environment")
"""Files that give variables to every shell of a user."""


class Library(NamedTuple):
    """A shared library that this machine offers to any process.

    Attributes:
        stem: its name, as `libcudnn`.
        version: that of what it was installed with, or what stands in it; None if nothing tells.
        path: the file.
        via: what makes the loader look there: `LD_LIBRARY_PATH`, `LD_PRELOAD` or `ldconfig`.
    """

    stem: str
    version: str | None
    path: str
    via: str


class DriverLibrary(NamedTuple):
    """A driver's own library, as a process finds it.

    Attributes:
        stem: its name, as `libcuda`.
        path: the file that the loader opens.
        via: the rule that finds it.
        answers: whether there is a driver behind it; None if it could not be asked.
        fault: why the loader fails on the file; None if it does not.
    """

    stem: str
    path: str
    via: str
    answers: bool | None
    fault: str | None = None


class KerasSettings(NamedTuple):
    """Keras's own file of settings.

    Attributes:
        path: the file.
        values: what is in it; None if it is not JSON, so that Keras ignores it without a word.
    """

    path: Path
    values: Mapping[str, Any] | None


class Surroundings(NamedTuple):
    """What surrounds an environment.

    Attributes:
        variables: the environment variables of this process.
        libraries: what LD_PRELOAD, LD_LIBRARY_PATH and ldconfig offer of an accelerator's libraries, in that order.
        keras: Keras's own settings; None if there are none.
        container: the kind of container that this process is in, as `docker`; None if in none.
        gpu_vendors: the makers of the GPUs on the PCI bus, by their numbers there; None where there is no telling.
        distribution: the ID of the Linux distribution, as `debian`, and those it resembles.
        set_in: variable -> the places, as `file:line`, where a start-up file of a shell mentions it.
        driver_library: the driver's own library; None where there is none, or nobody asked.
        modules: the modules of the kernel.
    """

    variables: Mapping[str, str]
    libraries: tuple[Library, ...]
    keras: KerasSettings | None
    container: str | None
    gpu_vendors: frozenset[str] | None
    distribution: tuple[str, ...]
    set_in: Mapping[str, tuple[str, ...]]
    driver_library: DriverLibrary | None = None
    modules: frozenset[str] = frozenset()


UNKNOWN = Surroundings(
    variables=MappingProxyType({}),
    libraries=(),
    keras=None,
    container=None,
    gpu_vendors=None,
    distribution=(),
    set_in=MappingProxyType({}),
)
"""What surrounds an environment on a machine of which only a description is known."""


def gather(
    interesting: Sequence[str],
    known: Mapping[str, Carried] = MappingProxyType({}),
    kinds: Sequence[Kind] = (),
    rules: System | None = None,
) -> Surroundings:
    """Look around.

    Args:
        interesting: patterns of variables' names; where start-up files set them is looked up.
        known: the accelerator's libraries: stem, as `cudnn` -> who carries it.
        kinds: the kinds of accelerator whose driver's library is asked.
        rules: what the loader goes by here, where that is known already.
    """
    variables = host.variables()
    rules = rules or search.system(variables)
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
        driver_library=next(filter(None, (_driver_library(kind, rules) for kind in kinds)), None),
        modules=_modules(Path("/proc/modules")),
    )


def free_bytes(folder: Path) -> int | None:
    """The bytes that may be written where this folder is, or will be; None if there is no telling."""
    for existing in (folder, *folder.parents):
        if existing.is_dir():
            try:
                return shutil.disk_usage(existing).free
            except OSError:
                return None
    return None


# -- libraries ---------------------------------------------------------------------------------------------------------


def _driver_library(kind: Kind, rules: System) -> DriverLibrary | None:
    """A driver's own library as a process finds it, asked for its version in a process of its own."""
    says = kind.driver_help
    if not says.library_file:
        return None
    program = Path(sys.executable)
    found = Process(rules, program).open_name(says.library_file, program)
    if found.path is None:
        return None
    if found.fault is not None:
        return DriverLibrary(says.library, str(found.path), found.via, answers=False, fault=found.fault)
    try:
        done = process.run([sys.executable, "-I", "-S", "-c", _ASK, str(found.path), says.library_asked], timeout=10)
    except KgenError:
        return DriverLibrary(says.library, str(found.path), found.via, answers=None)
    answers = {0: True, _REFUSED: False}.get(done.status)
    return DriverLibrary(says.library, str(found.path), found.via, answers)


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


def _container(variables: Mapping[str, str]) -> str | None:
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    if "APPTAINER_CONTAINER" in variables or "SINGULARITY_CONTAINER" in variables:
        return "apptainer"
    return "kubernetes" if "KUBERNETES_SERVICE_HOST" in variables else None


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
    """The modules of the kernel; none where there is no telling."""
    try:
        lines = listing.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(line.split(" ")[0] for line in lines)


def _mentions(patterns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    home = host.home()
    found: dict[str, list[str]] = {}
    wanted = re.compile(rf"\b({'|'.join(patterns)})\b") if patterns else None
    for pattern in (*_FOR_ALL, *(one for shell in shells.known() for one in shell.user_files)) if wanted else ():
        if pattern.startswith("~"):
            if home is None:
                continue
            paths = sorted(home.glob(pattern.removeprefix("~/")))
        else:
            paths = sorted(Path("/").glob(pattern.removeprefix("/")))
        for path in paths:
            try:
                lines = files.read_text(path, errors="replace").splitlines()
            except OSError:
                continue
            for number, line in enumerate(lines, start=1):
                if wanted and not line.lstrip().startswith("#") and (match := wanted.search(line)):
                    found.setdefault(match[1], []).append(f"{path}:{number}")
    return {name: tuple(places) for name, places in found.items()}
