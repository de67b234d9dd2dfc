"""One refresh: read the pages, then the wheels of new releases, then compose the changed files. It writes nothing."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import tomli
from packaging.utils import canonicalize_name
from packaging.version import Version

from kgen.errors import MalformedAnswerError, MatrixError, OutsideError, UnavailableError
from kgen.index import NO_WHEEL, Index, IndexFile, Listed
from kgen.matrix import writer
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.refresh import names as conda_names
from kgen.refresh import sonames
from kgen.refresh.fits import chosen, fit_of
from kgen.refresh.libraries import CUDA_PACKAGE, Update, toolkit_row
from kgen.refresh.own import Addition, OwnIndex, labels
from kgen.refresh.recipes import FOLLOWED, Compiled, Recipe, recipes
from kgen.refresh.requirements import parse
from kgen.refresh.rows import (
    Contradiction,
    Read,
    RowContext,
    Unread,
    WheelBuild,
    by_version,
    compare,
    first_day,
    made_for,
    purpose_text,
    release_row,
    wheel_builds,
    yank,
)
from kgen.refresh.wheel_facts import FactReader, WheelFacts
from kgen.served.cache import keep, kept

T = TypeVar("T")

IN_FLIGHT = 16
"""The number of requests to the index at a time."""

_LIBRARIES = "libraries/"
_TOOLKITS = "toolkits.toml"
_TOOLKIT = "toolkit"
_RELEASE, _TOOLKIT_ROW = "[[release]]", "[[toolkit]]"
_UNCHANGED = "kgen-unchanged 1"
_LABELS = 4
"""The number of labels of wheel variants that a note names."""

Progress = Callable[[str, int, int], None]
"""Takes a stage, its finished and its total number of steps; called from any thread."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the matrix.

    Attributes:
        what: `added`, `changed`, `yanked` or `restored`.
        name: the project.
        version: the release.
        detail: details in words.
    """

    what: str
    name: str
    version: str
    detail: str = ""


@dataclass(slots=True)
class Refreshed:
    """The result of a refresh.

    Attributes:
        files: the new texts of the matrix's files that change, by name.
        changes: the changes.
        contradictions: facts that the index contradicts; the matrix keeps them.
        notes: what kgen could not read, and why.
        gone: releases that the matrix has and the index lacks, by project.
        pages: the number of projects that kgen asked for.
        wheels: the number of wheels that kgen asked for.
        indexes: the indexes that answered, without the credentials in their URLs.
        revision: the revision of the matrix with these files.
    """

    files: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    contradictions: list[Contradiction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    gone: dict[str, list[str]] = field(default_factory=dict)
    pages: int = 0
    wheels: int = 0
    indexes: list[str] = field(default_factory=list)
    revision: str = ""


class _Followed(frozenset[str]):
    """The followed projects, and every package of CUDA, which kgen follows once something requires it."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and CUDA_PACKAGE.fullmatch(name) is not None)


