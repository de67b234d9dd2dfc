"""Collections of receipts: a summary of each, from an index that is rebuilt if it is missing or wrong.

The index is an SQLite file in kgen's cache. A row is about one file in one state (its size and times), or about one git
blob; a changed file gets a new row. The index contains nothing that is not in the receipts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kgen import files, gittool
from kgen.errors import SettingsError
from kgen.validation import receipts

_VERSION = 2
"""The version of the tables; an index of another version is rebuilt."""

_PATIENCE = 5.0
"""Seconds to wait for another kgen that has locked the index; after that, kgen goes on without the index."""


class Entry(NamedTuple):
    """A receipt in a collection.

    Attributes:
        digest: the sha256 of its content, so that copies of a receipt have the same.
        environment: the environment's name on disk.
        platform: the platform, as a conda subdir.
        content: the digest of what the lock installs; None in old receipts.
        kind: `cpu`, or the kind of accelerator, such as `cuda`.
        device: the device, in words.
        capability: the architecture of the GPU; None without a GPU.
        driver: the driver of the GPU; None without a GPU.
        verdict: `passed` or `failed`.
        date: the day, such as `2026-11-20`.
        as_locked: whether exactly what is locked was installed.
        step: seconds of a step of its slowest backend; None if nothing was measured.
        suite: the suite that was run.
        text: the receipt itself, as JSON.
        source: where it was found.
    """

    digest: str
    environment: str
    platform: str
    content: str | None
    kind: str
    device: str
    capability: str | None
    driver: str | None
    verdict: str
    date: str
    as_locked: bool
    step: float | None
    suite: str
    text: str
    source: str = ""

    @property
    def data(self) -> Mapping[str, Any]:
        """The receipt, as :func:`kgen.validation.receipts.parse` returns it."""
        found: Mapping[str, Any] = json.loads(self.text)
        return found

    @property
    def slug(self) -> str:
        """The name of its file without the suffix."""
        return receipts.slug(self.data["device"], self.suite)


class Skipped(NamedTuple):
    """A file that looked like a receipt.

    Attributes:
        source: where it was found.
        why: what is wrong with it.
        what: that it is not a receipt, in words.
    """

    source: str
    why: str
    what: str = "is not a receipt of this version of kgen"


_COLUMNS = Entry._fields[:-1]
_Found = tuple[list[Entry], list[Skipped]]


def entry_of(data: Mapping[str, Any], source: str = "") -> Entry:
    """The summary of a receipt."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    said = json.dumps(receipts.statement(data), sort_keys=True, separators=(",", ":"))
    device = data["device"]
    seconds = [row["seconds"]["step"] for row in data["steps"] if _measured(row)]
    return Entry(
        digest=hashlib.sha256(said.encode()).hexdigest(),
        environment=data["environment"],
        platform=data["platform"],
        content=data["lock"].get("content"),
        kind=device.get("accelerator") or device["kind"],
        device=device["name"] or device["kind"],
        capability=device["capability"],
        driver=device["driver"],
        verdict=data["verdict"],
        date=data["date"],
        as_locked=data["installed"]["as_locked"],
        step=max(seconds, default=None),
        suite=receipts.suite_of(data),
        text=text,
        source=source,
    )


def _measured(row: Mapping[str, Any]) -> bool:
    seconds = row.get("seconds")
    return isinstance(seconds, Mapping) and type(seconds.get("step")) in {int, float}


