"""Everything that environments take on a machine without a network: into one file, and out of it again.

A bundle is a tar archive, so that a machine without kgen can get kgen out of it. Its first member lists all others by
path, sha256 and size. Nothing of it is believed: what is taken out is compared with that list, and what is installed
from it later with the lock.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import io
import json
import re
import tarfile
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from kgen import __version__, files, host, index, lockfiles, project, resources, storage, uvsettings, uvtool, wheels
from kgen.actions.standing import HOOK
from kgen.errors import (
    HashMismatchError,
    KgenError,
    OtherPlatformError,
    OutsideError,
    SettingsError,
    UnavailableError,
    UsageError,
)
from kgen.formats.wheels import repack, vendored
from kgen.lockfiles import LockedEnvironment
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.lockfile import LockedFile, Lockfile
from kgen.project import LOCKS
from kgen.served.file import PATIENCE

MANIFEST = "kgen-bundle.json"
PROGRAMS = "kgen"
"""The folder of a bundle that has kgen itself, and what it needs, as wheels."""
WHEELS = "wheels"

_SCHEMA = 1
_SELF = "keras-kgen"
_AT_ONCE = 4
_CHUNK = 1024 * 1024
_LARGEST_LIST = 64 * 1024 * 1024
"""Bytes that the list of a bundle may have: it has some hundred for each file."""
_LARGEST_TEXT = 16 * 1024 * 1024
"""Bytes that a lock, or a hook, may have."""

Report = Callable[[int, int], None]
"""Called with how many bytes are there, and how many there will be."""


class BundleResult(NamedTuple):
    """A bundle that was written.

    Attributes:
        path: the file.
        environments: what it is for.
        platform: conda's name of the machines that it is for.
        files: how many files of locks are in it, each once.
        size: bytes of the whole.
        fetched: bytes that had to be fetched for it.
        notes: what the user should know.
    """

    path: Path
    environments: tuple[str, ...]
    platform: str
    files: int
    size: int
    fetched: int
    notes: tuple[str, ...]


class UnbundleResult(NamedTuple):
    """What came out of a bundle.

    Attributes:
        root: the project's folder.
        environments: what can be made there now.
        platform: the platform that they are for.
        files: how many files of locks there are.
        added: how many of them were not there before.
    """

    root: Path
    environments: tuple[str, ...]
    platform: str
    files: int
    added: int


class _Member(NamedTuple):
    """A file of a bundle: where it is in it, what identifies it, and what gives its bytes."""

    path: str
    sha256: str
    size: int
    open: Callable[[], IO[bytes]]


@dataclass(kw_only=True)
class _Progress:
    """Counts bytes from several threads."""

    report: Report
    total: int
    done: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self.guard:
            self.done += count
            self.report(self.done, max(self.total, self.done))


# -- into a bundle -----------------------------------------------------------------------------------------------------


def bundle(
    root: Path,
    matrix: CompatibilityMatrix,
    names: Sequence[str],
    output: Path,
    *,
    platform: str | None = None,
    report: Report = lambda _done, _total: None,
) -> BundleResult:
    """Write a bundle of environments: their locks and hooks, every file of these, and kgen itself.

    What an interrupted call has fetched, and what is in a bundle that `output` was before, is not fetched again.

    Args:
        root: the project's folder.
        matrix: the facts.
        names: the environments; none for all that are locked for the platform.
        output: the file.
        platform: conda's name of the platform; None for this machine's.
        report: shows how far the fetching is.

    Raises:
        UsageError: there is no such environment, or it is not locked for this platform.
        SettingsError: a lock cannot be read.
        OutsideError: a file cannot be had, or the bundle cannot be written.
    """
    wanted = platform or host.subdir()
    chosen = _chosen(root, names, wanted)
    locks = [lockfiles.read(lockfiles.lock_of(one, formats.default(), wanted)) for one in chosen]
    for lock in locks:
        require_known(matrix, lock)
        _require_files(lock)
    store = host.cache("files")
    every = {(file.sha256, file.filename): (file, lock) for lock in locks for file in (*lock.build, *lock.files)}
    own, notes = _own(wanted)

    def make(old: Mapping[str, _Member]) -> int:
        fetched = _fetch(root, store, old, every.values(), report)
        members = [member for one in chosen for member in _texts(one, wanted or "")]
        members += [fetched.members[key] for key in sorted(every)]
        listed = {
            "schema": _SCHEMA,
            "kgen": __version__,
            "platform": wanted,
            "environments": [{"name": lock.environment, "python": lock.python} for lock in locks],
            "files": [{"path": one.path, "sha256": one.sha256, "size": one.size} for one in (*own, *members)],
        }
        _write(output, listed, [*own, *members])
        return fetched.fetched

    with _held(store), _old(output) as old:
        try:
            fetched = make(old)
        except _DamagedError:
            if not old:
                raise
            fetched = make({})  # each is compared as it is written; what was there is not what it was
    for sha256, filename in every:
        (store / sha256 / filename).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (store / sha256).rmdir()
    return BundleResult(
        path=output,
        environments=tuple(lock.environment for lock in locks),
        platform=wanted or "",
        files=len(every),
        size=output.stat().st_size,
        fetched=fetched,
        notes=notes,
    )


def _chosen(root: Path, names: Sequence[str], platform: str | None) -> list[LockedEnvironment]:
    if names:
        found = [lockfiles.choose_on_disk(root, name) for name in names]
        for environment, form in found:
            if not form.is_default:
                raise UsageError(
                    f"{environment.name}{form.suffix} is locked for {form.name}, and a bundle holds wheels",
                    hints=[f"kgen bundle {environment.name} -o {environment.name}.tar"],
                )
        return list({environment.name: environment for environment, _ in found}.values())
    fitting = [one for one in lockfiles.environments(root) if platform in one.platforms]
    if not fitting:
        words = f" --platform {platform}" if platform else ""
        raise OtherPlatformError(
            f"nothing in {root / LOCKS} is locked for {platform or 'this machine'}", hints=[f"kgen lock{words}"]
        )
    return fitting


@contextlib.contextmanager
def _held(store: Path) -> Iterator[None]:
    """Hold the folder of what was fetched, and make it, so that no other call takes its files away.

    Raises:
        OutsideError: it cannot be written.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.unwritable(store, error, hints=["set KGEN_CACHE_DIR to another folder"]) from error
    with storage.exclusive(store, who="kgen bundle", wait=lambda: None):
        yield


