"""Writes everything that environments need on a machine without a network into one file."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import shlex
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kgen import files, host, lockfiles, replay, resources, storage
from kgen.errors import (
    LOCK,
    HashMismatchError,
    OtherPlatformError,
    SettingsError,
    Unlocked,
    UsageError,
)
from kgen.formats import archive as archives
from kgen.formats import bundlefile, interface, vendor
from kgen.formats.archive import Member, Report
from kgen.formats.wheels import ownwheels
from kgen.lockfiles import LockedEnvironment
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model import format as formats
from kgen.model.format import Format
from kgen.model.lockfile import LockedFile, Lockfile
from kgen.project import LOCKS
from kgen.verified_files import VerifiedFiles

if TYPE_CHECKING:
    from kgen.formats.wheels.standalone import Standalone

_SELF = "keras-kgen"


class BundleResult(NamedTuple):
    """A bundle that was written.

    Attributes:
        path: the file.
        environments: its environments.
        platform: the platform of its machines, as a conda subdir.
        files: the number of files of locks in it, each counted once.
        size: its size in bytes.
        fetched: the bytes that had to be fetched for it.
        pythons: the versions of the interpreters in it.
        kgen: the requirement with which pip installs kgen from it, with the extras that its locks need; None if it does
            not contain kgen.
        notes: what the user should know.
    """

    path: Path
    environments: tuple[str, ...]
    platform: str
    files: int
    size: int
    fetched: int
    pythons: tuple[str, ...]
    kgen: str | None
    notes: tuple[str, ...]


def bundle(
    root: Path,
    matrix: CompatibilityMatrix,
    names: Sequence[str],
    output: Path,
    *,
    platform: str | None = None,
    with_python: bool = False,
    report: Report = lambda _done, _total: None,
) -> BundleResult:
    """Write a bundle of environments: their locks and hooks, all their files, and kgen itself.

    Files that an interrupted call fetched, or that an existing bundle at `output` contains, are not fetched again.

    Args:
        root: the project's folder.
        matrix: the facts.
        names: the environments; none for all that are locked for the platform, in every form.
        output: the file.
        platform: the platform, as a conda subdir; None for this machine's.
        with_python: whether to include interpreters for the environments.
        report: shows the progress of fetching.

    Raises:
        UsageError: there is no such environment, it is not locked for this platform, or an interpreter for it cannot be
            moved.
        SettingsError: a lock cannot be read.
        OutsideError: a file cannot be fetched, or the bundle cannot be written.
    """
    replay.looked(output)
    if not files.is_file(output):
        _require_place(output)
    wanted = platform or host.subdir()
    chosen = _chosen(root, names, wanted)
    locks = [interface.read(form, lockfiles.lock_of(one, form, wanted), wanted) for one, form in chosen]
    for lock in locks:
        require_known(matrix, lock)
        _require_files(lock)
    extras = sorted({form.extra for _, form in chosen if form.extra})
    order = _Order(
        root=root,
        output=output,
        platform=wanted,
        folders={one.name: one for one, _ in chosen},
        locks=locks,
        own=f"{_SELF}[{','.join(extras)}]" if extras else _SELF,
        known=VerifiedFiles(host.cache("verified")),
    )
    if not with_python and order.is_filled:
        replay.settle()
        return order.result(0)
    if with_python:
        replay.forget()
    found = _standalones(locks, wanted) if with_python else []
    return order.result(_fill(order, found, report), found)


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What a bundle has to contain.

    Attributes:
        root: the project's folder.
        output: the file.
        platform: the platform of its machines, as a conda subdir.
        folders: the folders of its locks, by the names of their environments.
        locks: the locks.
        own: the requirement with which pip installs kgen from it, with the extras that its locks need.
        known: which files were compared with their digests.
    """

    root: Path
    output: Path
    platform: str | None
    folders: Mapping[str, LockedEnvironment]
    locks: Sequence[Lockfile]
    own: str
    known: VerifiedFiles

    @functools.cached_property
    def every(self) -> Mapping[tuple[str, str], tuple[LockedFile, Lockfile]]:
        """The files of the locks, each once, in the order of the bundle."""
        found = {(one.sha256, one.filename): (one, of) for of in self.locks for one in (*of.build, *of.files)}
        return {key: found[key] for key in sorted(found)}

    @property
    def is_filled(self) -> bool:
        """Whether the bundle exists and is known to be complete; needs only the locks, and writes nothing."""
        if not files.is_file(self.output):
            return False
        own = _own_kept(self.own, self.platform)
        if own is None:
            return False
        head = self.head([*own, *self.texts(), *_listed(file for file, _ in self.every.values())])
        return self.known.known(self.output, head.sha256) is not None

    def texts(self) -> list[Member]:
        """The locks and hooks."""
        return [text for one in self.folders.values() for text in _texts(one, self.platform or "")]

    def head(self, members: Iterable[Member]) -> Member:
        """The list of the bundle: its content, and what that is for."""
        return _member(bundlefile.MANIFEST, bundlefile.write_list(self.platform, self.locks, members))

    def result(self, fetched: int, pythons: Sequence[Standalone] = ()) -> BundleResult:
        """The result to report.

        Args:
            fetched: the bytes that had to be fetched for it.
            pythons: the interpreters in it.
        """
        own = self.platform == host.subdir()
        left_out = f"kgen itself is left out: what is installed here is not for {self.platform}; install it there"
        return BundleResult(
            path=self.output,
            environments=tuple(lock.environment for lock in self.locks),
            platform=self.platform or "",
            files=len(self.every),
            size=self.output.stat().st_size,
            fetched=fetched,
            pythons=tuple(one.version for one in pythons),
            kgen=self.own if own else None,
            notes=() if own else (left_out,),
        )


