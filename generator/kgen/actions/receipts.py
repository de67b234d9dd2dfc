"""Receipts as a collection: migrate, list, merge and export those of folders, here and elsewhere, and of revisions."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from kgen import files, gittool, host, lockfiles, storage
from kgen.errors import KgenError, NotLockedError, UsageError
from kgen.project import LOCKS
from kgen.validation import collection, receipts, remote, signing
from kgen.validation.collection import Entry, Skipped

GIT = "git:"
"""What is typed before a revision, where a folder is meant without it."""


class Collected(NamedTuple):
    """The receipts of some sources.

    Attributes:
        entries: one for each receipt, however many sources have it; by environment, device, driver and date.
        skipped: what looked like a receipt and is none, or none that counts.
        places: the digest of a receipt -> everywhere that it was found.
        origins: the digest of a receipt -> where it is, for others: seen from the project's folder, in a revision, or
            by the URL that was named.
    """

    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...]
    places: Mapping[str, tuple[str, ...]]
    origins: Mapping[str, str] = MappingProxyType({})

    def signatures(self, entry: Entry, ending: str) -> tuple[bytes, ...]:
        """What lies beside a receipt, wherever it was found; revisions of git are not looked through for it.

        Raises:
            OutsideError: one cannot be read.
        """
        paths = [signing.place_of(Path(place), ending) for place in self.places[entry.digest]]
        return tuple(_content(path) for path in paths if files.is_file(path))


class Migrated(NamedTuple):
    """What became of receipts of older forms.

    Attributes:
        written: the files that were rewritten.
        current: how many were Statements already.
    """

    written: tuple[Path, ...]
    current: int


def migrate(root: Path, paths: Sequence[Path] = ()) -> Migrated:
    """Rewrite receipts of older forms as in-toto Statements; nothing that they say changes.

    Args:
        root: the project's folder.
        paths: the receipts; none for all of the project.

    Raises:
        SettingsError: one is not a receipt.
        OutsideError: one cannot be read or written.
    """
    chosen = list(paths) or [
        receipt.path for one in lockfiles.environments(root) for receipt in receipts.find(one.folder)
    ]
    written, current = [], 0
    for path in chosen:
        data = receipts.load(path, "" if paths else None)
        if data["schema"] == receipts.SCHEMA:
            current += 1
            continue
        storage.write_file(path, receipts.render(data))
        written.append(path)
    return Migrated(tuple(written), current)


def collect(root: Path, sources: Sequence[str] = (), *, report: Callable[[str], None] | None = None) -> Collected:
    """The receipts of folders, files and git revisions.

    Args:
        root: the project's folder; it is asked for revisions, and its locks are the source where none is named.
        sources: folders and files; URLs of folders on other machines; `git:REVISION` for the receipts that a revision
            has below `locks/`.
        report: called with a remark that a person should read.

    Raises:
        UsageError: there is no such folder, file or revision.
        OutsideError: a source cannot be read.
    """
    found: list[Entry] = []
    origins: dict[str, str] = {}
    skipped: list[Skipped] = []
    today = dt.datetime.now(dt.timezone.utc).date()
    if not sources and not files.exists(root / LOCKS):
        raise NotLockedError(f"nothing is locked in {root}, and so nothing is proven", hints=["kgen lock"])
    with collection.Index(host.cache("receipts.sqlite"), report) as index:
        for source in sources or (str(root / LOCKS),):
            if source.startswith(GIT):
                entries, bad = index.of_revision(root, _revision(root, source.removeprefix(GIT)), LOCKS)
                named = {entry.digest: f"{GIT}{entry.source}" for entry in entries}
            elif remote.is_remote(source):
                folder = remote.fetch(source, host.cache("receipts"))
                entries, bad = index.of_folder(folder)
                named = {entry.digest: remote.url_of(source, folder, Path(entry.source)) for entry in entries}
            else:
                entries, bad = index.of_folder(_place(source, root))
                named = {entry.digest: _seen_from(root, entry.source) for entry in entries}
            early = [(entry, receipts.date_fault(entry.date, today)) for entry in entries]
            skipped += [Skipped(entry.source, fault, "does not count") for entry, fault in early if fault is not None]
            found += [entry for entry, fault in early if fault is None]
            origins = {**named, **origins}
            skipped += bad
    # the same receipt in two sources is one receipt
    distinct = {entry.digest: entry for entry in reversed(found)}
    places: dict[str, tuple[str, ...]] = {}
    for entry in found:
        places[entry.digest] = (*places.get(entry.digest, ()), entry.source)
    return Collected(tuple(sorted(distinct.values(), key=_order)), tuple(skipped), places, origins)


def _seen_from(root: Path, source: str) -> str:
    """A path as it is seen from the project's folder, which others have elsewhere."""
    try:
        return Path(os.path.relpath(source, root)).as_posix()
    except ValueError:  # on another drive of Windows
        return Path(source).as_posix()


def merge(collected: Collected, target: Path) -> tuple[Path, ...]:
    """Put receipts into a folder, each under a name made from its content, so that merging twice changes nothing.

    Signatures come along: those by keys are put into one envelope, of Sigstore's bundles the first is kept.

    Returns:
        The files that were not there before.

    Raises:
        OutsideError: they cannot be written.
    """
    written = []
    for entry in collected.entries:
        path = target / entry.environment / f"{entry.slug}-{entry.digest[:16]}.json"
        if not files.exists(path):
            storage.make_folder(path.parent)
            storage.write_file(path, receipts.render(entry.data))
            written.append(path)
        for ending, join in ((signing.BY_KEY, signing.joined), (signing.BY_IDENTITY, _first)):
            place = signing.place_of(path, ending)
            mine = (_content(place),) if files.is_file(place) else ()
            found = (*mine, *collected.signatures(entry, ending))
            if found and (whole := join(found)) != next(iter(mine), None):
                storage.write_file(place, whole)
    return tuple(written)


def _first(found: Sequence[bytes]) -> bytes:
    return found[0]


def _content(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise files.unreadable(path, error) from error


def exported(entries: Iterable[Entry]) -> str:
    """The receipts as JSON lines, a Statement each, as tools for attestations take them."""
    return "\n".join(
        json.dumps(receipts.statement(entry.data), ensure_ascii=False, allow_nan=False) for entry in entries
    )


def _revision(root: Path, name: str) -> str:
    if name.startswith("-") or not gittool.is_repository(root) or not gittool.has_revision(root, name):
        raise UsageError(f"there is no revision `{name}` in {root}", hints=["git log --oneline", "git fetch"])
    return name


def _place(source: str, root: Path) -> Path:
    path = Path(source)
    if not files.exists(path):
        hints = ["kgen receipts list", f"kgen receipts list {GIT}HEAD"]
        with contextlib.suppress(KgenError):  # it is not an environment either
            lockfiles.called(root, source)
            hints.insert(0, f"kgen validate {shlex.quote(source)} --list   # what is proven of an environment")
        raise UsageError(f"there is no folder or file {source}", hints=hints)
    return path


def _order(entry: Entry) -> tuple[str, str, str, str, str]:
    return entry.environment, entry.device, entry.driver or "", entry.date, entry.digest


def summary(entry: Entry) -> Mapping[str, object]:
    """An entry as data: what it says in short, and where it was found."""
    return {
        "environment": entry.environment,
        "platform": entry.platform,
        "device": entry.device,
        "driver": entry.driver,
        "verdict": entry.verdict,
        "date": entry.date,
        "as_locked": entry.as_locked,
        "install_set": entry.content,
        "sha256": entry.digest,
        "source": entry.source,
    }
