"""The form of a bundle: a tar archive, so that a machine without kgen can get kgen out of it.

Its first member lists all others by path, sha256 and size. Nothing of it is believed: what is taken out is compared
with that list, and what is installed from it later with the lock. An interpreter is in no lock: to take one from a
bundle is to trust its maker.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kgen import __version__, files, lockfiles
from kgen.errors import SettingsError
from kgen.formats import vendor
from kgen.formats.archive import Member
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.lockfile import Lockfile
from kgen.project import LOCKS

MANIFEST = "kgen-bundle.json"
"""The member with the list."""

PROGRAMS = "kgen"
"""The folder of a bundle that has kgen itself, and what it needs, as wheels."""

PYTHONS = "pythons"
"""The folder of a bundle that has interpreters."""

_SCHEMA = 1
_LARGEST_LIST = 64 * 1024 * 1024
"""Bytes that the list of a bundle may have: it has some hundred for each file."""

MEMBER = re.compile(
    rf"(?:{LOCKS}/(?P<environment>{grammar.NAME})/(?P<text>[A-Za-z0-9._/-]+)"
    rf"|(?P<folder>{vendor.WHEELS}|{vendor.PACKAGES}|{PYTHONS})/(?P<sha256>{grammar.SHA256})"
    rf"/(?P<file>{grammar.WHEEL}|{grammar.SOURCE}|{grammar.CONDA_FILE}|cpython-(?P<minor>[0-9]+\.[0-9]+)\.[0-9]+\.tar)"
    rf"|{PROGRAMS}/{grammar.WHEEL})"
)
"""What may be in a bundle beside its list."""


class BundleList(NamedTuple):
    """The list of a bundle.

    Attributes:
        files: path -> sha256 and size.
        platform: conda's name of the machines that it is for.
        environments: what can be made of it.
    """

    files: Mapping[str, tuple[str, int]]
    platform: str
    environments: tuple[str, ...]


def installation(file: str, wanted: str) -> str:
    """The call, in a shell, that installs kgen from a bundle into a new environment.

    Args:
        file: the bundle, as it is called where that is typed.
        wanted: what pip is asked for, with the extras.
    """
    return (
        f"tar -xf {shlex.quote(file)} {PROGRAMS} && python3 -m venv kgen-venv && kgen-venv/bin/pip install --no-index"
        f" --find-links {PROGRAMS} {shlex.quote(wanted)}"
    )


def write_list(platform: str | None, locks: Iterable[Lockfile], members: Iterable[Member]) -> bytes:
    """The list of a bundle, to be its first member.

    Args:
        platform: conda's name of the machines that it is for.
        locks: the locks that it is for.
        members: what else is in it.
    """
    listed = {
        "schema": _SCHEMA,
        "kgen": __version__,
        "platform": platform,
        "environments": [{"name": lock.environment, "python": lock.python} for lock in locks],
        "files": [{"path": one.path, "sha256": one.sha256, "size": one.size} for one in members],
    }
    return json.dumps(listed, indent=1).encode() + b"\n"


def read_list(path: Path, archive: tarfile.TarFile) -> BundleList:
    """The list of a bundle.

    Args:
        path: the bundle.
        archive: the same, opened, of which nothing was read.

    Raises:
        SettingsError: it is not one, or does not have the form that kgen writes.
    """
    try:
        member = archive.next()
        content = archive.extractfile(member) if member is not None and member.isreg() else None
        first = member is not None and member.name == MANIFEST and member.size <= _LARGEST_LIST
        data: Any = json.loads(content.read()) if content is not None and first else None
        _see(data is not None, f"its first member is not {MANIFEST}")
        _require_known(path, data)
        found = {str(row["path"]): (grammar.sha256(row["sha256"]), int(row["size"])) for row in data["files"]}
        platform = grammar.platform(data["platform"])
        named = tuple(grammar.environment(row["name"]) for row in data["environments"])
        for name, (sha256, _) in found.items():
            match = MEMBER.fullmatch(name)
            text = None if match is None else match["text"]
            _see(match is not None and (text is None or is_text(text)), f"no bundle has {name}")
            said = None if match is None else match["sha256"]
            _see(said in {None, sha256}, f"another sha256 is listed for {name}")
            if match is not None and match["file"] is not None:
                _see(match["folder"] == _folder_of(match), f"no bundle has {name}")
    except (KeyError, TypeError, ValueError, RecursionError, tarfile.TarError, OSError) as error:
        said = grammar.shown(str(error) or type(error).__name__)
        raise SettingsError(f"{path} is not a bundle of kgen: {said}", hints=["kgen bundle --help"]) from None
    return BundleList(found, platform, named)


def _require_known(path: Path, data: Mapping[str, Any]) -> None:
    """Check that a bundle has the form that this kgen writes.

    Raises:
        SettingsError: another kgen made it.
        KeyError: it says nothing of its form.
    """
    if data["schema"] == _SCHEMA:
        return
    maker = grammar.shown(f"kgen {data['kgen']}" if "kgen" in data else "another kgen")
    raise SettingsError(
        f"{path} is a bundle of {maker}, whose form {grammar.shown(str(data['schema']))} this kgen {__version__} does"
        f" not read: it reads {_SCHEMA}",
        hints=[f"{installation(str(path), 'keras-kgen')}   # the kgen in the bundle"],
    )


def _folder_of(match: re.Match[str]) -> str:
    """The folder that a file belongs into, by its name."""
    if match["minor"] is not None:
        return PYTHONS
    return vendor.PACKAGES if re.fullmatch(grammar.CONDA_FILE, match["file"]) else vendor.WHEELS


def _see(holds: bool, said: str) -> None:  # noqa: FBT001 - as in `assert`
    if not holds:
        raise ValueError(said)


def is_text(inside: str) -> bool:
    """Whether a file of the folder of an environment, by its path in there, is a lock or a hook."""
    return lockfiles.is_hook(inside) or ("/" not in inside and formats.made_by(inside) is not None)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a bundle to read it.

    Raises:
        SettingsError: it cannot be read, or is not a tar archive.
    """
    try:
        archive = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except (OSError, tarfile.TarError) as error:
        said = getattr(error, "strerror", None) or "it is not a tar archive"
        raise SettingsError(
            f"{path} cannot be read as a bundle: {said}", hints=[f"ls -l {files.typed(path)}"]
        ) from None
    with archive:
        yield archive
