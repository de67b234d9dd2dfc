"""Interpreters that can be moved to another machine: finding one, packing it, and unpacking it in a project.

A standalone build of CPython, as `uv python install` fetches them, finds its library beside itself and brings along all
but glibc. The interpreter of a system, or one that was compiled for its place, has parts that are elsewhere.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from kgen import files, host, process, storage, uvtool
from kgen.errors import InstallationError, OutsideError, UsageError
from kgen.formats import vendor
from kgen.loader import elf

_SECONDS = 60
"""So long an interpreter may take to say where it is."""

_ASK = "import sys; print(sys.base_prefix); print('.'.join(map(str, sys.version_info[:3])))"

_OF_GLIBC = re.compile(r"(lib(c|m|dl|pthread|rt|util|resolv)|ld-linux[a-z0-9_-]*)\.so\.[0-9]+")
"""The libraries that every Linux with glibc has."""

_CHUNK = 1024 * 1024


class Standalone(NamedTuple):
    """An interpreter that can be moved.

    Attributes:
        minor: its CPython minor, such as `3.12`.
        version: its version, such as `3.12.4`.
        prefix: the folder that is all of it.
    """

    minor: str
    version: str
    prefix: Path

    @property
    def archive(self) -> str:
        """The name of the archive that it is packed into."""
        return f"cpython-{self.version}.tar"


def find(program: str, minor: str) -> Standalone:
    """A CPython of this minor that can be moved: the first such of those that environments would be made with.

    Args:
        program: the path of uv.
        minor: the CPython minor.

    Raises:
        UsageError: there is none; with the reason why the interpreter that would be used cannot be.
        OutsideError: uv cannot be started.
    """
    reasons = []
    for path in dict.fromkeys(_interpreters(program, minor)):
        asked = _asked(path)
        if asked is None:
            continue
        prefix, version = asked
        reason = None if _is_uvs(program, prefix) else ties(prefix, minor)
        if reason is None:
            return Standalone(minor, version, prefix)
        reasons.append(f"{path} cannot be moved: {reason}")
    said = reasons[0] if reasons else "there is no such interpreter on this machine"
    raise UsageError(
        f"the bundle needs a CPython {minor} that runs on other machines, and {said}",
        hints=[f"{uvtool.typed()} python install {minor}"],
    )


def _interpreters(program: str, minor: str) -> Iterator[str]:
    """Those of this minor, in the order in which `kgen sync` tries them; uv's own once more, as another may hide it."""
    own = host.own_interpreter(minor)
    if own is not None:
        yield str(own)
    for managed in ((), ("--managed-python",)):
        words = ("python", "find", "--system", "--no-project", *managed, uvtool.python_request(minor), *uvtool.PLAIN)
        done = uvtool.run([program, *words], timeout=_SECONDS)
        if done.status == 0:
            yield done.stdout.strip()
    yield from map(str, host.pyenv_interpreters(minor))


def _asked(interpreter: str) -> tuple[Path, str] | None:
    """The folder and the version of an interpreter, as it says itself; None if it says nothing."""
    try:
        done = process.run([interpreter, "-I", "-c", _ASK], timeout=_SECONDS)
        prefix, version = done.stdout.splitlines()
    except (OutsideError, ValueError):
        return None
    return (files.resolved(Path(prefix)), version) if done.status == 0 else None


def _is_uvs(program: str, prefix: Path) -> bool:
    """Whether uv has installed the interpreter: those builds are made to be moved."""
    done = uvtool.run([program, "python", "dir", *uvtool.PLAIN], timeout=_SECONDS)
    return done.status == 0 and prefix.parent == files.resolved(Path(done.stdout.strip()))


def ties(prefix: Path, minor: str) -> str | None:
    """What keeps an interpreter where it is; None if nothing does.

    Args:
        prefix: its folder.
        minor: its CPython minor.
    """
    if not files.exists(prefix / f"bin/python{minor}") or not files.is_file(prefix / f"lib/python{minor}/os.py"):
        return f"{prefix} is not all of it"
    if not files.resolved(prefix / "bin").is_relative_to(prefix) or files.exists(prefix / "bin/env"):
        return f"{prefix} is the system's own folder"
    for path in _content(prefix):
        if files.is_link(path) or not files.is_file(path):
            continue
        try:
            found = elf.read(path)
        except (OSError, ValueError):
            continue
        for name in found.needed:
            if _OF_GLIBC.fullmatch(name) is None and not _is_beside(name, path, found, prefix):
                return f"its {path.relative_to(prefix)} needs {name}, which is outside of it"
    return None


def _is_beside(name: str, path: Path, found: elf.Elf, prefix: Path) -> bool:
    """Whether a library is found in the same interpreter, wherever that is."""
    for folder in (*found.rpath, *(found.runpath or ())):
        here = re.sub(r"\$(ORIGIN|\{ORIGIN\})", str(path.parent), folder)
        place = Path(os.path.normpath(Path(here, name)))
        if here != folder and place.is_relative_to(prefix) and files.is_file(place):
            return True
    return False


# -- packing -----------------------------------------------------------------------------------------------------------