class Refresh:
    """A refresh of a matrix from indexes."""

    def __init__(
        self,
        texts: Mapping[str, str],
        index: Index,
        open_facts: Callable[[Callable[[IndexFile], None]], FactReader],
        *,
        today: dt.date,
        cancel: threading.Event,
        progress: Progress = lambda _stage, _done, _total: None,
        in_flight: int = IN_FLIGHT,
        open_own: Callable[[str, str], Index] | None = None,
        unchanged: Path | None = None,
    ) -> None:
        """Prepare the refresh; it reads no index yet.

        Args:
            texts: the texts of the matrix's files.
            index: the index.
            open_facts: opens the reader of wheels, with a function that it calls for each wheel.
            today: today's date, which new rows have as the day of their check.
            cancel: an event that ends everything in progress.
            progress: called with each step.
            in_flight: the number of requests at a time.
            open_own: returns a framework's own index of builds with a label; None to read no such index.
            unchanged: a file for the result of pages with nothing new, which kgen repeats while pages and matrix are
                the same; None to keep no result.
        """
        self._texts = dict(texts)
        self._matrix = CompatibilityMatrix(self._texts)
        self._index = index
        self._today = today
        self._cancel = cancel
        self._progress = progress
        self._in_flight = in_flight
        self._open_own = open_own
        self._result = Refreshed()
        self._guard = threading.Lock()
        self._asked_for: set[str] = set()
        self._facts = open_facts(self._count)
        self._reads: dict[tuple[str, str | None], Future[WheelFacts | None]] = {}
        self._pages: dict[str, Listed | None] = {}
        self._unchanged = unchanged

    @functools.cached_property
    def _context(self) -> RowContext:
        """The context in which kgen composes rows."""
        context = RowContext.of(self._matrix, ())
        return context._replace(followed=_Followed(context.followed))

    def _count(self, file: IndexFile) -> None:
        with self._guard:
            self._asked_for.add(file.url)
            self._result.wheels = len(self._asked_for)

    def run(self) -> Refreshed:
        """Find what the index has and the matrix lacks.

        Raises:
            OutsideError: the index does not answer, or its facts make no valid matrix. There is no result then.
            KeyboardInterrupt: after everything in progress was cancelled.
        """
        followed = [recipe for name, recipe in recipes().items() if f"{name}.toml" in self._texts]
        names = [name for recipe in followed for name in recipe.distributions(self._matrix.majors)]
        asking, reading = ThreadPoolExecutor(self._in_flight), ThreadPoolExecutor(self._in_flight)
        try:
            listed = [conda_names.PROJECT] if conda_names.FILE in self._texts else []
            # a recipe may name distributions for a CUDA major that were never published
            rows_name = {name for name in names if any(f'"{name}' in text for text in self._texts.values())}
            self._ask([*(name for name in names if name in rows_name), *self._matrix.library_names, *listed], asking)
            self._ask([*names, *self._spoken_of()], asking, known=False)
            own_pages = self._own_pages(followed, asking)
            key = self._key(own_pages)
            if self._known_to_be_unchanged(key):
                return self._result
            asked = self._result.pages
            updates = self._libraries(self._matrix.library_names)
            rows = self._frameworks(followed, asking, reading)
            own = self._own_builds(followed, rows, own_pages, reading)
            toolkits = self._toolkits(updates, asking)
            updates |= self._unfollowed(rows, own, toolkits, asking)
            self._conda_names()
            self._sonames()
            self._variants()
            self._outdated()
        except BaseException:
            self._cancel.set()
            raise
        finally:
            # after ctrl-C, a thread can still wait half a minute for a silent server
            asking.shutdown(wait=False, cancel_futures=True)
            reading.shutdown(wait=False, cancel_futures=True)
        self._write(rows, own, toolkits, updates)
        if self._result.pages == asked:  # the key covers the first pages only
            self._keep_unchanged(key)
        return self._result

    # -- nothing new ---------------------------------------------------------------------------------------------------

    def _key(self, own: Mapping[str, Mapping[str, Listed]]) -> str:
        """A digest of the pages, the matrix and kgen's code for refreshing; it changes with any of them."""
        digest = hashlib.sha256(f"{self._matrix.revision}\n".encode())
        for file in sorted(Path(__file__).parent.iterdir()):
            if file.suffix in {".py", ".toml"}:
                digest.update(file.read_bytes())
        pages = {
            **self._pages,
            **{f"{name} {label}": page for name, pages in own.items() for label, page in pages.items()},
        }
        for name, page in sorted(pages.items()):
            digest.update(f"{name} {'' if page is None else page.digest}\n".encode())
        return digest.hexdigest()

    def _known_to_be_unchanged(self, key: str) -> bool:
        """Whether these pages had nothing new for this matrix before; takes over the earlier result if so."""
        if self._unchanged is None:
            return False
        try:
            body = kept(self._unchanged, _UNCHANGED)
            data = None if body is None else json.loads(body)
            if data is None or data["key"] != key:
                return False
            contradictions = [Contradiction(*map(str, one)) for one in data["contradictions"]]
            notes = [str(one) for one in data["notes"]]
            gone = {str(name): [str(one) for one in versions] for name, versions in data["gone"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return False
        self._result.contradictions, self._result.notes, self._result.gone = contradictions, notes, gone
        self._result.revision = self._matrix.revision
        return True

    def _keep_unchanged(self, key: str) -> None:
        result = self._result
        if self._unchanged is not None and not (result.files or result.wheels):
            data = {"key": key, "contradictions": result.contradictions, "notes": result.notes, "gone": result.gone}
            with contextlib.suppress(OSError):
                keep(self._unchanged, _UNCHANGED, json.dumps(data).encode())

    # -- asking --------------------------------------------------------------------------------------------------------

    def _all(self, jobs: Mapping[T, Future[Any]], stage: str) -> None:
        """Wait for all jobs; the first failure ends the wait."""
        waiting = set(jobs.values())
        total = len(waiting)
        while waiting:
            self._progress(stage, total - len(waiting), total)
            # a short wait, as waiting without a timeout blocks ctrl-C on some platforms
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        self._progress(stage, total, total)

    def _ask(self, names: Iterable[str], pool: ThreadPoolExecutor, *, known: bool = True) -> None:
        """Read the pages of projects. For followed projects (`known`), a note names those that no index has."""
        wanted = [name for name in dict.fromkeys(names) if name not in self._pages]
        if not wanted:
            return
        jobs = {name: pool.submit(self._index.project, name) for name in wanted}
        self._all(jobs, "pages")
        for name, job in jobs.items():
            listed = job.result()
            self._pages[name] = listed
            if listed is not None and listed.index not in self._result.indexes:
                self._result.indexes.append(listed.index)
        self._result.pages += len(jobs)
        if not any(self._pages.values()):
            raise UnavailableError(
                "the index that uv is configured for has none of the projects that the matrix follows",
                hints=["check that the index (`uv.toml`, UV_DEFAULT_INDEX) is one"],
            )
        missing = [name for name in wanted if self._pages[name] is None]
        if missing and known:
            self._result.notes.append(f"no index has {', '.join(missing)}")

    def _files(self, name: str) -> Sequence[IndexFile]:
        """The files of a project without wheel variants, whose tags do not say on which machines they run."""
        listed = self._pages.get(name)
        return () if listed is None else [file for file in listed.files if not file.variant]

    def _spoken_of(self) -> Mapping[str, tuple[str, Version]]:
        """The projects with a remark in the matrix: the framework that has it, and the release it was written for."""
        return {
            name: (framework, version)
            for framework in self._matrix.framework_names
            for row in self._matrix.framework(framework).elsewhere
            for name, version in row.written_for.items()
        }

    def _outdated(self) -> None:
        """Note the remarks about projects with a newer release, as people write remarks by hand."""
        for name, (framework, looked_at) in sorted(self._spoken_of().items()):
            newest = max((one for one in by_version(self._files(name)) if not one.is_prerelease), default=looked_at)
            if newest > looked_at:
                self._result.notes.append(
                    f"{name} {newest} is newer than {looked_at}, which the remark about it in {framework}.toml was"
                    " written for; such rows are made by hand"
                )

    def _variants(self) -> None:
        """Note which projects have wheel variants."""
        for name, listed in sorted(self._pages.items()):
            labels = dict.fromkeys(file.variant for file in (() if listed is None else listed.files) if file.variant)
            if labels:
                shown = ", ".join([*labels][:_LABELS]) + (", …" if len(labels) > _LABELS else "")
                self._result.notes.append(
                    f"{name} has wheel variants ({shown}), which were left out: uv takes them only with its preview"
                    " `wheel-variants`, and no row of the matrix is about one"
                )

    def _read(self, file: IndexFile, module: str | None, pool: ThreadPoolExecutor) -> Future[WheelFacts | None]:
        key = (file.url, module)
        with self._guard:
            if key not in self._reads:
                self._reads[key] = pool.submit(self._facts.read, file, module)
            return self._reads[key]

    # -- conda's names ------------------------------------------------------------------------------------------------

    def _conda_names(self) -> None:
        """Update the conda names from a newer release of the project that lists them; a failure becomes a note."""
        file = conda_names.newest(self._files(conda_names.PROJECT))
        if file is None or conda_names.FILE not in self._texts:
            return
        before = self._parsed(conda_names.FILE)
        if Version(file.version) <= Version(before["origin"]["version"]):
            return
        try:
            content = self._facts.member(file, conda_names.MEMBER, conda_names.LARGEST)
            found = None if content is None else conda_names.names(content)
        except OutsideError as error:
            self._result.notes.append(error.message)
            return
        if found is None:
            why = f"{file.filename} has no {conda_names.MEMBER}, or its index serves no parts of it"
            self._result.notes.append(why)
            return
        old = before["names"]
        differing = sum(1 for name in {*old, *found} if old.get(name) != found.get(name))
        self._result.files[conda_names.FILE] = conda_names.text(found, file.version, self._today)
        self._result.changes.append(
            Change("changed", conda_names.PROJECT, file.version, f"{differing} of conda's names of {len(found)}")
        )

    # -- shared libraries ---------------------------------------------------------------------------------------------

    def _sonames(self) -> None:
        """Update the shared libraries of NVIDIA's newer wheels; a failure becomes a note."""
        if sonames.FILE not in self._texts:
            return
        pages = {name: self._files(name) for name in self._matrix.library_names}
        try:
            text, changed = sonames.refreshed(
                self._texts[sonames.FILE],
                pages,
                self._context.targets,
                self._facts.paths,
                today=self._today,
                notes=self._result.notes,
            )
        except OutsideError as error:
            self._result.notes.append(error.message)
            return
        if changed:
            self._result.files[sonames.FILE] = text
            self._result.changes += [Change("changed", one.project, one.version, one.detail) for one in changed]

    # -- frameworks ----------------------------------------------------------------------------------------------------

    def _frameworks(
        self, followed: Sequence[Recipe], asking: ThreadPoolExecutor, reading: ThreadPoolExecutor
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """The new rows by framework and version."""
        jobs: dict[tuple[str, Version], Future[list[WheelBuild] | str]] = {}
        every = {recipe.name: self._releases(recipe) for recipe in followed}
        known: dict[str, dict[Version, Mapping[str, Any]]] = {}
        for recipe in followed:
            data = self._parsed(f"{recipe.name}.toml")
            known[recipe.name] = {Version(row["version"]): row for row in data.get("release", ())}
            self._compare(recipe, known[recipe.name], every[recipe.name])
            for version in self._unknown(recipe, known[recipe.name], every[recipe.name]):
                jobs[recipe.name, version] = asking.submit(
                    self._wheel_builds, recipe, version, every[recipe.name], reading
                )
        if jobs:
            self._all(jobs, "releases")
        self._ask_for_brought([job.result() for job in jobs.values()], asking)
        rows: dict[str, dict[str, dict[str, Any]]] = {}
        for recipe in followed:
            older = dict(known[recipe.name])
            for version in sorted(version for name, version in jobs if name == recipe.name):
                found = jobs[recipe.name, version].result()
                if isinstance(found, str):
                    self._result.notes.append(found)
                    continue
                found = self._obtainable(recipe.name, version, found)
                files = every[recipe.name][recipe.name][version]
                day = first_day(files)
                if not found or day is None:
                    if found:
                        self._result.notes.append(
                            f"{recipe.name} {version}: the index does not say when it was uploaded"
                        )
                    continue
                prior = [older[one] for one in sorted(older, reverse=True) if one < version]
                row = release_row(recipe, version, day, found, prior=prior, today=self._today)
                unknown = {b["cuda"] for b in row["build"] if int(b.get("cuda", "0").split(".")[0] or 0)} - {
                    cuda for cuda in (b.get("cuda", "") for b in row["build"]) if self._knows(cuda)
                }
                if unknown:
                    self._result.notes.append(
                        f"{recipe.name} {version} is built for CUDA {', '.join(sorted(unknown))}, of which"
                        " accelerators.toml knows no driver: it was left out"
                    )
                    continue
                older[version] = row
                rows.setdefault(recipe.name, {})[str(version)] = row
                built = dict.fromkeys(_built(build) for build in row["build"])
                self._result.changes.append(Change("added", recipe.name, str(version), ", ".join(built)))
        return rows

    def _own_builds(
        self,
        followed: Sequence[Recipe],
        rows: dict[str, dict[str, dict[str, Any]]],
        own: Mapping[str, Mapping[str, Listed]],
        reading: ThreadPoolExecutor,
    ) -> dict[str, list[Addition]]:
        """The builds of each framework that only its own index has and no row lists.

        Builds of new releases go into the new rows instead.
        """
        found: dict[str, list[Addition]] = {}
        for recipe in followed:
            if recipe.name not in own:
                continue
            new = rows.get(recipe.name, {})
            releases = [*self._parsed(f"{recipe.name}.toml").get("release", ()), *new.values()]
            pages = {label: page.files for label, page in own[recipe.name].items()}
            for row in new.values():  # drop builds that were assumed before these pages were read
                row["build"] = [build for build in row["build"] if build.get("local") not in pages]
            title = self._matrix.framework(recipe.name).title
            index = OwnIndex(recipe, title, pages, releases, self._context)
            module = None if recipe.module is None else recipe.module.path
            jobs = {file.url: self._read(file, module, reading) for file in index.reading()}
            self._all(jobs, "own builds")
            try:
                found_there = index.found(self._reader(recipe, reading), self._today)
            except Unread as unread:
                self._result.notes.append(
                    f"{title}'s own index was not read: the server of {unread} knows no ranges, and the wheel is too"
                    " large to be downloaded for what it says of itself"
                )
                continue
            self._result.notes += found_there.notes
            self._result.contradictions += found_there.contradictions
            if found_there.gone:
                self._result.gone[f"{recipe.name} of its own index"] = found_there.gone
            for one in found_there.additions:
                if one.version in new:
                    new[one.version]["build"].append(one.row)
                else:
                    found.setdefault(recipe.name, []).append(one)
                built = f"+{one.label} on {', '.join(one.row['platforms'])}"
                self._result.changes.append(Change("added", recipe.name, f"{one.version}+{one.label}", built))
        return found

    def _own_pages(self, followed: Sequence[Recipe], pool: ThreadPoolExecutor) -> dict[str, dict[str, Listed]]:
        """The pages of each framework's own index, by label; labels without a page are left out."""
        found = {}
        for recipe in followed:
            if self._open_own is None or not recipe.own:
                continue
            toolkits = {row.version for row in self._matrix.toolkits}
            for name in self._matrix.library_names:
                if self._context.roles.get(name) == _TOOLKIT:
                    toolkits |= by_version(self._files(name)).keys()
            releases = self._parsed(f"{recipe.name}.toml").get("release", ())
            jobs = {
                label: pool.submit(self._open_own(recipe.name, label).project, recipe.name)
                for label in labels(recipe, toolkits, releases, self._matrix.majors)
            }
            self._all(jobs, "own pages")
            self._result.pages += len(jobs)
            listed = {label: page for label, job in jobs.items() if (page := job.result()) is not None}
            if not listed:
                title = self._matrix.framework(recipe.name).title
                raise UnavailableError(
                    f"{title}'s own index has no builds of {recipe.name} with any label, or denies access to them",
                    hints=["check `torch-index` in the settings: the URL of a folder that holds cu126, cpu, …"],
                )
            self._result.indexes += [page.index for page in listed.values() if page.index not in self._result.indexes]
            found[recipe.name] = listed
        return found

    def _parsed(self, file: str) -> Mapping[str, Any]:
        try:
            return tomli.loads(self._texts[file])
        except tomli.TOMLDecodeError as error:
            raise MatrixError([f"{file}: {error}"]) from None

    def _ask_for_brought(self, answers: Iterable[list[WheelBuild] | str], pool: ThreadPoolExecutor) -> None:
        """Read the pages of the packages that extras of new builds bring in."""
        found = [
            wheel_build
            for builds_of_release in answers
            if not isinstance(builds_of_release, str)
            for wheel_build in builds_of_release
        ]
        names = {parse(text).name for wheel_build in found for text in wheel_build.brought}
        self._ask(sorted(names), pool, known=False)

    def _obtainable(self, name: str, version: Version, found: Sequence[WheelBuild]) -> list[WheelBuild]:
        """The builds whose extras need only packages that have wheels on an index."""
        left = []
        for wheel_build in found:
            lacking = next((text for text in wheel_build.brought if not self._has(text, wheel_build)), None)
            if lacking is None:
                left.append(wheel_build)
            else:
                self._result.notes.append(
                    f"{name} {version} for {wheel_build.purpose} on {wheel_build.platform} was left out:"
                    f" no index has a wheel of {lacking}, which it needs"
                )
        return left

    def _has(self, text: str, wheel_build: WheelBuild) -> bool:
        requirement = parse(text)
        return any(
            requirement.specifier.contains(version, prereleases=True)
            and wheel_build.platform in fit_of(files, self._context.targets, self._context.minors)
            for version, files in by_version(self._files(requirement.name)).items()
        )

    def _knows(self, cuda: str) -> bool:
        return not cuda or int(cuda.partition(".")[0]) in self._matrix.majors(FOLLOWED)

    def _releases(self, recipe: Recipe) -> dict[str, dict[Version, list[IndexFile]]]:
        return {name: by_version(self._files(name)) for name in recipe.distributions(self._matrix.majors)}

    def _unknown(
        self,
        recipe: Recipe,
        known: Mapping[Version, object],
        every: Mapping[str, Mapping[Version, Sequence[IndexFile]]],
    ) -> list[Version]:
        """The releases to read: not in the matrix, not yanked, with a wheel; early ones if newer than all."""
        own = every[recipe.name]
        stable = [version for version in own if not version.is_prerelease and yank(own[version]) is None]
        newest = max(stable, default=Version("0"))
        return [
            version
            for version, files in sorted(own.items())
            if version not in known
            and version >= recipe.since
            and version.local is None
            and not version.is_devrelease
            and (not version.is_prerelease or version > newest)
            and yank(files) is None
            and fit_of(files, self._context.targets, self._context.minors)
        ]

    def _wheel_builds(
        self,
        recipe: Recipe,
        version: Version,
        every: Mapping[str, Mapping[Version, Sequence[IndexFile]]],
        pool: ThreadPoolExecutor,
    ) -> list[WheelBuild] | str:
        """The builds of a release; a text if one of its wheels cannot be read by ranges."""
        module = None if recipe.module is None else recipe.module.path
        if recipe.metadata:
            for file in self._ahead(recipe, version, every):
                self._read(file, module, pool)
        try:
            return wheel_builds(recipe, version, every, self._context, self._reader(recipe, pool))
        except Unread as unread:
            return (
                f"{recipe.name} {version} was left out: the server of {unread} knows no ranges, and the wheel is too"
                " large to be downloaded for what it says of itself"
            )

    def _reader(self, recipe: Recipe, pool: ThreadPoolExecutor) -> Read:
        """A reader of the facts of a framework's wheels; it raises :class:`Unread`."""
        return _Reading(self._facts, lambda file, module: self._read(file, module, pool).result(), recipe)

    def _ahead(
        self, recipe: Recipe, version: Version, every: Mapping[str, Mapping[Version, Sequence[IndexFile]]]
    ) -> list[IndexFile]:
        """The wheels that kgen will read, so that their requests can overlap."""
        context = self._context
        wanted = []
        for name in every:
            files = every[name].get(version, ())
            for platform, serves in fit_of(files, context.targets, context.minors).items():
                python = recipe.python if recipe.python in serves else list(serves)[-1] if serves else ""
                file = chosen(files, platform, python, context.targets, context.minors)
                wanted += [] if file is None else [file]
        return wanted

    def _compare(
        self,
        recipe: Recipe,
        known: Mapping[Version, Mapping[str, Any]],
        every: Mapping[str, Mapping[Version, Sequence[IndexFile]]],
    ) -> None:
        """Compare the known releases with the index."""
        own = every[recipe.name]
        if not own:
            return
        gone = [str(version) for version in sorted(known) if version not in own]
        if gone:
            self._result.gone[recipe.name] = gone
        for version, release in sorted(known.items()):
            if version not in own:
                continue
            gains: Sequence[Any] = ()
            if version >= recipe.since:  # older rows come from tests, and a wheel for any Python proves nothing
                against, gains = compare(recipe, release, every, self._context)
                self._result.contradictions += against
            reason = yank(own[version])
            if gains or (reason is None) != ("yanked" not in release):
                self._edit(recipe, release, reason, gains)

    def _edit(self, recipe: Recipe, release: Mapping[str, Any], reason: str | None, gains: Sequence[Any]) -> None:
        file = f"{recipe.name}.toml"
        version = release["version"]
        changes = self._result.changes

        def change(table: Any) -> None:  # noqa: ANN401 - a table of tomlkit's
            if reason is not None and "yanked" not in release:
                writer.put_after(table, "yanked", reason, after="released")
                changes.append(Change("yanked", recipe.name, version, reason))
            elif reason is None and "yanked" in release:
                del table["yanked"]
                changes.append(Change("restored", recipe.name, version, "no longer yanked"))
            for gain in gains:
                build = table["build"][gain.build]
                more = [python for python in gain.pythons if python not in build["pythons"]]
                build["pythons"] = list(gain.pythons)
                note = f"Python {', '.join(more)}: index page of {recipe.name}"
                build["source"] = f"{build['source']}; {note}"
                build["checked"] = self._today
                changes.append(Change("changed", recipe.name, version, f"wheels for Python {', '.join(more)}"))

        text = self._result.files.get(file, self._texts[file])
        _, rows = writer.rows(text, _RELEASE)
        self._result.files[file] = text.replace(rows[version], writer.edited(rows[version], _RELEASE, change))

    # -- libraries -----------------------------------------------------------------------------------------------------

    def _libraries(self, names: Iterable[str]) -> dict[str, Update]:
        updates = {}
        for name in names:
            files = self._files(name)
            if files:
                updates[name] = Update(name, self._texts.get(f"{_LIBRARIES}{name}.toml"), files, self._context)
        return updates

    def _toolkits(self, updates: Mapping[str, Update], pool: ThreadPoolExecutor) -> dict[str, dict[str, Any]]:
        """The rows of new releases of the CUDA toolkit, by version."""
        rows = {}
        known = {str(toolkit.version) for toolkit in self._matrix.toolkits}
        for name, update in updates.items():
            if self._context.roles.get(name) != _TOOLKIT:
                continue
            wheels = by_version([file for file in self._files(name) if file.tags != NO_WHEEL])
            jobs = {
                version: self._read(wheels[Version(version)][0], None, pool)
                for version in update.added
                if version not in known
            }
            self._all(jobs, "toolkits")
            for version, job in jobs.items():
                wheel = wheels[Version(version)][0]
                facts, day = job.result(), first_day(wheels[Version(version)])
                if facts is None or day is None:
                    self._result.notes.append(f"{name} {version} was left out: its server knows no ranges")
                    continue
                rows[version] = toolkit_row(version, day, wheel, facts, context=self._context, today=self._today)
                self._result.changes.append(Change("added", "CUDA toolkit", version))
        return rows

    def _unfollowed(
        self,
        rows: Mapping[str, Mapping[str, Mapping[str, Any]]],
        own: Mapping[str, Sequence[Addition]],
        toolkits: Mapping[str, Mapping[str, Any]],
        pool: ThreadPoolExecutor,
    ) -> dict[str, Update]:
        """Packages of CUDA that only new rows require; the rows drop those that no index has."""
        required: set[str] = set()
        builds = [build for releases in rows.values() for row in releases.values() for build in row["build"]]
        builds += [one.row for additions in own.values() for one in additions]
        for build in builds:
            required |= {canonicalize_name(parse(text).name) for text in build["requires"]}
        for row in toolkits.values():
            for value in row.get("extras", {}).values():
                texts = [value] if isinstance(value, str) else value
                required |= {canonicalize_name(parse(text).name) for text in texts}
        known = {*self._matrix.library_names, *self._matrix.framework_names}
        unknown = sorted(name for name in required - known if CUDA_PACKAGE.fullmatch(name))
        if not unknown:
            return {}
        self._ask(unknown, pool)
        updates = self._libraries(unknown)
        for build in builds:
            build["requires"] = [
                text
                for text in build["requires"]
                if (name := canonicalize_name(parse(text).name)) in known or name in updates
            ]
        return updates

    # -- the result ----------------------------------------------------------------------------------------------------

    def _write(
        self,
        rows: Mapping[str, Mapping[str, Mapping[str, Any]]],
        own: Mapping[str, Sequence[Addition]],
        toolkits: Mapping[str, Mapping[str, Any]],
        updates: Mapping[str, Update],
    ) -> None:
        result = self._result
        for name, update in updates.items():
            result.contradictions += update.contradictions
            if update.gone:
                result.gone[name] = update.gone
            text = update.text(self._today)
            if text is None:
                continue
            result.files[f"{_LIBRARIES}{name}.toml"] = text
            note = "not followed before" if update.is_new else ""
            result.changes += [Change("added", name, version, note) for version in update.added]
            result.changes += [Change("changed", name, version, "has more wheels") for version in update.changed]
            result.changes += [Change("yanked", name, version, why) for version, why in update.yanked.items()]
            result.changes += [Change("restored", name, version, "no longer yanked") for version in update.restored]
        for name, releases in rows.items():
            file = f"{name}.toml"
            added = {version: writer.release_text(row) for version, row in releases.items()}
            result.files[file] = writer.with_rows(result.files.get(file, self._texts[file]), _RELEASE, added)
        for name, additions in own.items():
            file = f"{name}.toml"
            text = result.files.get(file, self._texts[file])
            _, old = writer.rows(text, _RELEASE)
            for version in dict.fromkeys(one.version for one in additions):
                builds = [one.row for one in additions if one.version == version]
                text = text.replace(old[version], writer.with_builds(old[version], builds))
            result.files[file] = text
        if toolkits:
            added = {version: writer.toolkit_text(row) for version, row in toolkits.items()}
            result.files[_TOOLKITS] = writer.with_rows(self._texts[_TOOLKITS], _TOOLKIT_ROW, added)
        if not result.files:  # nothing new, and the matrix was checked before
            result.revision = self._matrix.revision
            return
        matrix = CompatibilityMatrix({**self._texts, **result.files})
        try:
            matrix.check()
        except MatrixError as error:
            raise MalformedAnswerError(
                "the index serves facts that make no valid matrix; kgen uses none of them:\n"
                + "\n".join(f"  {fault}" for fault in error.faults),
                hints=["look at the wheels of the releases named above: they or the index contradict the matrix"],
            ) from None
        result.revision = matrix.revision


class _Reading:
    """Reads the facts of a framework's wheels, as a :class:`kgen.refresh.rows.Read`."""

    def __init__(
        self, facts: FactReader, read: Callable[[IndexFile, str | None], WheelFacts | None], recipe: Recipe
    ) -> None:
        self._facts = facts
        self._read = read
        self._module = None if recipe.module is None else recipe.module.path

    def __call__(self, file: IndexFile) -> WheelFacts:
        """The facts in METADATA and in the recipe's module."""
        return self._known(self._read(file, self._module), file)

    def compiled(self, file: IndexFile, compiled: Compiled, toolkits: Collection[Version]) -> tuple[str, ...]:
        """The facts in a compiled file of the wheel."""
        return self._known(self._facts.compiled(file, compiled, toolkits), file)

    @staticmethod
    def _known(value: T | None, file: IndexFile) -> T:
        if value is None:
            raise Unread(file.filename)
        return value


def _built(build: Mapping[str, Any]) -> str:
    if "local" in build:
        return f"+{build['local']}"
    made = made_for(build)
    return "CPU" if made is None else purpose_text(made)
