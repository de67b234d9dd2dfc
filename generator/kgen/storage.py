"""How files get into the user's project: whole or not at all, interrupted at any moment.

Of a folder `locks/x` that is being replaced two siblings may be seen:

`locks/.x.kgen-new`
    the folder in the making, or the old one after the exchange; of no worth unless the other sibling is there
`locks/.x.kgen-old`
    the new folder is complete and is about to take its place: the old one, moved aside. If the old one cannot
    be moved, an empty folder as the sign for that.

Single files have a `.<name>.<random>.kgen-tmp` beside them. :func:`recover` knows what each of them means.

What can be made again, an environment, is made in a folder of one run, `.<name>.<random>.kgen-stage`, and so is what
is needed for a moment only, `kgen-<random>` in the folder for temporary files. Such a folder has kgen's mark in it,
which is locked for as long as its maker lives; :func:`sweep` removes those whose maker has died.
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
"""What is in a mark: nothing is removed as a leftover that does not carry it."""

_MADE, _ASIDE = "made", "old"
"""In a stage: the new folder, or the old one after the exchange; and the old one where they cannot be exchanged."""

_PATIENCE = 0.3
"""Seconds for which a folder that is held is asked for again: who sweeps holds it for a moment."""

_ATTEMPTS = 50
"""How often a race is run again that another process won; losing it twice in a row is rare already."""


def recover(locks: Path) -> None:
    """Finishes or removes what killed runs left in this folder and below; every folder in it is whole then.

    Cheap if there is nothing, and no fault if the folder does not exist. To be called under
    :func:`exclusive`.

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
    """Whether no killed run left anything in this folder that :func:`recover` would see to first."""
    replay.looked(locks)
    with contextlib.suppress(OSError):
        return not any(_SIBLING.fullmatch(path.name) or path.name == _LOCK for path in locks.iterdir())
    return False


def replace_folder(target: Path, files: Mapping[str, bytes], *, owned: Callable[[str], bool]) -> bool:
    """Makes the folder hold these files, whole or not at all.

    At any moment, also after `kill -9`, the old folder or the new one is there (where the
    system cannot exchange two folders at once, and after a kill, only when :func:`recover` has run). What is
    on disk is safe against a power cut too. A file that another process adds to the folder while this
    function runs may be lost, so that all who write into it do so under :func:`exclusive`.

    Args:
        target: the folder; its parent must exist.
        files: path relative to `target`, with slashes -> content. They get mode 0644 less the umask.
        owned: says of the path of a file that is there whether it is kgen's; those are removed unless they
            are in `files`. All others are kept with their modes, as are empty folders.

    Returns:
        False if the folder held exactly these files before; nothing was touched then.

    Raises:
        OutsideError: that was impossible; the old folder stands, and nothing is left beside it. (If the disk
        fails
            at the very last step, or while a folder is being emptied that cannot be moved, see
            :func:`_swap_in_two`, the new one stands, at the latest after :func:`recover`.)
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
            # Removes the staged folder, or the old one that is in its place now. If that fails it is either
            # not the first fault, or the new folder is in its place, and the next `recover` will say so.
            with contextlib.suppress(OSError):
                _settle(target)
    return True


def write_file(path: Path, content: bytes) -> None:
    """Writes one file, whole or not at all; on return it is safe on disk.

    A file that is there keeps its mode, and a symbolic link stays one: what it points to is written. A new
    file gets mode 0644 less the umask. What a killed run left of the same in this folder is removed. Into what is no
    regular file, as a device or a pipe, the content is written as it stands: such a thing cannot be replaced by
    another without ceasing to be what it is.

    Raises:
        OutsideError: that was impossible; what was there stands.
    """
    with _faults(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        place = Path(os.path.realpath(path))
        # Standard output that goes into a file is still not a file's name: what others write there stays.
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
    """Makes a folder and those that it is in, where they are missing.

    Raises:
        OutsideError: that was impossible.
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
    """Writes a file that is not there yet, whole or not at all, with mode 0644 less the umask.

    Returns:
        False if something of this name is there; it is not touched, even if it came at this very moment.

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
            # Some filesystems have no second names for a file.
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
    """A new folder, which takes the place of `target` when the `with` block ends; left by an error, it goes.

    At any moment, also after `kill -9`, the old folder or the new one is there (where the system
    cannot exchange two folders at once, and after a kill, only when :func:`sweep` has run). The folder's path is of
    this run alone, so that a program that has outlived an earlier run does no harm. What is in it is not seen safely
    onto the disk: it is to be something that can be made again. To be called under :func:`exclusive`.

    Args:
        target: the folder that is to be replaced, or made.
        owned: says of a folder in the target's place whether kgen has made it. Only such a folder, or an empty one, is
            replaced.

    Raises:
        OutsideError: that was impossible, or something is in the way that is not kgen's; the old folder stands.
    """
    with _faults(target):
        _refuse_foreign(target, owned)
    with _faults(target), _marked(lambda: _sibling(target, f".{_random()}{_STAGE}")) as stage:
        made = stage / _MADE
        made.mkdir()
        yield made
        # what another process put there in the meantime stays
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
            # A folder from a lower layer of an overlay, as in a container's image: it can only be emptied.
            _remove(target)
        try:
            made.rename(target)
        except OSError:
            if _is_there(aside):
                aside.rename(target)
            raise
    _sync(target.parent)


def _refuse_foreign(target: Path, owned: Callable[[Path], bool]) -> None:
    """Raises unless the target is not there, is an empty folder, or is a folder that is kgen's."""
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
    """A folder for what is needed for a moment, in the place that the system has for that; it goes at the end.

    What a killed run has left of the kind is removed by :func:`sweep`.

    Raises:
        OutsideError: there is no room for one.
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
    """A new folder with kgen's mark, locked as a sign that its maker is alive; it is removed at the end."""
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
            # Another process swept between its creation and this.
            continue
        with contextlib.suppress(OSError):
            # In vain where locks are unknown; nobody there can tell that it has no owner either.
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            os.write(handle, _MARKED)
            return folder, handle
        os.close(handle)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(name()))


