"""What surrounds an environment on this machine and may get in its way; gathered, not judged.

Every fact says where it is from, so that whoever is told of it can go there.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgen import files, host, process, shells
from kgen.errors import KgenError

_LIBRARY = r"(?P<stem>lib[A-Za-z0-9_+]+)\.so(?:\.(?P<version>[0-9.]+))?"
_DISPLAY = "0x03"
"""The class of PCI devices that show something, GPUs without a display among them."""

_FOR_ALL = ("/etc/environment", "~/.config/environment.d/*.conf", "~/.pam_environment")
"""Files that give variables to every shell of a user."""


class Library(NamedTuple):
    """A shared library that the loader may take.

    Attributes:
        stem: its name, as `libcudnn`.
        version: the longest version that its file names tell, as `9.10.2`; None if they tell none.
        path: the file.
        via: what makes the loader look there: `LD_LIBRARY_PATH`, `LD_PRELOAD` or `ldconfig`.
    """

    stem: str
    version: str | None
    path: str
    via: str

    @property
    def stub(self) -> bool:
        """Whether it is one to link against only."""
        return "stubs" in Path(self.path).parts


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
        libraries: what LD_PRELOAD, LD_LIBRARY_PATH and ldconfig offer, in the loader's order.
        keras: Keras's own settings; None if there are none.
        container: the kind of container that this process is in, as `docker`; None if in none.
        gpu_vendors: the makers of the GPUs on the PCI bus, by their numbers there; None where there is no telling.
        distribution: the ID of the Linux distribution, as `debian`, and those it resembles.
        set_in: variable -> the places, as `file:line`, where a start-up file of a shell mentions it.
    """

    variables: Mapping[str, str]
    libraries: tuple[Library, ...]
    keras: KerasSettings | None
    container: str | None
    gpu_vendors: frozenset[str] | None
    distribution: tuple[str, ...]
    set_in: Mapping[str, tuple[str, ...]]


def gather(interesting: Sequence[str]) -> Surroundings:
    """Look around.

    Args:
        interesting: patterns of variables' names; where start-up files set them is looked up.
    """
    variables = host.variables()
    return Surroundings(
        variables=variables,
        libraries=tuple(_libraries(variables)),
        keras=_keras(variables),
        container=_container(variables),
        gpu_vendors=_gpu_vendors(Path("/sys/bus/pci/devices")),
        distribution=_distribution(Path("/etc/os-release")),
        set_in=_mentions(interesting),
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


def _libraries(variables: Mapping[str, str]) -> Iterator[Library]:
    for word in re.split("[ :]+", variables.get("LD_PRELOAD", "")):
        if match := re.fullmatch(_LIBRARY, Path(word).name):
            yield Library(match["stem"], _version(Path(word)), word, "LD_PRELOAD")
    for folder in variables.get("LD_LIBRARY_PATH", "").split(":"):
        # an empty entry is the folder that one is in
        yield from _in_folder(Path(folder or "."), "LD_LIBRARY_PATH")
    yield from _in_cache()


def _in_folder(folder: Path, via: str) -> Iterator[Library]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return
    seen = set()
    for name in names:
        match = re.fullmatch(_LIBRARY, name)
        if match and match["stem"] not in seen:
            seen.add(match["stem"])
            yield Library(match["stem"], _version(folder / name), str(folder / name), via)


def _in_cache() -> Iterator[Library]:
    """What the loader's cache offers; nothing where there is no ldconfig."""
    program = shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if program is None:
        return
    try:
        lines = process.run([program, "-p"], timeout=10).stdout.splitlines()
    except KgenError:
        return
    seen = set()
    for line in lines:
        name, _, path = line.strip().partition(" => ")
        match = re.fullmatch(_LIBRARY, name.partition(" ")[0])
        if match and path and match["stem"] not in seen:
            seen.add(match["stem"])
            yield Library(match["stem"], _version(Path(path)), path, "ldconfig")


def _version(path: Path) -> str | None:
    """The longest version among the names that the file has: `libcudnn.so.9` is a link to `libcudnn.so.9.10.2`."""
    names = [path.name]
    with contextlib.suppress(OSError, RuntimeError):
        names.append(path.resolve().name)
    matches = [match["version"] for name in names if (match := re.fullmatch(_LIBRARY, name)) and match["version"]]
    return max(matches, key=len, default=None)


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