class _Fetched(NamedTuple):
    members: Mapping[tuple[str, str], _Member]
    fetched: int


def _fetch(
    root: Path,
    store: Path,
    old: Mapping[str, _Member],
    wanted: Iterable[tuple[LockedFile, Lockfile]],
    report: Report,
) -> _Fetched:
    """Every file: from the bundle that was there, from an earlier call, or fetched now."""
    members: dict[tuple[str, str], _Member] = {}
    missing: list[tuple[LockedFile, Lockfile]] = []
    for file, lock in wanted:
        path = f"{WHEELS}/{file.sha256}/{file.filename}"
        if path in old:
            members[file.sha256, file.filename] = old[path]
        else:
            missing.append((file, lock))
    progress = _Progress(report=report, total=sum(file.size or 0 for file, _ in missing))
    cancel = threading.Event()
    program = uvtool.find()
    with wheels.WheelReader(
        cache=None,
        cancel=cancel,
        certificates=host.variable("SSL_CERT_FILE"),
        indexes=uvsettings.configured(root),
        patience=min(PATIENCE, host.seconds(PATIENCE)),
    ) as reader:
        places = _Places(root, program, reader)

        def get(file: LockedFile, lock: Lockfile) -> None:
            places.save(file, lock, store / file.sha256 / file.filename, progress)

        pool = concurrent.futures.ThreadPoolExecutor(_AT_ONCE)
        try:
            for done in concurrent.futures.as_completed([pool.submit(get, *one) for one in missing]):
                done.result()
        except BaseException:
            cancel.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for file, _ in missing:
        target = store / file.sha256 / file.filename
        path = f"{WHEELS}/{file.sha256}/{file.filename}"
        members[file.sha256, file.filename] = _Member(path, file.sha256, target.stat().st_size, _opener(target))
    return _Fetched(members, progress.done)


def _nowhere(file: LockedFile, lock: Lockfile) -> OutsideError:
    return UnavailableError(
        f"{lock.environment}: {file.filename} is nowhere to be had: no index that uv is configured for lists it",
        hints=["configure uv for an index that has it (`uv.toml`, UV_DEFAULT_INDEX, UV_FIND_LINKS)"],
    )


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