def _remove_marked(folder: Path) -> None:
    """Removes the folder, its mark last: half removed, it is still recognisable."""
    for path in folder.iterdir():
        if path.name != _MARK:
            _remove(path)
    (folder / _MARK).unlink(missing_ok=True)
    folder.rmdir()


def sweep(folder: Path) -> None:
    """Removes what ended runs have left in a folder of environments or for temporary files; never a live run's.

    An old environment that had been moved aside, and whose successor did not get into its place, is put back. What
    cannot be removed is left to the next run. Nothing is removed but what carries kgen's mark.
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
        # Its maker was killed right then, or is about to make its mark and will see that the folder is gone.
        folder.rmdir()
        return
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = os.read(handle, len(_MARKED) + 1)
        # A maker that was killed at once has written nothing into it, and nothing beside it.
        if content == _MARKED or (not content and [path.name for path in folder.iterdir()] == [_MARK]):
            name = re.fullmatch(rf"\.(.+)\.[0-9a-f]+{re.escape(_STAGE)}", folder.name)
            if name is not None and _is_there(folder / _ASIDE) and not _is_there(folder.with_name(name[1])):
                (folder / _ASIDE).rename(folder.with_name(name[1]))
            _remove_marked(folder)
    finally:
        os.close(handle)


def guard_of(target: Path) -> Path:
    """The folder that is held while the folder `target` is made: what is in `target` comes and goes as a whole."""
    return _sibling(target, _GUARD)


def _sweep_guard(guard: Path) -> None:
    """Removes the folder that a killed run has held; not while a process holds it."""
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
    """Do what :func:`recover` does, if no other process holds the folder, for the folders that kgen replaces.

    What cannot be finished is left to who writes into the folder next, and gets an error.

    Args:
        folder: the folder.
        replaced: says of a folder's name in it whether kgen replaces that one.
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
    """Hold the project: one process at a time is inside such a `with` block for the same folder.

    The kernel keeps the lock and releases it when the process ends, however that happens. The lock's file is
    removed at the end; only a killed process leaves it behind, and it blocks no other. Creates the folder if it
    is not there, and removes it at the end if it did so and nothing was written into it.

    Args:
        locks: the folder.
        who: what messages call the other command.
        wait: called once if another process is inside, which is then waited for; None to raise at once.

    Raises:
        OutsideError: another process is inside, or the folder cannot be written.
    """
    with _faults(locks, "cannot be locked"):
        handle, created = _acquire(locks, who, wait)
    try:
        yield
    finally:
        # Removed while it is locked: a process that opened it before and locks it afterwards sees that it is gone.
        with contextlib.suppress(OSError):
            (locks / _LOCK).unlink()
        os.close(handle)
        if created:
            with contextlib.suppress(OSError):
                locks.rmdir()


