"""Atomic writes: files and folders of the user's project are replaced completely or left alone, even by `kill -9`.

While a folder `locks/x` is replaced, it may have two siblings:

`locks/.x.kgen-new`
    the staged new folder, or, after the exchange, the old one. It has no value unless the other sibling exists.
`locks/.x.kgen-old`
    says that the new folder is complete and about to take its place. It is the old folder, moved aside, or an empty
    folder where the old one cannot be moved.

A single file has a sibling `.<name>.<random>.kgen-tmp` while it is written. :func:`recover` finishes or removes all of
these after a run was killed.

Folders that can be recreated are staged in a folder that belongs to one run: `.<name>.<random>.kgen-stage` for an
environment, and `kgen-<random>` in the system's temporary folder for scratch files. Each contains a mark file that its
process keeps locked. :func:`sweep` removes the folders whose process has ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import re
import shlex
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from kgen import files, host, replay
from kgen.errors import BusyError, FileError, ObstructedError, OutsideError

_NEW = ".kgen-new"
_OLD = ".kgen-old"
_TEMPORARY = ".kgen-tmp"
_LOCK = ".kgen.lock"
_SIBLING = re.compile(r"\.(.+)\.kgen-(?:new|old)")
_STAGE = ".kgen-stage"
_GUARD = ".kgen-sync"
_SCRATCH = "kgen-"
_MARK = "kgen-mark"
_MARKED = b"made by kgen, and removed by it when its maker has ended\n"
"""The content of a mark file. kgen removes no leftover folder without it."""

_MADE, _ASIDE = "made", "old"
"""Names inside a stage: `made` is the new folder (the old one after an exchange), `old` the old one moved aside."""

_PATIENCE = 0.3
"""Seconds for which kgen retries to lock a folder: a sweeping process holds the lock only briefly."""

_ATTEMPTS = 50
"""How often kgen retries after another process won a race; losing twice in a row is already rare."""


def recover(locks: Path) -> None:
    """Finishes or removes what killed runs left in this folder and below, so that every folder in it is complete.

    Costs little if there is nothing to do. The folder need not exist. Call it under :func:`exclusive`.

    Raises:
        OutsideError: a leftover can be neither finished nor removed.
    """
    with _faults(locks, "cannot be cleaned of what an interrupted run left behind"):
        if not _is_folder(locks):
            return
        siblings = (_SIBLING.fullmatch(path.name) for path in locks.iterdir())
        for name in sorted({match[1] for match in siblings if match}):
            _settle(locks / name)
        for folder, _, names in os.walk(locks):
            _sweep(Path(folder), names)


def is_settled(locks: Path) -> bool:
    """Whether the folder has no leftovers of a killed run that :func:`recover` would handle."""
    replay.looked(locks)
    with contextlib.suppress(OSError):
        return not any(_SIBLING.fullmatch(path.name) or path.name == _LOCK for path in locks.iterdir())
    return False


def replace_folder(target: Path, files: Mapping[str, bytes], *, owned: Callable[[str], bool]) -> bool:
    """Replaces the folder's content by these files, atomically.

    At any moment, even after `kill -9`, either the old folder or the new one exists. (Where the system has no atomic
    exchange of two folders, this holds after a kill once :func:`recover` has run.) The content is synced to disk, so
    it survives a power cut. A file that another process adds while this function runs may be lost: every writer must
    hold :func:`exclusive`.

    Args:
        target: the folder; its parent must exist.
        files: path relative to `target`, with slashes -> content. They get mode 0644 less the umask.
        owned: whether the existing file at this path belongs to kgen. kgen removes its own files unless they are in
            `files`, and keeps all others with their modes, as well as empty folders.

    Returns:
        False if the folder already held exactly these files, and nothing was touched.

    Raises:
        OutsideError: the replacement failed. The old folder is unchanged and has no leftovers beside it. (If the disk
            fails at the very last step, or while kgen empties a folder that cannot be moved, see
            :func:`_swap_in_two`, the new folder is in place, at the latest after :func:`recover`.)
    """
    for name in files:
        if not _is_plain(name):
            raise ValueError(f"not a path inside a folder: {name!r}")
    with _faults(target):
        _refuse_all_but_folder(target)
        old = _look(target)
        kept = sorted(name for name in old.files if name not in files and not owned(name))
        if len(kept) + len(files) == len(old.files) and all(
            _holds(target / name, content) for name, content in files.items()
        ):
            return False
        _refuse_what_could_not_be_removed(target, old)
        _settle(target)
        staged = _sibling(target, _NEW)
        try:
            _stage(staged, target, files, old=old, kept=kept)
            _swap(staged, target)
        finally:
            # Removes the staged folder, or the old one after the exchange. A failure here needs no report: either an
            # earlier error is already being raised, or the new folder is in place and the next `recover` reports it.
            with contextlib.suppress(OSError):
                _settle(target)
    return True


def write_file(path: Path, content: bytes) -> None:
    """Writes one file atomically and syncs it to disk.

    An existing file keeps its mode. A symbolic link stays a link, and its target is written. A new file gets mode 0644
    less the umask. Temporary files that a killed run left in this folder are removed. A device or a pipe cannot be
    replaced by a regular file, so the content is written into it directly.

    Raises:
        OutsideError: the write failed, and the existing file is unchanged.
    """
    with _faults(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        place = Path(os.path.realpath(path))
        # /dev/stdout may lead to a regular file, which must not be replaced: others may have written to it too.
        if not stat.S_ISREG(mode) or place.is_relative_to("/proc") or path.parts[:2] == ("/", "dev"):
            _write_through(path, content)
            return
        _sweep(place.parent)
        temporary, handle = _temporary(place)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(handle, stat.S_IMODE(place.stat().st_mode))
            _fill(handle, content)
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        _sync(place.parent)


def make_folder(path: Path) -> None:
    """Creates a folder and its missing parents.

    Raises:
        OutsideError: the folder cannot be created.
    """
    with _faults(path, "cannot be created"):
        path.mkdir(parents=True, exist_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def create_file(path: Path, content: bytes) -> bool:
    """Creates a file atomically, with mode 0644 less the umask, unless something of this name exists.

    Returns:
        False if something of this name exists, even if another process created it just now; it is not touched.

    Raises:
        OutsideError: the file cannot be written.
    """
    with _faults(path):
        if os.path.lexists(path):
            return False
        _sweep(path.parent)
        temporary, handle = _temporary(path)
        try:
            _fill(handle, content)
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            # Some filesystems have no hard links.
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
                raise
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)
        _sync(path.parent)
    return True


@contextlib.contextmanager
def staged_folder(target: Path, *, owned: Callable[[Path], bool]) -> Iterator[Path]:
    """A new folder that replaces `target` when the `with` block ends, and is removed if the block raises.

    At any moment, even after `kill -9`, either the old folder or the new one exists. (Where the system has no atomic
    exchange of two folders, this holds after a kill once :func:`sweep` has run.) The path of the new folder is unique
    to this run, so a program that outlived an earlier run cannot write into it. The content is not synced to disk:
    use this for what can be recreated. Call it under :func:`exclusive`.

    Args:
        target: the folder to replace or create.
        owned: whether kgen made this existing folder. Only such a folder, or an empty one, is replaced.

    Raises:
        OutsideError: the replacement failed, or `target` exists and is not kgen's; the old folder is unchanged.
    """
    with _faults(target):
        _refuse_foreign(target, owned)
    with _faults(target), _marked(lambda: _sibling(target, f".{_random()}{_STAGE}")) as stage:
        made = stage / _MADE
        made.mkdir()
        yield made
        # checked again: another process may have put something there in the meantime
        _refuse_foreign(target, owned)
        _put_in_place(made, target)


def _put_in_place(made: Path, target: Path) -> None:
    aside = made.with_name(_ASIDE)
    if not _is_there(target):
        made.rename(target)
    elif not _exchange(made, target):
        try:
            target.rename(aside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # A folder from a lower layer of an overlay, as in a container's image, can only be emptied.
            _remove(target)
        try:
            made.rename(target)
        except OSError:
            if _is_there(aside):
                aside.rename(target)
            raise
    _sync(target.parent)


def _refuse_foreign(target: Path, owned: Callable[[Path], bool]) -> None:
    """Raises unless the target is absent, an empty folder, or a folder that kgen made."""
    _refuse_all_but_folder(target)
    if _is_there(target) and any(target.iterdir()) and not owned(target):
        raise ObstructedError(
            f"{target} is in the way: kgen has not made it, and replaces nothing that is not its own",
            hints=[
                "name another folder with `--envs`, or `envs` in the settings",
                f"ls -la {shlex.quote(str(target))}",
            ],
        )


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A scratch folder in the system's temporary folder, removed when the `with` block ends.

    :func:`sweep` removes those of killed runs.

    Raises:
        OutsideError: the folder cannot be created.
    """
    place = host.temporary_folder()
    with contextlib.ExitStack() as stack:
        with _faults(place, "takes no folder"):
            inside = stack.enter_context(_marked(lambda: place / f"{_SCRATCH}{_random()}")) / _MADE
            inside.mkdir(mode=0o700)
        yield inside