class Index:
    """The index, open within a `with` block.

    Args:
        path: its file.
        report: called with a remark if it cannot be stored, and kgen reads the receipts without it.
    """

    def __init__(self, path: Path, report: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._report = report
        self._base: sqlite3.Connection | None = None
        self._fresh: list[tuple[object, ...]] = []

    def __enter__(self) -> Index:  # noqa: PYI034 - `Self` is younger than the oldest Python
        try:
            self._base = self._opened()
        except (OSError, sqlite3.Error):
            # it is a cache: rebuilding it fixes whatever is wrong
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            try:
                self._base = self._opened()
            except (OSError, sqlite3.Error) as error:
                self._tell(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._base is None:
            return
        try:
            with self._base:
                marks = ", ".join("?" * (len(_COLUMNS) + 2))
                self._base.executemany(f"INSERT OR REPLACE INTO receipt VALUES ({marks})", self._fresh)  # noqa: S608
        except sqlite3.Error as error:
            self._tell(error)
        finally:
            self._base.close()

    def of_folder(self, place: Path) -> _Found:
        """The receipts below a folder, or the one in a file.

        Raises:
            OutsideError: the folder cannot be read.
        """
        known = self._known()
        entries: list[Entry] = []
        skipped: list[Skipped] = []
        for path, state in _files_of(place):
            key = os.path.realpath(path)
            row = known.get(key)
            if row is not None and row[0] == state:
                entries.append(self._entry(row, str(path)))
                continue
            try:
                content = files.read(path)
            except OSError as error:
                skipped.append(Skipped(str(path), error.strerror or str(error)))
                continue
            self._take(content, path, (key, state), entries, skipped)
        return entries, skipped

    def of_revision(self, root: Path, revision: str, below: str) -> _Found:
        """The receipts in a git revision, in the folders below a folder in which locks have theirs.

        Raises:
            OutsideError: git failed.
        """
        known = self._known()
        listed = gittool.blobs(root, revision, below)
        mine = {path: blob for path, blob in listed.items() if path.parent.name == receipts.FOLDER}
        mine = {path: blob for path, blob in mine.items() if path.suffix == ".json"}
        missing = [blob for blob in dict.fromkeys(mine.values()) if blob not in known]
        contents = gittool.contents(root, missing)
        entries: list[Entry] = []
        skipped: list[Skipped] = []
        for path, blob in mine.items():
            source = f"{revision}:{path.as_posix()}"
            if blob in known:
                entries.append(self._entry(known[blob], source))
            elif blob in contents:
                self._take(contents[blob], Path(source), (blob, blob), entries, skipped)
        return entries, skipped

    def _take(
        self, content: bytes, path: Path, key: tuple[str, str], entries: list[Entry], skipped: list[Skipped]
    ) -> None:
        if not _may_be_one(content):
            return
        try:
            entry = entry_of(receipts.parse(path, content, ""), str(path))
        except SettingsError as error:
            skipped.append(Skipped(str(path), error.message.partition(":\n  ")[2].replace("\n  ", "; ")))
            return
        self._fresh.append((*key, *entry[:-1]))
        entries.append(entry)

    def _known(self) -> dict[str, tuple[str, tuple[Any, ...]]]:
        if self._base is None:
            return {}
        rows = self._base.execute("SELECT * FROM receipt")
        return {row[0]: (row[1], row[2:]) for row in rows}

    @staticmethod
    def _entry(row: tuple[str, tuple[Any, ...]], source: str) -> Entry:
        entry = Entry._make((*row[1], source))
        return entry._replace(as_locked=bool(entry.as_locked))

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        base = sqlite3.connect(self._path, timeout=_PATIENCE)
        try:
            version = base.execute("PRAGMA user_version").fetchone()[0]
            if version != _VERSION:
                base.execute("DROP TABLE IF EXISTS receipt")
                base.execute(f"CREATE TABLE receipt (key TEXT PRIMARY KEY, state TEXT, {', '.join(_COLUMNS)})")
                base.execute(f"PRAGMA user_version = {_VERSION}")
                base.commit()
            # detects a damaged file now rather than during use
            base.execute("SELECT * FROM receipt").fetchone()
        except BaseException:
            base.close()
            raise
        return base

    def _tell(self, error: Exception) -> None:
        self._base = None
        if self._report is not None:
            self._report(f"note: the index {self._path} cannot be used: {error}; the receipts are read without it")


def _may_be_one(content: bytes) -> bool:
    """Whether a file claims to be a receipt: folders of receipts may contain other JSON files."""
    return receipts.DETAIL.encode() in content or (b'"schema"' in content and b'"as_locked"' in content)


def _files_of(place: Path) -> Iterator[tuple[Path, str]]:
    """Every JSON file, with a text that changes when the file does."""
    if not files.is_folder(place):
        yield place, _state(place.stat())
        return
    waiting = [str(place)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda one: one.name)
        except OSError as error:
            raise files.unreadable(Path(folder), error) from error
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.name.endswith(".json"):
                with contextlib.suppress(OSError):  # a dangling link, or a file removed meanwhile
                    yield Path(entry.path), _state(entry.stat())


def _state(facts: os.stat_result) -> str:
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"


def by_lock(entries: Iterable[Entry]) -> dict[tuple[str, str], list[Entry]]:
    """(environment, platform) -> its receipts."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.environment, entry.platform), []).append(entry)
    return found
