"""Packages from places that a request names: their commits, their requirements, and what builds them.

kgen runs no code of a package: it reads the requirements from its `pyproject.toml`, or from its source distribution.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import InvalidSdistFilename, parse_sdist_filename

from kgen import files, gittool, host, project, trees, uvsettings
from kgen.errors import WITH_A_NETWORK, HashMismatchError, OfflineError, SettingsError, UnavailableError
from kgen.fields import allow_build_command, lock_command
from kgen.formats.wheels.source import by_hand, compiled_file, read_source
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import direct
from kgen.model.direct import DirectReference, Kind
from kgen.model.grammar import printable
from kgen.model.lockfile import LockedFile, LockedTree
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import DirectRelease
from kgen.project import PYPROJECT

if TYPE_CHECKING:
    from kgen.wheels import WheelReader

LARGEST = 512 * 1024 * 1024
"""The greatest size of a source distribution on this machine, in bytes."""


class DirectWheel(NamedTuple):
    """A wheel that a request names; the resolver reads it itself.

    Attributes:
        reference: the reference in the request.
        url: the wheel's URL for this machine.
        path: its path from the folder of a lock; None unless it is in the project's repository.
    """

    reference: DirectReference
    url: str
    path: str | None

    def require(self, sha256: str) -> None:
        """Check the digest, if the request names one.

        Raises:
            OutsideError: the wheel has another digest.
        """
        _require_digest(self.reference, sha256)


class _CompiledError(ValueError):
    """A tree has code that needs a compiler."""


class _Wanted(NamedTuple):
    requirement: Requirement
    reference: DirectReference
    asked: bool


class DirectSources:
    """Reads the places of requests, each place once for all requests; safe for several threads."""

    def __init__(
        self,
        root: Path,
        cache: Path,
        open_reader: Callable[[], WheelReader],
        matrix: CompatibilityMatrix,
        command: Callable[[EnvironmentRequest], str] = lock_command,
    ) -> None:
        """Prepare; this reads nothing yet.

        Args:
            root: the project's folder.
            cache: the cache folder for repositories.
            open_reader: opens a reader for source distributions.
            matrix: the facts, which decide where the packages that the matrix follows come from.
            command: returns the command line that makes a request, for hints.
        """
        self._command = command
        self._matrix = matrix
        self._root = root
        self._cache = cache
        self._open_reader = open_reader
        self._guard = threading.Lock()
        self._commits: dict[tuple[str, str | None], str] = {}
        self._read: dict[tuple[str, str], tuple[trees.SourceTree, trees.Places]] = {}
        self._files: dict[str, bytes] = {}

    @property
    def _repository(self) -> Path | None:
        return project.repository(self._root)

    def wheels(self, request: EnvironmentRequest) -> Mapping[str, DirectWheel]:
        """The wheels that a request names, by package."""
        found = {}
        for wish in request.dependencies:
            reference = direct.reference_of(wish)
            if reference is not None and reference.is_wheel:
                url, path = self._located(reference)
                found[wish.name] = DirectWheel(reference, url, path)
        return found

    def releases(self, request: EnvironmentRequest) -> tuple[DirectRelease, ...]:
        """The source releases that a request names, and those that they name in turn.

        Raises:
            SettingsError: a place does not state its requirements, or has another package.
            OutsideError: a place cannot be read.
        """
        with self._guard:
            return tuple(self._releases(request))

    def _releases(self, request: EnvironmentRequest) -> Iterator[DirectRelease]:
        held = {wish.name: wish for wish in request.held if wish.url is not None}
        queue = [
            _Wanted(wish, reference, asked=True)
            for wish in request.dependencies
            if (reference := direct.reference_of(wish)) is not None
        ]
        places: dict[str, str] = {}
        for wanted in queue:
            name, reference = wanted.requirement.name, wanted.reference
            before = places.get(name)
            if before not in {None, reference.text}:
                raise SettingsError(
                    f"{request.environment}: {name} is to come from {before} and from {reference.text}",
                    hints=["name one of them"],
                )
            if before is not None:
                continue
            places[name] = reference.text
            if reference.is_wheel:
                if not wanted.asked:
                    raise SettingsError(
                        f"{request.environment}: {name} of {reference.text} is required by another package only",
                        hints=[f"name it in the project too: kgen add '{name} @ {reference.text}'"],
                    )
                continue
            if reference.kind is Kind.FILE:
                yield self._of_file(request, wanted)
                continue
            release, more = self._of_tree(request, wanted, held.get(name))
            yield release
            queue += more  # which this loop comes to

    # -- source distributions ------------------------------------------------------------------------------------------

    def _of_file(self, request: EnvironmentRequest, wanted: _Wanted) -> DirectRelease:
        name, reference = wanted.requirement.name, wanted.reference
        if name not in request.build:
            raise SettingsError(
                f"{request.environment}: {reference.text} is a source distribution, and kgen builds only what the user"
                " names",
                hints=[
                    f"{self._command(request._replace(build=(*request.build, name)).as_asked)}   # lets it be built",
                    f"or let the settings allow it: {allow_build_command([name])}",
                ],
            )
        try:
            found, version = parse_sdist_filename(reference.filename)
        except InvalidSdistFilename as error:
            raise SettingsError(f"{request.environment}: {name}: {error}", hints=["name another file"]) from None
        if found != name:
            raise _another(request, name, found, reference)
        url, path = self._located(reference)
        content = self._content(reference, url)
        sha256 = hashlib.sha256(content).hexdigest()
        _require_digest(reference, sha256)
        requires, build = read_source(request, path or url, reference.filename, content)
        file = LockedFile(name, str(version), reference.filename, url, sha256, len(content), direct=True, path=path)
        return DirectRelease(name, str(version), requires, build, file=file, asked=wanted.asked)

    def _content(self, reference: DirectReference, url: str) -> bytes:
        if url not in self._files:
            path = reference.path(self._root)
            if path is None:
                with self._open_reader() as reader:
                    headers = {"Accept-Encoding": "identity"}
                    self._files[url] = reader.page(url, name=reference.filename, headers=headers, absent=()).body
            else:
                try:
                    self._files[url] = files.read(path, LARGEST)
                except OSError as error:
                    raise files.unreadable(path, error) from error
        return self._files[url]

    def _located(self, reference: DirectReference) -> tuple[str, str | None]:
        """The URL of a file for this machine, and its path from the folder of a lock if it is in the repository."""
        path = reference.path(self._root)
        if path is None:
            return reference.location, None
        return path.as_uri(), _from_lock(reference.location) if reference.is_path else None

    # -- source trees --------------------------------------------------------------------------------------------------

    def _of_tree(
        self, request: EnvironmentRequest, wanted: _Wanted, held: Requirement | None
    ) -> tuple[DirectRelease, Sequence[_Wanted]]:
        name, reference = wanted.requirement.name, wanted.reference
        commit = self._commit(name, reference, held) if reference.kind is Kind.GIT else ""
        try:
            key = (reference.text, commit)
            if key not in self._read:
                self._read[key] = self._look(reference, commit)
            tree, places = self._read[key]
            more, requires = [], []
            for one in tree.requires:
                place = self._nested(places.of(one), reference, commit)
                self._require_index(request, name, one, places.indexes_of(one.name))
                if place is not None and place.path(self._root) == self._root:
                    continue  # the project itself, which is installed anyway
                if place is not None:
                    more.append(_Wanted(one, place, asked=False))
                requires.append(str(one) if one.url is None else _without_place(one))
        except ValueError as error:
            hints = [f"give {reference.filename} a [project] table that says it, or build a wheel of it and name that"]
            if isinstance(error, _CompiledError):
                # without the name before it, which an older pip takes for a path where the URL has no host
                hints = [
                    by_hand(request, reference._replace(revision=commit).text),
                    f"name `{name}` without its place, then: UV_FIND_LINKS=wheels kgen lock",
                ]
            raise SettingsError(
                f"{request.environment}: {name}, {reference.kind.value} ({reference.text}), {printable(str(error))}",
                hints=hints,
            ) from None
        if tree.name != name:
            raise _another(request, name, tree.name, reference)
        locked = LockedTree(
            name,
            None if tree.version == direct.DYNAMIC else tree.version,
            path=None if commit else _from_lock(reference.location),
            sha256=None if commit else tree.sha256,
            url=reference.location if commit else None,
            commit=commit or None,
            revision=reference.revision if commit and not reference.is_exact else None,
            subdirectory=reference.subdirectory if commit else None,
        )
        if not commit and not reference.is_path:
            locked = locked._replace(path=str(reference.path(self._root)))
        return (
            DirectRelease(name, tree.version, tuple(requires), tree.build.requires, tree=locked, asked=wanted.asked),
            more,
        )

    def _require_index(
        self, request: EnvironmentRequest, of: str, one: Requirement, indexes: Sequence[tuple[str, str | None]]
    ) -> None:
        """Check that a package which a tree takes from its own index may come from there.

        By its name alone it could be anyone's package on another index.

        Raises:
            SettingsError: the project does not name that index itself.
        """
        recorded = uvsettings.recorded_source(one.name, "")
        if self._matrix.follows(one.name) or any(text.startswith(recorded) for text in request.uv):
            return
        holding = (name for name, marker in indexes if marker is None or self._matrix.holds(marker, request))
        index = next(holding, None)
        if index is None:
            return
        raise SettingsError(
            f"{request.environment}: {of} takes {one.name} from the index `{printable(index)}`, and kgen takes one"
            " from an index of its own only where the project says so itself",
            hints=[
                f"kgen add {shlex.quote(one.head)}",
                f"and name the index in {PYPROJECT} as {of} does, with `{one.name}` in [tool.uv.sources]",
            ],
        )

    def _commit(self, name: str, reference: DirectReference, held: Requirement | None) -> str:
        """The commit of a repository: the old lock's, if it is still the requested one."""
        gittool.require(f"{name} is from a git repository")
        if reference.is_exact:
            return str(reference.revision)
        old = None if held is None else direct.reference_of(held)
        if old is not None and old.location == reference.location and old.revision is not None:
            return old.revision
        key = reference.location, reference.revision
        if key not in self._commits:
            if host.is_offline():
                raise OfflineError(
                    f"{name} is from {reference.text}, and `--offline` keeps git from asking which commit that is",
                    hints=[WITH_A_NETWORK, f"name the commit behind the place of {name}: `@COMMIT`"],
                )
            found = gittool.commit_of(*key)
            if found is None:
                raise UnavailableError(
                    f"{reference.location} has no branch and no tag `{reference.revision or 'HEAD'}`",
                    hints=["name a branch, a tag, or a commit by all of its 40 characters"],
                )
            self._commits[key] = found
        return self._commits[key]

    def _look(self, reference: DirectReference, commit: str) -> tuple[trees.SourceTree, trees.Places]:
        """The requirements that a tree declares.

        Raises:
            ValueError: it does not declare them, or a lock cannot pin what builds it.
        """
        if not commit:
            folder = reference.path(self._root)
            assert folder is not None  # noqa: S101 - of a repository there is a commit
            read = trees.reading(folder)
            return trees.source_tree(read), trees.Places(read, folder)
        parts = gittool.parts(reference.location, commit, self._cache, offline=host.is_offline())
        below = "" if reference.subdirectory is None else f"{reference.subdirectory}/"

        def read_top(whole: str) -> bytes | None:
            # the innermost part that has it: those around it have the submodule itself at its place
            inside = [(part, own) for part in parts if (own := part.inside(whole)) is not None]
            part, own = max(inside, key=lambda one: len(one[0].path))
            return gittool.file_of(part.repository, part.commit, own)

        def read_commit(path: str) -> bytes | None:
            return read_top(f"{below}{path}")

        listed = [
            f"{part.path}/{path.as_posix()}".removeprefix("/")
            for part in parts
            for path in gittool.all_files(part.repository, part.commit)
        ]
        compiled = compiled_file(path.removeprefix(below) for path in listed if path.startswith(below))
        if compiled:
            raise _CompiledError(f"is not pure Python ({compiled}): what compiles it cannot be pinned")
        above = trees.above_in_commit(read_top, listed, below.rstrip("/"))
        return trees.source_tree(read_commit), trees.Places(read_commit, None, above)

    def _nested(self, place: DirectReference | None, of: DirectReference, commit: str) -> DirectReference | None:
        """A place that a tree names, in the form for the project.

        Raises:
            ValueError: no other machine has that place.
        """
        if place is None or (place.kind is Kind.GIT and (not commit or place.location == of.location)):
            return place
        if commit:
            if place.kind is Kind.GIT:
                raise ValueError(f"takes a package from another repository, `{place.text}`; name that in the project")
            if place.is_path and place.kind is Kind.FOLDER:
                below = os.path.normpath(f"{of.subdirectory or '.'}/{place.location}")
                if not below.startswith(".."):
                    return of._replace(revision=commit, subdirectory=None if below == "." else below)
            if place.is_path or place.path(self._root) is not None:
                raise ValueError(f"takes a package from `{place.text}`, which is not in its repository")
            return place
        base = of.path(self._root)
        assert base is not None  # noqa: S101 - it is a folder
        return direct.within(place, self._root, base, self._repository)


def _require_digest(reference: DirectReference, sha256: str) -> None:
    if reference.sha256 not in {None, sha256}:
        raise HashMismatchError(
            f"{reference.location} has the sha256 {sha256}, and {reference.sha256} is asked for",
            hints=["somebody has replaced the file: see why before you lock another one"],
        )


def _from_lock(location: str) -> str:
    """A path in the project, relative to the folder of a lock."""
    return (Path("..", "..") / location).as_posix()


def _without_place(one: Requirement) -> str:
    return one.head + ("" if one.marker is None else f"; {one.marker}")


def _another(request: EnvironmentRequest, name: str, found: str, reference: DirectReference) -> SettingsError:
    return SettingsError(
        f"{request.environment}: {reference.text} is {found}, and {name} is to come from there",
        hints=[f"name the package that it is: {found} @ {reference.text}"],
    )