class _Places:
    """Where locked files may be had, as an installer would look for them; safe to use from many threads."""

    def __init__(self, root: Path, program: str, reader: wheels.WheelReader) -> None:
        self._root = root
        self._program = program
        self._reader = reader
        self._guard = threading.Lock()
        self._indexes: index.Index | None = None
        self._own: Callable[[str, str], str] | None = None

    def save(self, file: LockedFile, lock: Lockfile, target: Path, progress: _Progress) -> None:
        """Have a file in its place, from wherever it can be had.

        Raises:
            OutsideError: it cannot be had.
        """
        target.parent.mkdir(exist_ok=True)
        if target.is_file():
            progress.add(target.stat().st_size)
            return
        faults: list[KgenError] = []
        for place in self.of(file, lock):
            try:
                self._reader.save(place, filename=file.filename, sha256=file.sha256, target=target, report=progress.add)
            except OutsideError as error:
                faults.append(error)
            else:
                return
        raise faults[0] if faults else _nowhere(file, lock)

    def of(self, file: LockedFile, lock: Lockfile) -> Iterator[str]:
        """The places of a file, the nearest first.

        Raises:
            OutsideError: an index cannot be asked.
        """
        brought = vendored.path_of(self._root, file)
        folders = (host.variable("UV_FIND_LINKS") or "").replace(",", " ").split()
        local = [Path(folder) / file.filename for folder in folders if "://" not in folder]
        yield from (str(path) for path in (brought, *local) if path.is_file())
        location = file.location(lock.path)
        if location is not None:
            yield location
        if file.direct:
            return
        listed = self._asked(file, lock).project(file.name)
        if listed is not None:
            yield from (
                urllib.parse.urljoin(listed.page.url, one.url)
                for one in listed.files
                if one.filename == file.filename and one.sha256 in {"", file.sha256}
            )

    def _asked(self, file: LockedFile, lock: Lockfile) -> index.Index:
        label = lock.indexes.get(file.name)
        with self._guard:
            if label is not None:
                own = self._own or uvtool.own_indexes(self._program, self._root, project.torch_index(self._root))
                self._own = own
                if own is not None:
                    return index.Index((own(file.name, label),), self._reader, cache=None)
            if self._indexes is None:
                self._indexes = index.Index(uvtool.indexes(self._program, self._root), self._reader, cache=None)
            return self._indexes


