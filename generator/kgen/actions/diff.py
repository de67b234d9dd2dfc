"""What changed between two sets of locks: a lock, a folder of locks, or the locks of a revision of git."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from packaging.version import InvalidVersion, Version

from kgen import accelerators, files, gittool, lockfiles
from kgen.errors import NotLockedError, UsageError
from kgen.formats import interface
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.direct import SHOWN_DYNAMIC
from kgen.model.grammar import shown
from kgen.model.lockfile import Lockfile
from kgen.project import LOCKS

Locks = Mapping[str, Lockfile]

_NEXT = "HEAD"
"""The name that a git repository has for its revision before the first commit."""


class Change(NamedTuple):
    """A difference between the two sides.

    Attributes:
        what: a package, or `CUDA`, `cuDNN`, `Python`, `driver`.
        before: its value before; None if it was absent.
        after: its value after; None if it is gone.
    """

    what: str
    before: str | None
    after: str | None

    @property
    def direction(self) -> Literal["added", "removed", "up", "down", "changed"]:
        """The direction of the change."""
        if self.before is None or self.after is None:
            return "added" if self.before is None else "removed"
        try:
            before, after = Version(self.before), Version(self.after)
        except InvalidVersion:
            return "changed"
        return "changed" if before == after else "up" if before < after else "down"


class Difference(NamedTuple):
    """The changes of one environment on one platform.

    Attributes:
        lock: its name, with the platform if the name alone is ambiguous.
        state: whether the lock itself is new or gone.
        changes: CUDA, cuDNN, the driver and Python first, then packages.
        sizes: download sizes in bytes, before and after; None if unknown or absent.
        licences: packages on both sides whose declared licence changed.
        unseen: licence -> the packages that have it, for licences that no package had before.
        other: the name of the lock that it is compared with, if that differs.
    """

    lock: str
    state: Literal["added", "removed", "changed"]
    changes: tuple[Change, ...]
    sizes: tuple[int | None, int | None]
    licences: tuple[Change, ...] = ()
    unseen: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    other: str | None = None

    @property
    def title(self) -> str:
        """The compared locks; both names if they differ."""
        if self.other is None:
            return self.lock
        name, _, platform = self.lock.partition(" ")
        return f"{name if self.other.endswith(f' {platform}') else self.lock} -> {self.other}"


def _silent(_line: str) -> None:
    """Drop the note."""


def diff(
    root: Path, before: str, after: str | None = None, *, notify: Callable[[str], None] = _silent
) -> tuple[Difference, ...]:
    """What changed from one side to the other, lock by lock; locks that are the same are left out.

    A revision and the working tree may have no locks: then all locks of the other side are new, or gone.

    Args:
        root: the project's folder.
        before: a lock, a folder of locks, a locked environment, or a revision of git.
        after: the same; None for the locks of the working tree.
        notify: is called where a side has no locks, with a line that says so.

    Raises:
        UsageError: a side is none of these, a folder holds no locks, or no side has any.
        SettingsError: a lock cannot be read.
    """
    old = _side(before, root)
    new = _side(after, root) if after is not None else _below(root / LOCKS)
    names = shown(before), "the working tree" if after is None else shown(after)
    if not (old or new):
        raise NotLockedError(f"there are no locks in {names[0]} or in {names[1]}", hints=["kgen lock"])
    if not old:
        notify(f"{names[0]} has no locks: all those of {names[1]} are new")
    if not new:
        notify(f"{names[1]} has no locks: all those of {names[0]} are gone")
    if _is_one(before, root) and _is_one(after, root):
        # two locks by name are compared, whatever environments they are of; of several platforms each with its own
        if len(old) == len(new) == 1:
            new = dict(zip(old, new.values(), strict=True))
        else:
            of_platform = {lock.platform: name for name, lock in old.items()}
            new = {of_platform.get(lock.platform, name): lock for name, lock in new.items()}
    return tuple(one for name in sorted({*old, *new}) if (one := _compare(name, old.get(name), new.get(name))))


# -- reading the sides -------------------------------------------------------------------------------------------------


def _is_one(text: str | None, root: Path) -> bool:
    """Whether the text names a lock, or an environment by its name or its folder."""
    if text is None:
        return False
    path = _environment(text, root) or Path(text)
    return _kind(path) == "file" or any(formats.of_file(one.name) for one in path.glob("*"))


def _environment(text: str, root: Path) -> Path | None:
    """The folder of the locked environment with this name; None if it is also the name of a path or a revision.

    Raises:
        UsageError: it names several environments.
    """
    if not re.fullmatch(grammar.NAME, text) or _kind(Path(text)):
        return None
    if gittool.is_repository(root) and gittool.has_revision(root, text):
        return None
    if _kind(root / LOCKS / text) == "folder":
        return root / LOCKS / text
    try:
        found = lockfiles.called(root, text)
    except UsageError:
        return None  # it says that there is no such environment, and more may be meant here
    return root / LOCKS / lockfiles.only(text, found).name


def _kind(path: Path) -> Literal["file", "folder"] | None:
    """What a path names; None if no file can have such a name."""
    with contextlib.suppress(OSError, ValueError):
        return "folder" if files.is_folder(path) else "file" if files.exists(path) else None
    return None


def _side(text: str, root: Path) -> Locks:
    path = _environment(text, root) or Path(text)
    kind = _kind(path)
    if kind == "file":
        form = formats.of_file(path.name) or formats.default()
        return {_name(lock): lock for lock in interface.read_every(form, path)}
    return _folder(path) if kind == "folder" else _revision(text, root)


def _name(lock: Lockfile) -> str:
    return f"{lock.environment} ({lock.platform})"


def _folder(folder: Path) -> Locks:
    """The locks in a project, in its `locks`, or in an environment's folder; there must be at least one."""
    locks = _below(folder)
    if not locks:
        raise NotLockedError(f"there are no locks in {folder}", hints=["kgen lock"])
    return locks


