"""What a bundle holds, taken out into a project, on a machine without a network."""

from __future__ import annotations

import contextlib
import hashlib
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from kgen import files, storage
from kgen.errors import HashMismatchError, SettingsError, UsageError
from kgen.formats import archive as archives
from kgen.formats import bundlefile, interface, vendor
from kgen.formats.archive import Progress, Report
from kgen.formats.bundlefile import BundleList
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.lockfile import Lockfile
from kgen.project import LOCKS

_CHUNK = 1024 * 1024
_LARGEST_TEXT = 16 * 1024 * 1024
"""Bytes that a lock, or a hook, may have."""


class UnbundleResult(NamedTuple):
    """What came out of a bundle.

    Attributes:
        root: the project's folder.
        environments: what can be made there now.
        platform: the platform that they are for.
        files: how many files of locks there are.
        added: how many of them were not there before.
        pythons: the CPython minors that there are interpreters of now.
    """

    root: Path
    environments: tuple[str, ...]
    platform: str
    files: int
    added: int
    pythons: tuple[str, ...]


def unbundle(
    path: Path,
    root: Path,
    matrix: CompatibilityMatrix,
    *,
    report: Report = lambda _done, _total: None,
) -> UnbundleResult:
    """Take a bundle out into a project, every byte of it compared with its hash. Asks no network for anything.

    Files of locks that are there are left alone, so that an interrupted call goes on where it was. Locks and hooks are
    put in place when all else is there.

    Args:
        path: the bundle.
        root: the project's folder.
        matrix: the facts.
        report: shows how far it is.

    Raises:
        SettingsError: it is not a bundle, or a lock in it does not have the form that kgen writes.
        UsageError: the project has another lock of an environment.
        OutsideError: it is damaged or incomplete, or cannot be written.
    """
    texts: dict[str, dict[str, bytes]] = {}
    seen: set[str] = set()
    pythons: dict[str, None] = {}
    added = 0
    with bundlefile.opened(path) as archive:
        listed = bundlefile.read_list(path, archive)
        # before anything is copied, which may take minutes
        _require_same(path, root, {name: sha256 for name, (sha256, _) in listed.files.items()})
        count_of_texts = sum(1 for name in listed.files if _is_text(name))
        progress = Progress(report=report, total=sum(size for _, size in listed.files.values()))
        while (member := _next(path, archive)) is not None:
            if member.name not in listed.files:
                raise HashMismatchError(
                    f"{path} has {grammar.shown(member.name)} in it, which its own list does not name",
                    hints=["copy the bundle again; where it was made, `kgen bundle` makes it anew"],
                )
            sha256, size = listed.files[member.name]
            if not member.isreg() or size != member.size or member.name in seen:
                raise archives.damaged(member.name)
            seen.add(member.name)
            match = bundlefile.MEMBER.fullmatch(member.name)
            content = archive.extractfile(member)
            assert match is not None and content is not None  # noqa: S101, PT018 - the list was looked at
            if match["environment"] is not None:
                if size > _LARGEST_TEXT:
                    raise archives.damaged(member.name)
                texts.setdefault(match["environment"], {})[match["text"]] = _whole(member.name, content, sha256)
                if sum(map(len, texts.values())) == count_of_texts:  # they stand before what takes long
                    _locks_in(path, root, matrix, listed, texts)
            elif match["minor"] is not None:
                _put_python(root, match, content, progress)
                pythons[match["minor"]] = None
                continue
            elif match["file"] is not None:
                added += _put(root, member.name, sha256, content, progress)
                continue
            else:
                _whole(member.name, content, sha256)
            progress.add(size)
    lost = sorted(listed.files.keys() - seen)
    if lost:
        raise HashMismatchError(
            f"{path} is incomplete: {len(lost)} of {len(listed.files)} files are missing, the first is {lost[0]}",
            hints=["copy the bundle again"],
        )
    locks = _locks_in(path, root, matrix, listed, texts)
    _require_complete(path, root, locks)
    _put_texts(path, root, texts)
    folders = tuple(f"{folder}/" for folder in (vendor.WHEELS, vendor.PACKAGES))
    return UnbundleResult(
        root=root,
        environments=tuple(lock.environment for lock in locks),
        platform=listed.platform,
        files=sum(1 for name in listed.files if name.startswith(folders)),
        added=added,
        pythons=tuple(pythons),
    )


def _is_text(name: str) -> bool:
    """Whether a member of a bundle is of the folder of an environment's locks."""
    match = bundlefile.MEMBER.fullmatch(name)
    return match is not None and match["environment"] is not None


def _require_same(path: Path, root: Path, members: Mapping[str, str]) -> None:
    """See that the project has no other locks than those of a bundle.

    Args:
        path: the bundle.
        root: the project's folder.
        members: the paths of the members of a bundle -> their sha256.

    Raises:
        UsageError: it has one.
        OutsideError: it cannot be read.
    """
    for name, sha256 in members.items():
        there = root / name
        if not _is_text(name) or not files.is_file(there):
            continue
        try:
            same = hashlib.sha256(files.read(there)).hexdigest() == sha256
        except OSError as error:
            raise files.unreadable(there, error) from error
        if not same:
            beside = root.with_name(f"{root.name}-{path.name.partition('.')[0]}")
            raise UsageError(
                f"{there} is there already, and is not what the bundle has",
                hints=[
                    f"kgen unbundle {files.typed(path)} --into {files.typed(beside)}",
                    f"git log -- {files.typed(there.parent)}",
                ],
            )


