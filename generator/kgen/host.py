"""What this machine has: its platform, its C library, its drivers and its GPUs.

The only module that reads the process's environment variables. It judges nothing that it finds.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TextIO

from kgen import accelerators, caches, files, replay
from kgen.accelerators import Devices
from kgen.errors import SettingsError

if TYPE_CHECKING:
    from packaging.version import Version


_SUBDIRS = {
    ("Linux", "x86_64"): "linux-64",
    ("Linux", "aarch64"): "linux-aarch64",
    ("Darwin", "arm64"): "osx-arm64",
    ("Windows", "amd64"): "win-64",
}
_PYTHON_VERSION = ".python-version"
_NUMBER = r"(?:c?python[@-]?)?(?P<minor>3\.[0-9]{1,2})(?:\.[0-9]+)?(?:(?:a|b|rc)[0-9]+)?"
_MINOR = rf"{_NUMBER}(?:-[\w.-]+)?"
_FREE_THREADED = rf"{_NUMBER}(?:t|\+freethreaded)(?:-[\w.-]+)?"
_OTHER_PYTHONS = (
    "pypy",
    "graalpy",
    "graalvm",
    "jython",
    "ironpython",
    "micropython",
    "miniconda",
    "anaconda",
)
_CONDA_KIN = ("conda", "mamba", "micromamba", "pixi")
_SHOWN = 60
"""Characters of an unexpected line that messages show; the file may contain anything."""


def variable(name: str) -> str | None:
    """The environment variable of this name; None if it is not set."""
    return os.environ.get(name)


def find_links() -> tuple[str, ...]:
    """The folders and pages in UV_FIND_LINKS, split as uv splits them."""
    return tuple((variable("UV_FIND_LINKS") or "").replace(",", " ").split())


def cache(name: str) -> Path:
    """A folder in kgen's cache, which KGEN_CACHE_DIR moves; it may not exist yet.

    Raises:
        RuntimeError: this user has no home folder.
    """
    return Path(caches.folder(name))


OFFLINE = "UV_OFFLINE"
"""The variable that keeps uv, and also kgen, from using the network."""


def is_offline() -> bool:
    """Whether kgen may not use the network: `--offline`, or uv's variable."""
    return (variable(OFFLINE) or "").strip().lower() in {"1", "true", "yes", "on", "t", "y"}


def variables() -> dict[str, str]:
    """Every environment variable of this process."""
    return dict(os.environ)


@contextlib.contextmanager
def lent(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set or unset variables while the `with` block runs. All threads see them, and child processes inherit them."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def program(name: str, path: str | None = None) -> str | None:
    """The first program of this name on PATH, or on the given path; None if there is none."""
    places = os.get_exec_path(None if path is None else {"PATH": path})
    files = (os.path.join(place, name) for place in places)  # noqa: PTH118 - asked at each start
    return next((file for file in files if _is_program(file)), None)


def _is_program(file: str) -> bool:
    replay.looked(file)
    return os.path.isfile(file) and os.access(file, os.X_OK)  # noqa: PTH113 - as above


def has_program(name: str, path: str | None = None) -> bool:
    """Whether PATH, or the given path, has a program of this name."""
    return program(name, path) is not None


def home() -> Path | None:
    """The user's home folder; None if it is unknown."""
    try:
        return files.resolved(Path.home())
    except (RuntimeError, OSError):
        return None


def seconds(usual: float) -> float:
    """The time limit for everything that queries an index or a channel: KGEN_TIMEOUT, or the usual limit.

    Raises:
        SettingsError: the variable is not a number of seconds.
    """
    text = variable("KGEN_TIMEOUT")
    if not text:
        return usual
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise SettingsError(
            f"KGEN_TIMEOUT: `{ascii(text)[1:-1][:40]}` is not a number of seconds",
            hints=[f"export KGEN_TIMEOUT={usual:g}"],
        )
    return found


def temporary_folder() -> Path:
    """The system's temporary folder. Python's own `tempfile` gives the same, but is slower to import."""
    named = [os.environ[name] for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)]
    for text in (*named, "/tmp", "/var/tmp", "/usr/tmp"):  # noqa: S108 - where the others are named
        if os.path.isdir(text) and os.access(text, os.W_OK | os.X_OK):  # noqa: PTH112 - asked at each start
            return Path(os.path.abspath(text))  # noqa: PTH100 - of a path that may be relative
    return Path.cwd()


def pyenv_interpreters(minor: str) -> list[Path]:
    """The CPythons of this minor that pyenv has installed, newest patch first.

    uv searches PATH, where pyenv puts only its selected versions, and for the others programs that fail.
    """
    root = os.environ.get("PYENV_ROOT")
    place = Path(root) if root else (home() or Path("/nonexistent")) / ".pyenv"
    found = files.matching(place, f"versions/{minor}.*/bin/python{minor}")
    patches = {path: re.fullmatch(rf"{re.escape(minor)}\.(\d+)", path.parents[1].name) for path in found}
    return sorted(
        (path for path, match in patches.items() if match), key=lambda p: -int(p.parents[1].name.split(".")[2])
    )