def pack(one: Standalone, target: Path) -> None:
    """Write an interpreter into an archive, the same bytes for the same interpreter.

    What it compiles by itself, and what was installed into it, are left out, with the programs of that.

    Args:
        one: the interpreter.
        target: the archive.

    Raises:
        UsageError: something in it leads out of it.
        OutsideError: it cannot be read, or the archive cannot be written.
    """
    site = one.prefix / f"lib/python{one.minor}/site-packages"
    try:
        with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
            for path in _content(one.prefix):
                if site in path.parents or path.suffix == ".pyc" or path.name == "__pycache__" or _is_script(path):
                    continue
                info = tarfile.TarInfo(path.relative_to(one.prefix).as_posix())
                if files.is_link(path):
                    info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
                    if not _stays(info):
                        raise UsageError(
                            f"{one.prefix} cannot be moved: {info.name} leads to {info.linkname}, outside of it",
                            hints=[f"{uvtool.typed()} python install --reinstall {one.minor}"],
                        )
                    archive.addfile(info)
                elif files.is_folder(path):
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(info)
                else:
                    known = path.stat()
                    info.size, info.mode = known.st_size, 0o755 if known.st_mode & stat.S_IXUSR else 0o644
                    with path.open("rb") as content:
                        archive.addfile(info, content)
    except OSError as error:
        raise InstallationError(
            f"the interpreter in {one.prefix} cannot be packed: {error.strerror or error}",
            hints=[f"{uvtool.typed()} python install --reinstall {one.minor}"],
        ) from error


def _is_script(path: Path) -> bool:
    """Whether a file is one of the programs that installers write, which name the place of their interpreter."""
    if path.parent.name != "bin" or files.is_link(path) or not files.is_file(path):
        return False
    with path.open("rb") as content:
        return content.read(2) == b"#!"


def _content(prefix: Path) -> Iterator[Path]:
    """All that is in a folder, sorted, each folder before what is in it; links are not followed."""
    for top, folders, names in os.walk(prefix):
        folders.sort()
        here = Path(top)
        yield from (here / name for name in sorted([*folders, *names]))


def _stays(link: tarfile.TarInfo) -> bool:
    """Whether a link of an archive leads to something in it."""
    climbs = re.fullmatch(r"((?:\.\./)*)(?!\.\.)[^/].*", link.linkname)
    depth = link.name.count("/")
    return climbs is not None and len(climbs[1]) // 3 <= depth and "/../" not in f"/{link.linkname[len(climbs[1]) :]}/"


# -- unpacking ---------------------------------------------------------------------------------------------------------


def is_unpacked(root: Path, minor: str, sha256: str) -> bool:
    """Whether a project has the interpreter of the archive with this digest."""
    try:
        return files.read(root / vendor.PYTHONS / minor / vendor.MARK).decode() == f"{sha256}\n"
    except (OSError, UnicodeDecodeError):
        return False


def unpack(archive: Path, root: Path, *, minor: str, sha256: str) -> None:
    """Have a project hold the interpreter in an archive, in the place of the one of that minor that it had.

    Args:
        archive: the archive, whose digest was compared.
        root: the project's folder.
        minor: the CPython minor.
        sha256: the archive's digest.

    Raises:
        ValueError: it holds something that no interpreter has.
        OutsideError: it cannot be written, or does not run on this machine.
    """
    target = root / vendor.PYTHONS / minor
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        storage.exclusive(target.parent, who="kgen unbundle"),
        storage.staged_folder(target, owned=lambda folder: files.is_file(folder / vendor.MARK)) as staged,
    ):
        try:
            with tarfile.open(archive, "r:") as content:
                _extract(content, staged)
        except tarfile.TarError as error:
            raise ValueError(str(error)) from None
        (staged / vendor.MARK).write_text(f"{sha256}\n", encoding="utf-8")
        reason = _stuck(staged, minor)
        if reason is not None:
            raise InstallationError(
                f"the CPython {minor} of the bundle {reason} on this machine",
                hints=[f"{uvtool.typed()} python install {minor}   # then a bundle without `--with-python` is enough"],
            )


def require_moves(one: Standalone, archive: Path) -> None:
    """Check that an interpreter runs in another place than its own.

    Args:
        one: the interpreter.
        archive: what it was packed into.

    Raises:
        UsageError: it does not.
    """
    with storage.scratch() as folder:
        with tarfile.open(archive, "r:") as content:
            _extract(content, folder)
        reason = _stuck(folder, one.minor)
    if reason is not None:
        raise UsageError(
            f"the CPython in {one.prefix} cannot be moved: in another place it {reason}",
            hints=[f"{uvtool.typed()} python install {one.minor}"],
        )


def _stuck(prefix: Path, minor: str) -> str | None:
    """What a moved interpreter does that it should not; None if it runs and finds its library where it is now."""
    asked = _asked(str(prefix / f"bin/python{minor}"))
    if asked is None:
        return "does not run"
    return None if asked[0] == files.resolved(prefix) else f"takes its library from {asked[0]}"


def _extract(content: tarfile.TarFile, folder: Path) -> None:
    """What an archive holds, by rules of its own: files, folders, and links that stay inside.

    Raises:
        ValueError: it holds something else.
    """
    links: set[str] = set()
    for member in content:
        name = member.name
        parents = [str(parent) for parent in Path(name).parents]
        plain = posixpath.normpath(name) == name and not name.startswith(("/", "..")) and name != "."
        if not plain or links.intersection(parents) or name in links:
            raise ValueError(f"{name} leads out of the interpreter")
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if member.isdir():
            target.mkdir(exist_ok=True)
        elif member.issym() and _stays(member):
            links.add(name)
            target.symlink_to(member.linkname)
        elif member.isreg():
            _copy(content.extractfile(member), target)
            target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
        else:
            raise ValueError(f"{name} is not a file of an interpreter")


def _copy(source: IO[bytes] | None, target: Path) -> None:
    assert source is not None  # noqa: S101 - it is a regular file
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