def _locks_in(
    path: Path,
    root: Path,
    matrix: CompatibilityMatrix,
    listed: BundleList,
    texts: Mapping[str, Mapping[str, bytes]],
) -> list[Lockfile]:
    """The locks that a bundle is for.

    Raises:
        SettingsError: one does not have the form that kgen writes, or is of something that the matrix does not know.
        OutsideError: one is missing.
    """
    locks = [
        lock
        for environment, own in sorted(texts.items())
        for name, content in own.items()
        if (form := formats.of_file(name)) is not None
        for lock in interface.reader(form).parse(root / LOCKS / environment / name, content)
        if lock.platform == listed.platform and lock.environment in listed.environments
    ]
    for name in sorted(set(listed.environments).difference(lock.environment for lock in locks)):
        raise HashMismatchError(f"{path} is incomplete: the lock of {name} is not in it", hints=["kgen bundle"])
    for lock in locks:
        require_known(matrix, lock)
    return locks


def _require_complete(path: Path, root: Path, locks: Sequence[Lockfile]) -> None:
    """See that all that locks name is there.

    Raises:
        OutsideError: something is not.
    """
    for lock in locks:
        lacking = vendor.lacking(root, lock)
        if lacking:
            raise HashMismatchError(
                f"{path} is incomplete: {lock.environment} needs {lacking[0].filename}, which is not in it",
                hints=["kgen bundle"],
            )


def _next(path: Path, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return archive.next()
    except (tarfile.TarError, OSError) as error:
        said = getattr(error, "strerror", None) or "it breaks off"
        raise HashMismatchError(f"{path} is damaged: {said}", hints=["copy the bundle again"]) from None


def _whole(name: str, content: IO[bytes], sha256: str) -> bytes:
    try:
        found = content.read()
    except (tarfile.TarError, OSError):
        found = b""
    if hashlib.sha256(found).hexdigest() != sha256:
        raise archives.damaged(name)
    return found


def _put(root: Path, name: str, sha256: str, content: IO[bytes], progress: Progress) -> bool:
    """Put a file of locks in its place, whole or not at all; whether it was not there before."""
    target = root / vendor.FOLDER / name
    _prepare(root, name)
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(name, sha256, content, part, progress)
        new = not files.exists(target)
        part.replace(target)
    except OSError as error:
        raise files.unwritable(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return new


def _prepare(root: Path, name: str) -> None:
    """Have the folder that a file of a bundle belongs into, which git leaves alone.

    Raises:
        UsageError: it leads out of the project.
        OutsideError: it cannot be made.
    """
    folder = root / vendor.FOLDER / name.partition("/")[0]
    if not files.resolved((root / vendor.FOLDER / name).parent).is_relative_to(files.resolved(root)):
        raise UsageError(f"{folder} leads out of the project", hints=[f"ls -ld {files.typed(folder)}"])
    ignore = folder / ".gitignore"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not files.exists(ignore):
            ignore.write_text("# made by kgen\n*\n", encoding="utf-8")
    except OSError as error:
        raise files.unwritable(folder, error) from error


def _copy(name: str, sha256: str, content: IO[bytes], target: Path, progress: Progress) -> None:
    """Copy a member into a file.

    Raises:
        HashMismatchError: it is not what it is listed with.
        OSError: the file cannot be written.
    """
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while piece := _piece(name, content):
            digest.update(piece)
            file.write(piece)
            progress.add(len(piece))
    if digest.hexdigest() != sha256:
        raise archives.damaged(name)


def _piece(name: str, content: IO[bytes]) -> bytes:
    try:
        return content.read(_CHUNK)
    except (tarfile.TarError, OSError):
        raise archives.damaged(name) from None


def _put_python(root: Path, match: re.Match[str], content: IO[bytes], progress: Progress) -> None:
    """Put an interpreter in its place, after its archive was compared."""
    from kgen.formats.wheels import standalone  # noqa: PLC0415 - few bundles have one

    name, minor, sha256 = match[0], match["minor"], match["sha256"]
    _prepare(root, name)
    with storage.scratch() as folder:
        archive = folder / match["file"]
        try:
            _copy(name, sha256, content, archive, progress)
        except OSError as error:
            raise files.unwritable(archive, error) from error
        if standalone.is_unpacked(root, minor, sha256):
            return
        try:
            standalone.unpack(archive, root, minor=minor, sha256=sha256)
        except ValueError as error:
            raise SettingsError(
                f"{name} is not an interpreter of a bundle: {grammar.shown(str(error))}", hints=["kgen bundle --help"]
            ) from None


def _put_texts(path: Path, root: Path, texts: Mapping[str, Mapping[str, bytes]]) -> None:
    """Put locks and hooks in place, where the project has got no others since."""
    locks = root / LOCKS
    members = {
        f"{LOCKS}/{environment}/{name}": hashlib.sha256(content).hexdigest()
        for environment, own in texts.items()
        for name, content in own.items()
    }
    _require_same(path, root, members)
    with storage.exclusive(locks, who="kgen unbundle"):
        storage.recover(locks)
        for environment, own in texts.items():
            storage.replace_folder(locks / environment, own, owned=lambda _name: False)