def _fill(order: _Order, pythons: Sequence[Standalone], report: Report) -> int:
    """Write a bundle, or compare an existing one; returns the number of bytes that had to be fetched.

    Raises:
        OutsideError: a file cannot be fetched, or the bundle cannot be written.
    """
    store, output, known = host.cache("files"), order.output, order.known

    def make(folder: Path, *, again: bool = False) -> int:
        began = time.time_ns()
        own = _own(order.own, order.platform, known, again=again)
        files_of_locks = order.every.values()
        there: Mapping[str, Member] = {}
        if not again:
            there = dict(_local(order.root, files_of_locks, known)) | _old(output, known)
        if any(vendor.place_of(file) not in there for file, _ in files_of_locks):
            _require_place(output)
        members_of_locks, fetched = _files(order.root, store, there, files_of_locks, report)
        members = order.texts()
        members += [_packed(one, folder) for one in pythons]
        members += [members_of_locks[key] for key in order.every]
        head = order.head([*own, *members])
        every = [head, *own, *members]
        try:
            whole = known.known(output, head.sha256) is not None
            written = archives.write(output, every, known=whole)
        except OSError as error:
            raise files.unwritable(output, error) from error
        if written and all(isinstance(one.source, bytes) or one.known is not None for one in every):
            replay.wrote(output, *archives.pieces(every))
        else:
            replay.forget()
        if written:
            # these are replaced by now, or soon to be taken away
            _remember(known, [*own, *members], began, gone=(output, folder, store))
        elif not whole:
            known.add(output, head.sha256, began)
        known.save()
        return fetched

    with _held(store), storage.scratch() as folder:
        try:
            count = make(folder)
        except HashMismatchError:
            # what was in the bundle before, lay in a folder, or was kept of kgen itself, is not what it was
            count = make(folder, again=True)
    for sha256, filename in order.every:
        (store / sha256 / filename).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (store / sha256).rmdir()
    return count


def _remember(known: VerifiedFiles, members: Iterable[Member], began: int, *, gone: Sequence[Path]) -> None:
    """Remember the files that were compared while a bundle was written, except for those in these places."""
    for one in members:
        path = one.source
        if isinstance(path, Path) and one.known is None and not any(map(path.is_relative_to, gone)):
            known.add(path, one.sha256, began)


def _listed(wanted: Iterable[LockedFile]) -> Iterator[Member]:
    """The files of locks as members without content, from what the locks say about them."""
    for file in wanted:  # without a size it is in the list of no bundle
        yield Member(vendor.place_of(file), file.sha256, -1 if file.size is None else file.size, b"")