def own_interpreter(minor: str) -> Path | None:
    """The interpreter that runs kgen, outside its virtual environment, if it is a plain CPython of this minor.

    None if the user tells uv which interpreter to take, and for a conda interpreter, which belongs to its environment.
    """
    if any(name.startswith("UV_PYTHON") and name != "UV_PYTHON_DOWNLOADS" for name in os.environ):
        return None
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    plain = (
        sys.implementation.name == "cpython"
        and not sys.abiflags
        and not files.exists(Path(sys.base_prefix, "conda-meta"))
    )
    return _base_interpreter(own) if plain and own == minor else None


def _base_interpreter(minor: str) -> Path | None:
    """The interpreter of this minor that the virtual environment kgen is in was made with; outside of one, itself."""
    base = getattr(sys, "_base_executable", None)
    if not base or sys.prefix == sys.base_prefix or base != sys.executable:
        return Path(base) if base else None
    # Python 3.10 takes the environment's own for it; what is made with that breaks when the environment goes
    named = (Path(sys.base_prefix, "bin", name) for name in (f"python{minor}", "python3", "python"))
    return next((path for path in named if files.is_file(path)), None)


def conda_program() -> str | None:
    """The name of the installed conda program or a compatible one; None if kgen finds none that it knows."""
    import shutil  # noqa: PLC0415 - as above

    named = os.environ.get("CONDA_EXE")
    found = next((name for name in _CONDA_KIN if shutil.which(name)), None)
    return found or (Path(named).name if named else None)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether this stream is connected to a terminal. A closed or missing stream is not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


class Host(NamedTuple):
    """This machine.

    Attributes:
        platform: its platform, as a conda subdir; None if conda has no platform for it that kgen knows.
        glibc: the version of its glibc; None if it has another C library.
        devices: kind of accelerator -> its devices, in the order in which kgen offers kinds; without kinds that have
            none.
    """

    platform: str | None = None
    glibc: Version | None = None
    devices: Mapping[str, Devices] = MappingProxyType({})

    def of(self, kind: str) -> Devices:
        """The devices of a kind."""
        return self.devices.get(kind, Devices())

    @property
    def best(self) -> str:
        """The first kind that has devices; if none has, the kind that kgen offers first."""
        with_gpus = (name for name, one in self.devices.items() if one.gpus)
        return next(with_gpus, None) or next(iter(self.devices), accelerators.probed()[0].name)


def subdir() -> str | None:
    """The conda subdir of this machine; None if conda has none that kgen knows."""
    system = os.uname()
    return _SUBDIRS.get((system.sysname, system.machine.lower()))


def inspect() -> Host:
    """What this machine has. A machine without a GPU, or with a broken driver, is a result and not an error."""
    found = {kind.name: kind.probe() for kind in accelerators.probed()}
    return Host(
        platform=subdir(),
        glibc=glibc(),
        devices={name: one for name, one in found.items() if one != Devices()},
    )


def python_version_file(folder: Path) -> str | None:
    """The CPython minor that `.python-version` in this folder asks for, such as `3.12`.

    pyenv and uv use this file. Its first line that is neither empty nor a comment counts: `3.12`, `3.12.4`,
    `cpython@3.12` or `cpython-3.12.1-linux-x86_64-gnu`.

    Returns:
        None if the file is missing or empty.

    Raises:
        OutsideError: the file cannot be read.
        SettingsError: it asks for something other than a CPython.
    """
    path = folder / _PYTHON_VERSION
    try:
        lines = files.read_text(path, encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise files.unreadable(path, error, hints=["give the version with `--python 3.12`"]) from error
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text", hints=[f"echo 3.12 > {_PYTHON_VERSION}"]) from None
    asked = next((line for line in map(str.strip, lines) if line and not line.startswith("#")), None)
    if asked is None:
        return None
    match = re.fullmatch(_MINOR, asked.lower())
    if match is not None:
        return match["minor"]
    shown = repr(asked if len(asked) <= _SHOWN else asked[:_SHOWN] + "…")
    threaded = re.fullmatch(_FREE_THREADED, asked.lower())
    if threaded is not None:
        minor = threaded["minor"]
        raise SettingsError(
            f"{path} asks for {shown}, the free-threaded build of Python {minor}, for which the matrix has no wheels",
            hints=[f"give the version with `--python {minor}`", f"echo {minor} > {_PYTHON_VERSION}"],
        )
    if asked.lower().startswith(_OTHER_PYTHONS):
        problem = f"{path} asks for {shown}; the frameworks have wheels for CPython only"
    else:
        problem = f"{path} asks for {shown}, which names no minor of CPython such as 3.12"
    raise SettingsError(problem, hints=["give the version with `--python 3.12`", f"echo 3.12 > {_PYTHON_VERSION}"])


def glibc() -> Version | None:
    """The version of glibc that this process uses; None if it uses another C library."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        # Windows has no `confstr`; macOS and musl have it without this name.
        return None
    from packaging.version import Version  # noqa: PLC0415 - most of kgen needs of this module what is light

    # A distribution may append to the version.
    match = re.match(r"glibc ([0-9]+\.[0-9]+)", text)
    return None if match is None else Version(match[1])