def _acquire(locks: Path, who: str, wait: Callable[[], None] | None) -> tuple[int, bool]:
    """The locked handle, and whether the folder had to be created."""
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
        # Opened while its last holder was removing it.
        os.close(handle)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(locks))


@contextlib.contextmanager
def _faults(path: Path, what: str = "cannot be written") -> Iterator[None]:
    """Turns what the system refuses within the block into an error that a user can act on."""
    try:
        yield
    except OSError as error:
        raise files.unwritable(path, error, what=what) from error


@dataclass(frozen=True, slots=True)
class _Contents:
    """What is in a folder: the paths of all that is not a folder, and the paths and modes of the folders."""

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
    """Raises if the old folder would be left over: moving it is allowed, but not removing what is in it."""
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
    """Whether something has this name; unlike `exists`, any doubt is an error and not a no."""
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
    """Makes the new folder in full, and sees it safely onto the disk."""
    staged.mkdir()
    for name, content in sorted(files.items()):
        path = staged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _fill(handle, content)
        finally:
            os.close(handle)
    # A folder goes with its last file; one that was empty was meant to be.
    full = {str(folder) for name in old.files for folder in PurePosixPath(name).parents}
    for name in sorted(set(old.folders) - full - {""}):
        (staged / name).mkdir(parents=True, exist_ok=True)
    for name in kept:
        path = staged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep(target / name, path)
    # From the inside out: a folder's mode may forbid to go on in it.
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
        # It has the name of a folder that is wanted.
        raise
    except OSError:
        # No links on this filesystem, or none to other people's files.
        shutil.copy2(source, place, follow_symlinks=False)
        if not stat.S_ISLNK(place.lstat().st_mode):
            _sync(place)


def _swap(staged: Path, target: Path) -> None:
    """Puts the complete staged folder in the target's place; the old one is one of the siblings then."""
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
        # A folder from a lower layer of an overlay, as in a container's image, cannot be moved. It can be
        # emptied; from the sign on there is only the way forward.
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
    """Exchanges two names in one step; False if the system has no such step, or refuses it."""
    call = _renameat2()
    if call is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    # Why it was refused does not matter: two renames follow, and what forbids those too is reported then.
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
    """Makes the target whole, from whatever state a run was left in, and removes its siblings."""
    new, old = _sibling(target, _NEW), _sibling(target, _OLD)
    if _is_there(old):
        if _is_there(new):
            if _is_there(target) and not any(old.iterdir()):
                # The sign: the target is the old folder, perhaps half removed.
                _remove(target)
            if not _is_there(target):
                new.rename(target)
            _remove(new)
        elif not _is_there(target):
            old.rename(target)
            return
        _sync(target.parent)
        # Under its own name, half removed, it could be taken for the whole old folder.
        old.rename(new)
    _remove(new)


def _remove(path: Path) -> None:
    """Removes whatever is there, if anything is."""
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
        # an environment has tens of thousands of files, and only folders take a second look
        if entry.is_dir(follow_symlinks=False):
            _remove(Path(entry.path))
        else:
            Path(entry.path).unlink()
    path.rmdir()


def _temporary(place: Path) -> tuple[Path, int]:
    """A new file beside this one, open, and locked as a sign that its maker is alive."""
    for _ in range(_ATTEMPTS):
        path = place.with_name(f".{place.name}.{os.urandom(4).hex()}{_TEMPORARY}")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with contextlib.suppress(OSError):
            # In vain where locks are unknown; nobody there can tell that it has no owner either.
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        # Another process swept between its creation and its lock.
        os.close(handle)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place))


def _sweep(folder: Path, names: Iterable[str] | None = None) -> None:
    """Removes the temporary files in the folder whose makers have died; what it cannot, it leaves."""
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
    """Sees a folder's entries, or a file's content, safely onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network filesystems know this for files only.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