def _random() -> str:
    return os.urandom(6).hex()


@contextlib.contextmanager
def _marked(name: Callable[[], Path]) -> Iterator[Path]:
    """A new folder with a mark file, locked to show that its process is alive; it is removed at the end."""
    folder, handle = _make_marked(name)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            _remove_marked(folder)
        os.close(handle)


def _make_marked(name: Callable[[], Path]) -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        folder = name()
        folder.mkdir(mode=0o700)
        try:
            handle = os.open(folder / _MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            # Another process removed the folder before it was marked.
            continue
        with contextlib.suppress(OSError):
            # Fails where the filesystem has no locks; there no sweep can lock it, and so none removes it.
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            os.write(handle, _MARKED)
            return folder, handle
        os.close(handle)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(name()))


def _remove_marked(folder: Path) -> None:
    """Removes the folder, its mark last, so that a half-removed folder is still recognised."""
    for path in folder.iterdir():
        if path.name != _MARK:
            _remove(path)
    (folder / _MARK).unlink(missing_ok=True)
    folder.rmdir()


def sweep(folder: Path) -> None:
    """Removes leftovers of ended runs from a folder of environments or the temporary folder, never those of live runs.

    Puts back an old environment that was moved aside if its successor never took its place. Leaves what cannot be
    removed to the next run. Removes only what carries kgen's mark.
    """
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _LEFTOVER.fullmatch(entry.name)]
        for name in sorted(names):
            with contextlib.suppress(OSError):
                if name.endswith(_GUARD):
                    _sweep_guard(folder / name)
                elif name.endswith(_TEMPORARY):
                    _sweep(folder, [name])
                else:
                    _sweep_marked(folder / name)