def _require_place(output: Path) -> None:
    """Check that the bundle can be written to its place, before anything is fetched for it.

    Raises:
        UsageError: it cannot: the folder does not exist, or the place is a folder or not a regular file.
        OutsideError: the system does not allow it.
    """
    if files.is_folder(output):
        raise UsageError(f"{output} is a folder", hints=[f"kgen bundle -o {shlex.quote(str(output / 'project.tar'))}"])
    if _is_stream(output):
        raise UsageError(
            f"{output} is not a regular file, and a bundle is read back before it is put in its place",
            hints=["kgen bundle -o project.tar"],
        )
    if not files.is_folder(output.parent):
        folder = shlex.quote(str(output.parent))
        raise UsageError(
            f"{output} cannot be written: there is no folder {output.parent}", hints=[f"mkdir -p {folder}"]
        )
    try:
        archives.require_writable(output)
    except OSError as error:
        raise files.unwritable(output, error) from error


def _is_stream(output: Path) -> bool:
    """Whether the bundle would replace a device, a pipe, or standard output by a file."""
    in_dev = output.parent in {Path("/dev"), Path("/dev/fd")}  # not `/dev/shm`, which has files
    return str(output) == "-" or in_dev or (files.exists(output) and not files.is_file(output))


def _chosen(root: Path, names: Sequence[str], platform: str | None) -> list[tuple[LockedEnvironment, Format]]:
    if names:
        named = [lockfiles.choose_on_disk(root, name) for name in names]
        return list({(environment.name, form.name): (environment, form) for environment, form in named}.values())
    fitting = [
        (one, form)
        for one in lockfiles.environments(root)
        if platform in one.platforms
        for form in formats.known()
        if _is_locked(one, form, platform)
    ]
    if not fitting:
        raise OtherPlatformError(
            f"nothing in {root / LOCKS} is locked for {platform or 'this machine'}",
            hints=[LOCK],
            unlocked=Unlocked(None, platform),
        )
    return fitting


def _is_locked(environment: LockedEnvironment, form: Format, platform: str | None) -> bool:
    path = lockfiles.lock_path(environment, form, platform)
    if path is None or form.is_default:
        return path is not None
    return any(lock.platform == platform for lock in interface.read_every(form, path))


def _standalones(locks: Sequence[Lockfile], platform: str | None) -> list[Standalone]:
    """An interpreter for each minor of the locks that do not contain one.

    Raises:
        UsageError: one cannot be moved, or is for another platform.
    """
    from kgen import uvtool  # noqa: PLC0415 - a bundle without interpreters needs none of it
    from kgen.formats.wheels import standalone  # noqa: PLC0415 - as above

    minors = dict.fromkeys(lock.python for lock in locks if not lock.form.brings_python)
    if minors and platform != host.subdir():
        raise UsageError(
            f"an interpreter for {platform} cannot be had from this machine, which is {host.subdir()}",
            hints=["write the bundle there, or leave `--with-python` out"],
        )
    program = uvtool.find()
    return [standalone.find(program, minor) for minor in minors]


def _packed(one: Standalone, folder: Path) -> Member:
    """An interpreter as a member of a bundle, after it has run in another place."""
    from kgen.formats.wheels import standalone  # noqa: PLC0415 - as above

    target = folder / one.archive
    if not files.exists(target):
        standalone.pack(one, target)
        standalone.require_moves(one, target)
    with target.open("rb") as content:
        sha256 = archives.digest(content)
    return Member(f"{bundlefile.PYTHONS}/{sha256}/{one.archive}", sha256, target.stat().st_size, target)


