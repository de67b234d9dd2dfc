"""Fetches the files of locks, as an installer would find them, each to its place."""

from __future__ import annotations

import concurrent.futures
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kgen import files, host, index, project, uvsettings, uvtool, wheels
from kgen.errors import WITH_A_NETWORK, HashMismatchError, KgenError, OfflineError, OutsideError, UnavailableError
from kgen.explain.names import few
from kgen.explain.sizes import size_text
from kgen.formats import interface, vendor
from kgen.formats.archive import Progress, Report, digest
from kgen.model.format import Format
from kgen.model.lockfile import LockedFile, Lockfile

_AT_ONCE = 4


def fetch(root: Path, store: Path, wanted: Sequence[tuple[LockedFile, Lockfile]], report: Report) -> int:
    """Have files in a folder, by digest and name; what an earlier call has left there is not fetched again.

    Args:
        root: the project's folder.
        store: the folder.
        wanted: each file, with the lock that it is of.
        report: shows how far it is.

    Returns:
        How many bytes came.

    Raises:
        OutsideError: one cannot be fetched, or is another one.
    """
    progress = Progress(report=report, total=sum(file.size or 0 for file, _ in wanted))
    cancel = threading.Event()
    with uvsettings.wheel_reader(root, cancel=cancel) as reader:
        places = _Places(root, uvtool.find(), reader)
        if host.is_offline():
            _refuse_absent(root, store, wanted)

        def get(file: LockedFile, lock: Lockfile) -> None:
            places.save(file, lock, store / file.sha256 / file.filename, progress)

        pool = concurrent.futures.ThreadPoolExecutor(_AT_ONCE)
        try:
            for done in concurrent.futures.as_completed([pool.submit(get, *one) for one in wanted]):
                done.result()
        except BaseException:
            cancel.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return progress.done


def _refuse_absent(root: Path, store: Path, wanted: Sequence[tuple[LockedFile, Lockfile]]) -> None:
    """Say which files are not on this machine, where none may be fetched.

    Raises:
        OutsideError: there are such files.
    """
    absent = [
        file
        for file, lock in wanted
        if not files.is_file(store / file.sha256 / file.filename) and next(vendor.here(root, file, lock), None) is None
    ]
    if absent:
        named = few([f"{file.filename} ({size_text(file.size)})" for file in absent])
        size = sum(file.size or 0 for file in absent)
        raise OfflineError(
            f"{len(absent)} of {len(wanted)} files, {size_text(size)}, are not in a folder on this machine, and"
            f" `--offline` keeps kgen from fetching them: {named}",
            hints=[
                WITH_A_NETWORK,
                "name a folder of them in UV_FIND_LINKS",
            ],
        )


def _nowhere(file: LockedFile, lock: Lockfile) -> OutsideError:
    return UnavailableError(
        f"{lock.environment}: {file.filename} is nowhere to be had: no index that uv is configured for lists it",
        hints=["configure uv for an index that has it (`uv.toml`, UV_DEFAULT_INDEX, UV_FIND_LINKS)"],
    )


class _Places:
    """Where locked files may be had, as an installer would look for them; safe to use from many threads."""

    def __init__(self, root: Path, program: str, reader: wheels.WheelReader) -> None:
        self._root = root
        self._program = program
        self._reader = reader
        self._guard = threading.Lock()
        self._indexes: index.Index | None = None
        self._own: Callable[[str, str], str] | None = None
        self._fetchers: dict[str, Callable[[LockedFile, Path], None] | None] = {}

    def save(self, file: LockedFile, lock: Lockfile, target: Path, progress: Progress) -> None:
        """Have a file in its place, from wherever it can be had.

        Raises:
            OutsideError: it cannot be fetched.
        """
        target.parent.mkdir(exist_ok=True)
        if files.is_file(target):
            progress.add(target.stat().st_size)
            return
        fetch = self._fetcher(lock.form) if vendor.is_package(file) else None
        if fetch is not None:
            self._save_package(file, target, fetch, progress)
            return
        faults: list[KgenError] = []
        try:
            for place in self.of(file, lock):
                if self._saved(place, file, target, progress, faults):
                    return
        except OutsideError as error:  # no index says where else it is: what is wrong with the places before tells more
            faults.append(error)
        raise faults[0] if faults else _nowhere(file, lock)

    def _saved(self, place: str, file: LockedFile, target: Path, progress: Progress, faults: list[KgenError]) -> bool:
        try:
            self._reader.save(place, filename=file.filename, sha256=file.sha256, target=target, report=progress.add)
        except OutsideError as error:
            faults.append(error)
            return False
        return True

    def _fetcher(self, form: Format) -> Callable[[LockedFile, Path], None] | None:
        with self._guard:
            if form.name not in self._fetchers:
                found = interface.fetcher(form)
                self._fetchers[form.name] = None if found is None else found.opened()
            return self._fetchers[form.name]

    def _save_package(
        self, file: LockedFile, target: Path, fetch: Callable[[LockedFile, Path], None], progress: Progress
    ) -> None:
        brought = vendor.path_of(self._root, file)
        part = target.with_name(f"{target.name}.part")
        try:
            if files.is_file(brought):
                shutil.copyfile(brought, part)
            else:
                fetch(file, part)
            with part.open("rb") as content:
                found = digest(content)
            if found != file.sha256:
                raise HashMismatchError(
                    f"{file.filename} is not the file of the lock: sha256 {found}, expected {file.sha256}",
                    hints=["tell who keeps the channel that has it, or lock again"],
                )
            progress.add(part.stat().st_size)
            part.replace(target)
        except OSError as error:
            raise files.unwritable(target, error) from error
        finally:
            part.unlink(missing_ok=True)

    def of(self, file: LockedFile, lock: Lockfile) -> Iterator[str]:
        """The places of a file, the nearest first.

        Raises:
            OutsideError: an index cannot be asked.
        """
        yield from map(str, vendor.here(self._root, file, lock))
        location = file.location(lock.path)
        if location is not None and not location.startswith("file:"):
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
