"""Whether everything that is requested is locked already, so that no solver, resolver or network is needed.

That is so for a lock that this kgen made for the same request, with the same matrix and uv configuration, and that has
not changed since: locking again would keep it.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgen import __version__, caches, fields, files, freshness, host, lockfiles, replay, storage, uvsettings
from kgen.actions import flake
from kgen.actions.lock_options import LockOptions
from kgen.actions.plan import Draft
from kgen.emitters import hooks
from kgen.errors import KgenError
from kgen.formats import interface
from kgen.formats.outcome import Locked, Outcome
from kgen.formats.uptodate import CurrentLock
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import selection
from kgen.model import format as formats
from kgen.model.format import Format
from kgen.model.lockfile import Lockfile
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.project import LOCKS
from kgen.settings import Settings


def all_up_to_date(
    matrix: CompatibilityMatrix, drafted: Draft, options: LockOptions
) -> tuple[Outcome[CurrentLock], ...] | None:
    """The existing locks of all requests, in their order; None if any has to be made.

    Args:
        matrix: the facts.
        drafted: the requests.
        options: how to lock them.
    """
    settings = drafted.settings
    wanted = {formats.default().name, *settings.installers, *options.installers}
    # locking refuses fields of a form that is not requested
    strange = {fields.BY_NAME[name].installer for name in options.given} - {*wanted, None}
    if options.anew or drafted.as_of or strange:
        return None
    if not storage.is_settled(settings.root / LOCKS):
        return None
    if flake.is_missing(settings):
        if files.may_write(settings.root):
            return None
        replay.forget()  # no file's state shows how filesystems are mounted
    found = _in_default_form(matrix, drafted, every=options.all_platforms)
    for form in formats.others() if found else ():
        if form.name in wanted:
            requests = [one.request for one in found if one.form.is_default]
            beside = _beside(form, matrix, settings, requests, every=options.all_platforms)
            found = [*found, *beside] if beside else []
    return tuple(found) or None


def unnamed(settings: Settings, requests: Sequence[EnvironmentRequest], options: LockOptions) -> tuple[str, ...]:
    """The locked environments that the settings do not name, if everything that they name is requested.

    Args:
        settings: the settings.
        requests: the requests.
        options: how to lock them.
    """
    if settings.file is None or not options.everything:
        return ()
    asked = {request.environment for request in requests}
    return tuple(one.name for one in lockfiles.environments(settings.root) if one.name not in asked)


def _in_default_form(matrix: CompatibilityMatrix, drafted: Draft, *, every: bool) -> list[Outcome[CurrentLock]]:
    """The existing locks of all requests in the default form; none if any has to be made."""
    settings = drafted.settings
    known = _Locks(matrix, settings, every=every)
    pythons = {}
    for generation, alike in drafted.of_generations(matrix).items():
        chosen = settings.pythons or ((drafted.python,) if drafted.python else known.pythons(alike))
        if not chosen or (not settings.pythons and len(chosen) != 1):
            return []
        if drafted.allowed is not None and not set(chosen) <= set(drafted.allowed.minors):
            return []
        pythons[generation] = chosen
    found = []
    for request in drafted.on(pythons, matrix).requests:
        lock = known.of(request)
        if lock is None:
            return []
        found.append(Outcome(request=request, form=formats.default(), lock=lock))
    return found


def _beside(
    form: Format,
    matrix: CompatibilityMatrix,
    settings: Settings,
    requests: Sequence[EnvironmentRequest],
    *,
    every: bool,
) -> list[Outcome[CurrentLock]]:
    """The existing locks of requests in another form; none if any has to be made.

    Such a lock has no digest of its own. It counts if kgen made it on this machine, and nothing in its folder has
    changed since.
    """
    with contextlib.suppress(OSError, KgenError, ValueError, KeyError, TypeError):
        known = interface.up_to_date(form)
        if known is None:
            return []
        surroundings = known.surroundings(matrix, settings, {request.platform for request in requests})
        found = []
        for request in requests:
            folder = settings.root / LOCKS / request.environment
            there = _Remembered.read(_memory(settings.root, request.environment, form))
            if (there.folder, there.surroundings) != (_digest(folder), surroundings):
                return []
            lock = known.made_for(folder, request, matrix, settings, every=every)
            if lock is None:
                return []
            frameworks, notes = there.told[request.platform]
            locked = CurrentLock(lock, frameworks, ())
            found.append(Outcome(request=request, form=form, lock=locked, notes=list(notes)))
        return found
    return []


def whole_environments(
    matrix: CompatibilityMatrix, settings: Settings, requests: Sequence[EnvironmentRequest], *, every: bool
) -> Mapping[EnvironmentRequest, CurrentLock]:
    """The locks of environments in which locking again would change nothing, by their requests.

    Args:
        matrix: the facts.
        settings: the settings, overridden by flags.
        requests: the requests.
        every: whether the requests cover all platforms of their environments.
    """
    known = _Locks(matrix, settings, every=every)
    found = {request: known.of(request) for request in requests}
    moving = {request.environment for request, lock in found.items() if lock is None}
    return {request: lock for request, lock in found.items() if lock is not None and request.environment not in moving}


def beside(request: EnvironmentRequest, there: Mapping[EnvironmentRequest, CurrentLock]) -> EnvironmentRequest:
    """The request with a preference for the libraries of existing locks, so that environments continue to share them.

    Args:
        request: the request.
        there: the existing locks; only those for the same platform and Python count.
    """
    held = {wish.name for wish in request.held}
    wished = {
        name: version
        for other, lock in there.items()
        if (other.platform, other.python) == (request.platform, request.python)
        for name, version in lock.lock.versions.items()
        if name not in held and name not in lock.lock.packages
    }
    return request._replace(
        held=(*request.held, *(Requirement(f"{name}=={version}") for name, version in sorted(wished.items())))
    )


class _Remembered(NamedTuple):
    """What kgen remembers about the locks of an environment in a form without a digest of its own.

    Attributes:
        folder: the digest of all files in the environment's folder.
        surroundings: the digest of what else affects its locks.
        told: platform -> the frameworks with their versions, and the notes.
    """

    folder: str
    surroundings: str
    told: Mapping[str, tuple[Mapping[str, str], Sequence[str]]]

    @classmethod
    def read(cls, path: Path) -> _Remembered:
        return cls(*json.loads(files.read_text(path)))

    def write(self, path: Path) -> None:
        caches.keep(path, json.dumps(self).encode())


def remember(
    matrix: CompatibilityMatrix, settings: Settings, environments: Collection[str], outcomes: Sequence[Outcome[Locked]]
) -> None:
    """Store in kgen's cache what locks were made with but do not contain.

    Args:
        matrix: the facts.
        settings: the settings, overridden by flags.
        environments: the environments that were locked.
        outcomes: the outcome of each request, in every form.
    """
    root = settings.root
    with contextlib.suppress(OSError, KgenError):  # without it, kgen resolves again next time
        for environment in environments:
            caches.keep(_memory(root, environment), uvsettings.fingerprint(root).encode())
        for form in formats.others():
            mine = [one for one in outcomes if one.form.name == form.name]
            known = interface.up_to_date(form) if mine else None
            if known is None:
                continue
            surroundings = known.surroundings(matrix, settings, {one.request.platform for one in mine})
            for environment in environments:
                here = [one for one in mine if one.request.environment == environment]
                told = {
                    one.request.platform: (dict(one.lock.summary.frameworks), one.notes)
                    for one in here
                    if one.lock is not None
                }
                if len(told) == len(here) > 0:
                    digest = _digest(root / LOCKS / environment)
                    _Remembered(digest, surroundings, told).write(_memory(root, environment, form))


def _digest(folder: Path) -> str:
    """A digest of everything in the folder of an environment."""
    return lockfiles.digest_of_files(
        {path.relative_to(folder).as_posix(): files.read(path) for path in _inside(folder) if files.is_file(path)}
    )


def _inside(folder: Path) -> list[Path]:
    """Everything in the folder of an environment, at any depth."""
    found = list(folder.rglob("*"))
    for path in (folder, *found):
        replay.looked(path)
    return found


def _memory(root: Path, environment: str, form: Format | None = None) -> Path:
    place = str(files.resolved(root) / LOCKS / environment) + ("" if form is None else f"\n{form.name}")
    name = lockfiles.digest(place.encode("utf-8", "surrogatepass"))
    return host.cache("standing") / name


class _Locks:
    """The locks of a project, each read once."""

    def __init__(self, matrix: CompatibilityMatrix, settings: Settings, *, every: bool) -> None:
        self._matrix = matrix
        self._settings = settings
        self._every = every
        self._read: dict[Path, tuple[Lockfile, Mapping[str, Any]] | None] = {}
        self._platforms: dict[Path, set[str]] = {}

    @functools.cached_property
    def _configuration(self) -> str:
        return uvsettings.fingerprint(self._settings.root)

    def _configured_as_before(self, environment: str) -> bool:
        """Whether uv's configuration is unchanged since these locks, as far as is known on this machine."""
        try:
            return files.read_text(_memory(self._settings.root, environment)) == self._configuration
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return True  # locked on another machine, or by another user: the lock contains what affects it
        except (OSError, ValueError):
            return False

    def pythons(self, requests: Sequence[EnvironmentRequest]) -> tuple[str, ...]:
        """The Pythons that these requests are locked for; () if one of them is not locked."""
        found = []
        for request in requests:
            read = self._lock(request)
            if read is None:
                return ()
            found.append(read[0].python)
        return tuple(dict.fromkeys(found))

    def of(self, request: EnvironmentRequest) -> CurrentLock | None:
        """The lock that this request would get again; None if it may get another one."""
        read = self._lock(request)
        if read is None:
            return None
        lock, data = read
        matrix, kgen = self._matrix, data["tool"]["kgen"]
        stands = (
            kgen.get("matrix") == matrix.revision
            and kgen.get("kgen") == __version__
            and fields.lock_data(fields.request_of(kgen)) == fields.lock_data(request)
            and self._settings.portable == (not lock.names_hosts)
            and self._configured_as_before(request.environment)
            and self._is_whole(request)
            and not any(freshness.changed_sources(lock))
        )
        if not stands:
            return None
        return CurrentLock.of(matrix, lock, data)

    def _lock(self, request: EnvironmentRequest) -> tuple[Lockfile, Mapping[str, Any]] | None:
        """The lock of a request as kgen wrote it; None if there is no such lock."""
        path = self._folder(request) / lockfiles.filename(request.platform)
        if path not in self._read:
            self._read[path] = _untouched(path)
        return self._read[path]

    def _folder(self, request: EnvironmentRequest) -> Path:
        return self._settings.root / LOCKS / request.environment

    def _is_whole(self, request: EnvironmentRequest) -> bool:
        """Whether the folder contains the hooks that kgen would write now, and nothing that locking would remove."""
        folder = self._folder(request)
        inside = {path.relative_to(folder).as_posix() for path in _inside(folder)}
        wanted = set(hooks.places())
        left_over = {path for path in inside if lockfiles.is_hook(path)} - wanted
        platforms = {found for path in inside if (found := formats.default().platform_of(path))}
        asked = set(self._settings.platforms or {request.platform})
        if not wanted <= inside or left_over or (self._every and platforms - asked):
            return False
        variables = selection(self._matrix, request.backends, request.accelerator.name, isolated=False).variables
        there = {place: files.read(folder / place, files.SMALL) for place in wanted}
        cache = host.cache("hooks")
        return lockfiles.digest_of_files(there) == hooks.digest(request.environment, variables, cache=cache)


def _untouched(path: Path) -> tuple[Lockfile, Mapping[str, Any]] | None:
    try:
        content = files.read(path)
        return lockfiles.parse(path, content) if lockfiles.is_as_sealed(content) else None
    except (OSError, KgenError, ValueError):
        return None