def _require_files(lock: Lockfile) -> None:
    """See that a bundle can hold all of a lock: folders of the project go with the project.

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


def _texts(environment: LockedEnvironment, platform: str) -> Iterator[_Member]:
    """The lock of an environment for a platform, and its hooks."""
    lock = lockfiles.filename(platform)
    for path in sorted(environment.folder.rglob("*")):
        inside = path.relative_to(environment.folder).as_posix()
        if path.is_file() and (inside == lock or HOOK.fullmatch(inside)):
            content = files.read(path)
            yield _member(f"{LOCKS}/{environment.name}/{inside}", content)


def _member(path: str, content: bytes) -> _Member:
    return _Member(path, hashlib.sha256(content).hexdigest(), len(content), lambda: io.BytesIO(content))


def _own(platform: str | None) -> tuple[list[_Member], tuple[str, ...]]:
    """Kgen itself, uv, and what else kgen needs, as they are installed here; and what to say of that."""
    if platform != host.subdir():
        return [], (f"kgen itself is left out: what is installed here is not for {platform}; install it there",)
    code = Path(__file__).resolve().parents[1]
    source = {
        "kgen": code,
        **{f"kgen/_data/{name}": resources.folder(name) for name in resources.FOLDERS},
    }
    made = [repack.wheel_of(one, source=source) for one in repack.closure(_SELF)]
    return [_member(f"{PROGRAMS}/{name}", content) for name, content in made], ()


def _write(output: Path, listed: Mapping[str, object], members: Sequence[_Member]) -> None:
    """Write the archive beside its place, and then put it there."""
    part = output.with_name(f".{output.name}.part")
    head = json.dumps(listed, indent=1).encode() + b"\n"
    try:
        with (
            part.open("wb") as file,
            tarfile.TarFile(fileobj=file, mode="w", format=tarfile.GNU_FORMAT, copybufsize=_CHUNK) as archive,
        ):
            for one in (_member(MANIFEST, head), *members):
                info = tarfile.TarInfo(one.path)
                info.size = one.size
                info.mode = 0o644
                with one.open() as content:
                    archive.addfile(info, _Verifying(content, one))  # type: ignore[arg-type]
        part.replace(output)
    except OSError as error:
        raise files.unwritable(output, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


class _Verifying:
    """The bytes of a member, which must turn out to be those that it is listed with."""

    def __init__(self, content: IO[bytes], member: _Member) -> None:
        self._content = content
        self._member = member
        self._digest = hashlib.sha256()
        self._left = member.size

    def read(self, count: int) -> bytes:
        piece = self._content.read(count)
        self._digest.update(piece)
        self._left -= len(piece)
        if self._left <= 0 and self._digest.hexdigest() != self._member.sha256:
            raise _damaged(self._member.path)
        return piece


class _DamagedError(HashMismatchError):
    """A member is not what it is listed with."""


def _damaged(path: str) -> _DamagedError:
    return _DamagedError(
        f"{grammar.printable(path)} is damaged: it has not the sha256 that it is listed with",
        hints=["copy the bundle again; where it was made, `kgen bundle` makes it anew"],
    )


# -- out of a bundle ---------------------------------------------------------------------------------------------------


_MEMBER = re.compile(
    rf"(?:{LOCKS}/(?P<environment>{grammar.NAME})/(?P<text>[A-Za-z0-9._/-]+)"
    rf"|{WHEELS}/(?P<sha256>{grammar.SHA256})/(?P<file>{grammar.WHEEL}|{grammar.SOURCE})"
    rf"|{PROGRAMS}/{grammar.WHEEL})"
)
"""What may be in a bundle beside its list."""


class _Listed(NamedTuple):
    """The list of a bundle: path -> sha256 and size; and what it says it is for."""

    files: Mapping[str, tuple[str, int]]
    platform: str


def _manifest(path: Path, archive: tarfile.TarFile) -> _Listed:
    """The list of a bundle.

    Raises:
        SettingsError: it is none, or has not the form that kgen writes.
    """
    try:
        member = archive.next()
        content = archive.extractfile(member) if member is not None and member.isreg() else None
        first = member is not None and member.name == MANIFEST and member.size <= _LARGEST_LIST
        data: Any = json.loads(content.read()) if content is not None and first else None
        _see(data is not None, f"its first member is not {MANIFEST}")
        _see(data["schema"] == _SCHEMA, f"its form is not {_SCHEMA}, which this kgen reads")
        found = {str(row["path"]): (grammar.sha256(row["sha256"]), int(row["size"])) for row in data["files"]}
        platform = grammar.platform(data["platform"])
        for name, (sha256, _) in found.items():
            match = _MEMBER.fullmatch(name)
            text = None if match is None else match["text"]
            _see(match is not None and (text is None or _is_text(text)), f"{name} is nothing that a bundle has")
            named = None if match is None else match["sha256"]
            _see(named in {None, sha256}, f"{name} is listed with another sha256")
    except (KeyError, TypeError, ValueError, RecursionError, tarfile.TarError, OSError) as error:
        said = grammar.shown(str(error) or type(error).__name__)
        raise SettingsError(f"{path} is no bundle of kgen: {said}", hints=["kgen bundle --help"]) from None
    return _Listed(found, platform)


def _see(holds: bool, said: str) -> None:  # noqa: FBT001 - as in `assert`
    if not holds:
        raise ValueError(said)


def _is_text(inside: str) -> bool:
    """Whether a file of the folder of an environment is a lock or a hook."""
    return HOOK.fullmatch(inside) is not None or re.fullmatch(lockfiles.PYLOCK, inside) is not None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        archive = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except (OSError, tarfile.TarError) as error:
        said = getattr(error, "strerror", None) or "it is no tar archive"
        raise SettingsError(f"{path} cannot be read as a bundle: {said}", hints=[f"ls -l {path}"]) from None
    with archive:
        yield archive


@contextlib.contextmanager
def _old(output: Path) -> Iterator[Mapping[str, _Member]]:
    """The files in the bundle that is to be replaced; none where there is none, or none that can be read."""
    with contextlib.ExitStack() as stack:
        found: dict[str, _Member] = {}
        with contextlib.suppress(SettingsError, tarfile.TarError, OSError):
            if output.is_file():
                archive = stack.enter_context(_opened(output))
                listed = _manifest(output, archive).files
                for member in archive.getmembers():
                    if member.isreg() and member.name in listed and listed[member.name][1] == member.size:
                        found[member.name] = _Member(
                            member.name, listed[member.name][0], member.size, _extractor(archive, member)
                        )
        yield found


def _extractor(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def extract() -> IO[bytes]:
        content = archive.extractfile(member)
        assert content is not None  # noqa: S101 - it is a regular file
        return content

    return extract


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
        SettingsError: it is no bundle, or a lock in it has not the form that kgen writes.
        UsageError: the project has another lock of an environment.
        OutsideError: it is damaged or incomplete, or cannot be written.
    """
    texts: dict[str, dict[str, bytes]] = {}
    seen: set[str] = set()
    added = 0
    with _opened(path) as archive:
        listed = _manifest(path, archive)
        progress = _Progress(report=report, total=sum(size for _, size in listed.files.values()))
        while (member := _next(path, archive)) is not None:
            sha256, size = listed.files.get(member.name, ("", -1))
            if not member.isreg() or size != member.size or member.name in seen:
                raise _damaged(member.name)
            seen.add(member.name)
            match = _MEMBER.fullmatch(member.name)
            content = archive.extractfile(member)
            assert match is not None and content is not None  # noqa: S101, PT018 - the list was looked at
            if match["environment"] is not None:
                if size > _LARGEST_TEXT:
                    raise _damaged(member.name)
                texts.setdefault(match["environment"], {})[match["text"]] = _whole(member.name, content, sha256)
            elif match["file"] is not None:
                added += _put(root, match["sha256"], match["file"], content, progress)
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
    locks = [
        lockfiles.parse(root / LOCKS / environment / name, content)[0]
        for environment, own in sorted(texts.items())
        for name, content in own.items()
        if name == lockfiles.filename(listed.platform)
    ]
    for lock in locks:
        require_known(matrix, lock)
        lacking = vendored.lacking(root, lock)
        if lacking:
            raise HashMismatchError(
                f"{path} is incomplete: {lock.environment} needs {lacking[0].filename}, which is not in it",
                hints=["kgen bundle"],
            )
    _put_texts(root, texts)
    return UnbundleResult(
        root=root,
        environments=tuple(lock.environment for lock in locks),
        platform=listed.platform,
        files=sum(1 for name in listed.files if name.startswith(f"{WHEELS}/")),
        added=added,
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
        raise _damaged(name)
    return found


def _put(root: Path, sha256: str, filename: str, content: IO[bytes], progress: _Progress) -> bool:
    """Put a file of locks in its place, whole or not at all; whether it was not there before."""
    target = root / vendored.FOLDER / sha256 / filename
    if not target.parent.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{root / vendored.FOLDER} leads out of the project", hints=[f"ls -ld {root / vendored.FOLDER}"]
        )
    part = target.with_name(f".{filename}.part")
    digest = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        ignore = root / vendored.FOLDER / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# made by kgen\n*\n", encoding="utf-8")
        with part.open("wb") as file:
            while piece := content.read(_CHUNK):
                digest.update(piece)
                file.write(piece)
                progress.add(len(piece))
        if digest.hexdigest() != sha256:
            raise _damaged(f"{WHEELS}/{sha256}/{filename}")
        new = not target.exists()
        part.replace(target)
    except tarfile.TarError:
        raise _damaged(f"{WHEELS}/{sha256}/{filename}") from None
    except OSError as error:
        raise files.unwritable(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return new


def _put_texts(root: Path, texts: Mapping[str, Mapping[str, bytes]]) -> None:
    locks = root / LOCKS
    for environment, own in texts.items():
        for name, content in own.items():
            there = locks / environment / name
            if there.is_file() and files.read(there) != content:
                raise UsageError(
                    f"{there} is there already, and is not what the bundle has",
                    hints=["kgen unbundle BUNDLE --into ANOTHER-FOLDER", f"git log -- {there.parent}"],
                )
    with storage.exclusive(locks, who="kgen unbundle"):
        storage.recover(locks)
        for environment, own in texts.items():
            storage.replace_folder(locks / environment, own, owned=lambda _name: False)