_LEFTOVER = re.compile(
    rf"\..+(?:{re.escape(_STAGE)}|{re.escape(_GUARD)}|{re.escape(_TEMPORARY)})|{re.escape(_SCRATCH)}[0-9a-f]{{12}}"
)


def _sweep_marked(folder: Path) -> None:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        return
    try:
        handle = os.open(folder / _MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        # Its process was killed right then, or is about to write the mark and will notice that the folder is gone.
        folder.rmdir()
        return
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = os.read(handle, len(_MARKED) + 1)
        # An empty mark and nothing else: the process was killed before it wrote the mark's content.
        if content == _MARKED or (not content and [path.name for path in folder.iterdir()] == [_MARK]):
            name = re.fullmatch(rf"\.(.+)\.[0-9a-f]+{re.escape(_STAGE)}", folder.name)
            if name is not None and _is_there(folder / _ASIDE) and not _is_there(folder.with_name(name[1])):
                (folder / _ASIDE).rename(folder.with_name(name[1]))
            _remove_marked(folder)
    finally:
        os.close(handle)


def guard_of(target: Path) -> Path:
    """The folder to lock while `target` is made; a lock file inside `target` would be replaced along with it."""
    return _sibling(target, _GUARD)


def _sweep_guard(guard: Path) -> None:
    """Removes the guard folder of a killed run, unless a process holds it."""
    if stat.S_ISDIR(guard.lstat().st_mode):
        try:
            handle = os.open(guard / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            guard.rmdir()
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (guard / _LOCK).unlink()
            guard.rmdir()
        finally:
            os.close(handle)


def sweep_held(folder: Path, replaced: Callable[[str], bool]) -> None:
    """Like :func:`recover`, for the folders that kgen replaces, if no other process holds the folder.

    Leaves what cannot be finished to the next writer, which reports the error.

    Args:
        folder: the folder.
        replaced: whether kgen replaces the folder of this name inside it.
    """
    with contextlib.suppress(OSError, OutsideError):
        if files.is_link(folder) or not files.is_folder(folder):
            return
        with exclusive(folder, who="kgen"):
            siblings = (_SIBLING.fullmatch(path.name) for path in folder.iterdir())
            for name in sorted({match[1] for match in siblings if match and replaced(match[1])}):
                _settle(folder / name)
            _sweep(folder)
            if replaced(""):
                for inside, _, names in os.walk(folder):
                    _sweep(Path(inside), names)


@contextlib.contextmanager
def exclusive(locks: Path, *, who: str = "kgen lock", wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Locks the project: only one process at a time runs such a `with` block for the same folder.

    The kernel releases the lock when the process ends, however that happens. The lock file is removed at the end; one
    that a killed process leaves behind blocks nobody. Creates the folder if it is missing, and removes it again if
    nothing was written into it.

    Args:
        locks: the folder.
        who: the command that the error message names as the other process.
        wait: called once before waiting for another process; None raises instead of waiting.

    Raises:
        OutsideError: another process holds the lock, or the folder cannot be written.
    """
    with _faults(locks, "cannot be locked"):
        handle, created = _acquire(locks, who, wait)
    try:
        yield
    finally:
        # Removed while locked: a process that opened it earlier and locks it afterwards notices that it is gone.
        with contextlib.suppress(OSError):
            (locks / _LOCK).unlink()
        os.close(handle)
        if created:
            with contextlib.suppress(OSError):
                locks.rmdir()


def _acquire(locks: Path, who: str, wait: Callable[[], None] | None) -> tuple[int, bool]:
    """The handle of the locked file, and whether the folder had to be created."""
    created = False
    reported = False
    patience = time.monotonic() + _PATIENCE
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileExistsError):
            locks.mkdir()
            created = True
        try:
            handle = os.open(locks / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:
            # The process that created the folder has just removed it.
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if reported else fcntl.LOCK_NB))
            if os.fstat(handle).st_nlink:
                return handle, created
        except BlockingIOError:
            os.close(handle)
            if wait is None and time.monotonic() < patience:
                time.sleep(_PATIENCE / 20)
                continue
            if wait is None:
                raise BusyError(
                    f"another `{who}` is at work in {locks}", hints=["wait for it to end, or end it"]
                ) from None
            wait()
            reported = True
            continue
        except BaseException:
            os.close(handle)
            raise
        # Opened while its last holder removed it.
        os.close(handle)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(locks))


@contextlib.contextmanager
def _faults(path: Path, what: str = "cannot be written") -> Iterator[None]:
    """Turns an `OSError` within the block into an error that tells the user what to do."""
    try:
        yield
    except OSError as error:
        raise files.unwritable(path, error, what=what) from error


@dataclass(frozen=True, slots=True)
class _Contents:
    """The content of a folder tree.

    Attributes:
        files: relative paths of everything but folders.
        folders: relative path -> mode.
    """

    files: set[str] = field(default_factory=set)
    folders: dict[str, int] = field(default_factory=dict)


def _look(target: Path) -> _Contents:
    contents = _Contents()
    if _is_there(target):
        contents.folders[""] = stat.S_IMODE(target.stat().st_mode)
    waiting = list(contents.folders)
    while waiting:
        inside = waiting.pop()
        with os.scandir(target / inside) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if entry.is_dir(follow_symlinks=False):
                    contents.folders[name] = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                    waiting.append(name)
                else:
                    contents.files.add(name)
    return contents


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    return str(path) == name and name != "." and not path.is_absolute() and ".." not in path.parts


def _refuse_all_but_folder(target: Path) -> None:
    if not _is_there(target):
        return
    mode = target.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise ObstructedError(
            f"{target} is a symbolic link; kgen replaces folders, and that would replace the link",
            hints=[f"rm {shlex.quote(str(target))}"],
        )
    if not stat.S_ISDIR(mode):
        raise ObstructedError(f"{target} is in the way: it is not a folder", hints=[f"rm {shlex.quote(str(target))}"])


def _refuse_what_could_not_be_removed(target: Path, old: _Contents) -> None:
    """Raises if the old folder could be moved but not deleted afterwards, because of files in another user's folder."""
    for name in sorted({str(PurePosixPath(file).parent) for file in old.files}):
        folder = target / name
        mine = folder.stat().st_uid == os.geteuid()
        if not mine and not files.may_write(folder):
            raise FileError(
                f"{target} cannot be written: Permission denied ({folder} is another user's)",
                hints=[f'sudo chown -R "$USER" {shlex.quote(str(target))}'],
            )


def _holds(path: Path, content: bytes) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and path.read_bytes() == content
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_there(path: Path) -> bool:
    """Whether something has this name; unlike `exists`, raises where that cannot be found out."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _is_folder(path: Path) -> bool:
    """Whether there is a folder, or a link to one; the same."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _sibling(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}{suffix}")


def _stage(staged: Path, target: Path, files: Mapping[str, bytes], *, old: _Contents, kept: Iterable[str]) -> None:
    """Creates the complete new folder and syncs it to disk."""
    staged.mkdir()
    for name, content in sorted(files.items()):
        path = staged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _fill(handle, content)
        finally:
            os.close(handle)
    # A folder that loses its last file is dropped; one that was empty before is kept.
    full = {str(folder) for name in old.files for folder in PurePosixPath(name).parents}
    for name in sorted(set(old.folders) - full - {""}):
        (staged / name).mkdir(parents=True, exist_ok=True)
    for name in kept:
        path = staged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep(target / name, path)
    # Innermost first: the mode of a folder may forbid access to what is in it.
    contents = _look(staged)
    for name in sorted(contents.folders, reverse=True):
        folder = staged / name
        _sync(folder)
        if old.folders.get(name, contents.folders[name]) != contents.folders[name]:
            folder.chmod(old.folders[name])


def _keep(source: Path, place: Path) -> None:
    try:
        os.link(source, place, follow_symlinks=False)
    except FileExistsError:
        # The name belongs to a folder that `files` needs.
        raise
    except OSError:
        # The filesystem has no hard links, or the system forbids links to files of other users.
        shutil.copy2(source, place, follow_symlinks=False)
        if not stat.S_ISLNK(place.lstat().st_mode):
            _sync(place)


def _swap(staged: Path, target: Path) -> None:
    """Moves the complete staged folder to the target's place; the old folder becomes one of the siblings."""
    if not _is_there(target):
        staged.rename(target)
    elif not _exchange(staged, target):
        _swap_in_two(staged, target)
    _sync(target.parent)


def _swap_in_two(staged: Path, target: Path) -> None:
    aside = _sibling(target, _OLD)
    try:
        target.rename(aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A folder from a lower layer of an overlay, as in a container's image, cannot be moved, only emptied. Once the
        # empty sibling exists, recovery always completes the replacement.
        aside.mkdir()
        _sync(target.parent)
        _settle(target)
        return
    try:
        staged.rename(target)
    except OSError:
        aside.rename(target)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names atomically; False if the system cannot, or refuses to."""
    call = _renameat2()
    if call is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    # The reason for a refusal does not matter: the caller falls back to two renames, which report their own errors.
    return call(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


@functools.cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    import ctypes  # noqa: PLC0415 - slow to import, and every command imports this module

    try:
        call = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int
    return call


def _settle(target: Path) -> None:
    """Completes the target from whatever state an interrupted run left it in, and removes its siblings."""
    new, old = _sibling(target, _NEW), _sibling(target, _OLD)
    if _is_there(old):
        if _is_there(new):
            if _is_there(target) and not any(old.iterdir()):
                # An empty sibling means that the target is still the old folder, perhaps half removed.
                _remove(target)
            if not _is_there(target):
                new.rename(target)
            _remove(new)
        elif not _is_there(target):
            old.rename(target)
            return
        _sync(target.parent)
        # Renamed first: half removed under its own name, it could be mistaken for the complete old folder.
        old.rename(new)
    _remove(new)


def _remove(path: Path) -> None:
    """Removes a file or a folder tree, if it exists."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink(missing_ok=True)
        return
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        path.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
    with os.scandir(path) as entries:
        inside = list(entries)
    for entry in inside:
        # an environment has tens of thousands of files: recursing into folders only saves a `lstat` for each
        if entry.is_dir(follow_symlinks=False):
            _remove(Path(entry.path))
        else:
            Path(entry.path).unlink()
    path.rmdir()


def _temporary(place: Path) -> tuple[Path, int]:
    """A new, open file beside this one, locked to show that its process is alive."""
    for _ in range(_ATTEMPTS):
        path = place.with_name(f".{place.name}.{os.urandom(4).hex()}{_TEMPORARY}")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with contextlib.suppress(OSError):
            # Fails where the filesystem has no locks; there no sweep can lock it, and so none removes it.
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        # Another process removed it before it was locked.
        os.close(handle)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place))


def _sweep(folder: Path, names: Iterable[str] | None = None) -> None:
    """Removes the temporary files in the folder whose processes have ended; leaves what it cannot remove."""
    for name in [path.name for path in folder.iterdir()] if names is None else names:
        if not name.endswith(_TEMPORARY) or not name.startswith("."):
            continue
        with contextlib.suppress(OSError):
            handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / name).unlink()
            finally:
                os.close(handle)


def _fill(handle: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)


def _sync(path: Path) -> None:
    """Syncs a folder's entries or a file's content to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network filesystems can sync only files.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