def _below(folder: Path) -> Locks:
    inner = folder / LOCKS if files.is_folder(folder / LOCKS) else folder
    inside = sorted({*inner.glob("*"), *inner.glob("*/*")})
    return {
        _name(lock): lock
        for path in inside
        if (form := formats.of_file(path.name)) is not None
        for lock in interface.read_every(form, path)
    }


def _revision(revision: str, root: Path) -> Locks:
    """The locks of a git revision; empty for the revision of a repository without a commit."""
    if revision.startswith("-"):
        raise UsageError(
            f"`{shown(revision)}` is not a file, a folder or a revision of git", hints=["kgen diff --help"]
        )
    if not gittool.is_repository(root):
        raise UsageError(
            f"`{shown(revision)}` is not a file or a folder, and {root} is not in a git repository",
            hints=["name two locks or two folders: kgen diff A B"],
        )
    if not gittool.has_revision(root, revision):
        if revision == _NEXT and not gittool.has_commits(root):
            return {}
        raise UsageError(
            f"`{shown(revision)}` is not a file, a folder or a revision of this repository",
            hints=["git log --oneline says which revisions there are"],
        )
    locks: dict[str, Lockfile] = {}
    for path in gittool.files_below(root, revision, LOCKS):
        form = formats.of_file(path.name)
        if form is not None:
            place = Path(f"{revision}:{path.parent.as_posix()}") / path.name
            content = gittool.content(root, revision, path) or b""
            locks |= {_name(lock): lock for lock in interface.reader(form).parse(place, content)}
    return locks


# -- comparing ---------------------------------------------------------------------------------------------------------


def _compare(name: str, before: Lockfile | None, after: Lockfile | None) -> Difference | None:
    """The changes; None if there are none."""
    changes = tuple(changes_of(before, after))
    sizes = (None if before is None else before.size, None if after is None else after.size)
    if before is None or after is None:
        return Difference(name, "added" if before is None else "removed", changes, sizes)
    if before.identity == after.identity:
        return None
    other = None if _name(after) == _name(before) else _name(after)
    return Difference(name, "changed", changes, sizes, tuple(_licences(before, after)), _unseen(before, after), other)


def _licences(before: Lockfile, after: Lockfile) -> Iterator[Change]:
    """The packages whose declared licence changed, if both sides know it."""
    for name in sorted(before.licences.keys() & after.licences.keys()):
        if before.licences[name] != after.licences[name]:
            yield Change(name, before.licences[name], after.licences[name])


def _unseen(before: Lockfile, after: Lockfile) -> Mapping[str, tuple[str, ...]]:
    if not before.licences:  # it was made before licences were noted
        return {}
    seen = set(before.licences.values())
    found: dict[str, list[str]] = {}
    for name, licence in sorted(after.licences.items()):
        if licence not in seen and name not in before.versions:
            found.setdefault(licence, []).append(name)
    return {licence: tuple(names) for licence, names in sorted(found.items())}


def changes_of(before: Lockfile | None, after: Lockfile | None) -> Iterator[Change]:
    """The changes between two locks of a platform, most important first; None stands for a missing lock."""
    whole = [_whole(before), _whole(after)]
    packages = [{} if lock is None else {**lock.versions, **_places(lock)} for lock in (before, after)]
    main = {name for lock in (before, after) if lock is not None for name in lock.packages}
    for old, new in (whole, packages):
        # the frameworks first: they are what the rest follows
        for what in sorted({*old, *new}, key=lambda name: (name not in main, name)):
            if old.get(what) != new.get(what):
                yield Change(what, old.get(what), new.get(what))


def _places(lock: Lockfile) -> Mapping[str, str]:
    """The packages from a place, with the place: a commit or file can differ in the same version."""
    trees = {tree.name: f"{tree.version or SHOWN_DYNAMIC} ({tree.shown})" for tree in lock.trees}
    files = {file.name: f"{file.version} (sha256 {file.sha256[:12]})" for file in lock.files if file.direct}
    # two variants of a version are two builds
    variants = {
        file.name: f"{file.version} ({file.wheel.variant})" for file in lock.files if file.wheel and file.wheel.variant
    }
    return {**variants, **files, **trees}


def _whole(lock: Lockfile | None) -> Mapping[str, str]:
    if lock is None:
        return {}
    runtime = {accelerators.kind(lock.computes_on.kind).title: lock.runtime}
    found = {**runtime, "cuDNN": lock.cudnn, "driver": lock.driver, "Python": lock.python}
    return {name: value for name, value in found.items() if value is not None}