@contextlib.contextmanager
def _held(store: Path) -> Iterator[None]:
    """Create and lock the folder of fetched files, so that no other call removes them.

    Raises:
        OutsideError: it cannot be written.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.unwritable(store, error, hints=["set KGEN_CACHE_DIR to another folder"]) from error
    with storage.exclusive(store, who="kgen bundle", wait=lambda: None):
        yield


def _files(
    root: Path,
    store: Path,
    old: Mapping[str, Member],
    wanted: Iterable[tuple[LockedFile, Lockfile]],
    report: Report,
) -> tuple[Mapping[tuple[str, str], Member], int]:
    """Every file, from the existing bundle, from an earlier call, or fetched now; and how many bytes were fetched."""
    members: dict[tuple[str, str], Member] = {}
    missing: list[tuple[LockedFile, Lockfile]] = []
    for file, lock in wanted:
        path = vendor.place_of(file)
        if path in old:
            members[file.sha256, file.filename] = old[path]
        else:
            missing.append((file, lock))
    if not missing:
        return members, 0
    from kgen.actions import fetch  # noqa: PLC0415 - slow to import, and there may be nothing to fetch

    count = fetch.fetch(root, store, missing, report)
    for file, _ in missing:
        target = store / file.sha256 / file.filename
        size = target.stat().st_size
        members[file.sha256, file.filename] = Member(vendor.place_of(file), file.sha256, size, target)
    return members, count


def _require_files(lock: Lockfile) -> None:
    """Check that a bundle can contain everything in a lock; folders of the project belong to the project.

    Raises:
        UsageError: it cannot.
    """
    elsewhere = [f"{tree.name} ({tree.shown})" for tree in lock.trees if tree.url is not None or tree.is_local]
    if elsewhere:
        raise UsageError(
            f"{lock.environment} has packages that are built from outside of the project, and a bundle holds files:"
            f" {', '.join(elsewhere)}",
            hints=["build wheels of them (`uv build --wheel`), name those in `dependencies`, then: kgen lock"],
        )


def _texts(environment: LockedEnvironment, platform: str) -> Iterator[Member]:
    """The locks of an environment for a platform, in every form, and its hooks."""
    lock = lockfiles.filename(platform)
    for path in sorted(environment.folder.rglob("*")):
        replay.looked(path)
        inside = path.relative_to(environment.folder).as_posix()
        if files.is_file(path) and (
            inside == lock or (bundlefile.is_text(inside) and not re.fullmatch(lockfiles.PYLOCK, inside))
        ):
            content = files.read(path, files.LARGE)
            yield _member(f"{LOCKS}/{environment.name}/{inside}", content)


def _member(path: str, content: bytes) -> Member:
    return Member(path, hashlib.sha256(content).hexdigest(), len(content), content)


def _own(name: str, platform: str | None, known: VerifiedFiles, *, again: bool) -> list[Member]:
    """The wheels of kgen, uv, and kgen's other dependencies, as installed here; none for another platform."""
    if platform != host.subdir():
        return []
    made = ownwheels.own_wheels(name, host.cache("own"), source=_source(), again=again)
    return [_kept_member(one, known) for one in made]


def _own_kept(name: str, platform: str | None) -> list[Member] | None:
    """The same, as an earlier call made it; None if it has to be looked for again."""
    if platform != host.subdir():
        return []
    kept = ownwheels.kept_wheels(name, host.cache("own"), source=_source())
    return [_kept_member(one, None) for one in kept] or None


def _source() -> Mapping[str, Path]:
    """The folders of kgen's code and data, if they are not copies that an installer made and listed."""
    if resources.clone() is None:
        return {}
    return {
        "kgen": Path(__file__).resolve().parents[1],
        **{f"kgen/_data/{folder}": resources.folder(folder) for folder in resources.FOLDERS},
    }


def _kept_member(one: ownwheels.KeptWheel, known: VerifiedFiles | None) -> Member:
    stamp = known.known(one.content, one.sha256) if known is not None and isinstance(one.content, Path) else None
    return Member(f"{bundlefile.PROGRAMS}/{one.filename}", one.sha256, one.size, one.content, known=stamp)


def _old(output: Path, known: VerifiedFiles) -> dict[str, Member]:
    """The files in the bundle that will be replaced; none if it does not exist or cannot be read."""
    found: dict[str, Member] = {}
    with contextlib.suppress(SettingsError, tarfile.TarError, OSError):
        if files.is_file(output):
            with bundlefile.opened(output) as archive:
                listed = bundlefile.read_list(output, archive).files
                members = archive.getmembers()
                head = archive.extractfile(members[0])
                stamp = None if head is None else known.known(output, hashlib.sha256(head.read()).hexdigest())
                for one in members:
                    if one.isreg() and one.name in listed and listed[one.name][1] == one.size:
                        sha256 = listed[one.name][0]
                        found[one.name] = Member(one.name, sha256, one.size, output, one.offset_data, stamp)
    return found


def _local(
    root: Path, wanted: Iterable[tuple[LockedFile, Lockfile]], known: VerifiedFiles
) -> Iterator[tuple[str, Member]]:
    """Files in local folders with the names of the wanted files, as members of a bundle."""
    for file, lock in wanted:
        place, path = vendor.place_of(file), next(vendor.here(root, file, lock), None)
        size = None if path is None else path.stat().st_size
        if path is not None and size is not None and file.size in {None, size}:
            yield place, Member(place, file.sha256, size, path, known=known.known(path, file.sha256))
