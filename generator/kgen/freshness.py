"""Does this lock still satisfy this request? Answered offline, and without solving.

A lock is not stale only because the request has changed. kgen checks whether the locked versions satisfy the request
as it is now, and whether the matrix still supports them. Loosening a request therefore needs no new lock, while a
release that turned out to be broken does.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from packaging.version import Version

from kgen import files, replay, trees
from kgen.accelerators import kind, title
from kgen.matrix.candidates import BuildTarget, driver_floor, least_floor, locked_build, serves
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, Release
from kgen.matrix.selection import Selection, differences, unknown_sources
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.grammar import printable
from kgen.model.lockfile import LockedFile, Lockfile, from_project
from kgen.model.request import CPU_BUILDS, EnvironmentRequest
from kgen.model.requirement import Requirement, canonical_name, parse_requirement
from kgen.model.wheelname import needed_glibc, needed_macos
from kgen.project import PYPROJECT
from kgen.uvsettings import of_project


class Stale(NamedTuple):
    """One reason why a lock is stale.

    Attributes:
        reason: the kind of reason, such as `python` or `known-bad`.
        what: what is wrong with the lock, in words.
        source: the source of the fact that contradicts the lock; None if the request itself does.
    """

    reason: str
    what: str
    source: str | None = None


def stale(
    lock: Lockfile, request: EnvironmentRequest, made_for: EnvironmentRequest, matrix: CompatibilityMatrix
) -> tuple[Stale, ...]:
    """The reasons why a lock no longer satisfies a request or contradicts the matrix; () if it is fresh.

    Args:
        lock: the lock.
        request: the request as it is now, for the lock's platform.
        made_for: the request that the lock was made for.
        matrix: the facts.
    """
    return _FreshnessCheck(lock, request, made_for, matrix).found


def changed_sources(lock: Lockfile) -> Iterator[str]:
    """The local files and folders that a lock names and that have changed since, in words."""
    for tree in lock.trees:
        folder = tree.folder(lock.path)
        if folder is not None:
            replay.looked(folder)
            try:
                now = trees.digest(trees.reading(folder)) if files.is_folder(folder) else None
            except (OSError, ValueError) as error:
                yield f"has {tree.name} from {tree.shown}, which {printable(str(error))}"
                continue
            if now is None:
                yield f"has {tree.name} from {tree.shown}, and there is no such folder"
            elif now != tree.sha256:
                yield f"has {tree.name} from {tree.shown}, which says something else now in its {PYPROJECT}"
    for file in lock.files:
        if file.direct and file.path is not None:
            path = Path(os.path.normpath(lock.path.absolute().parent / file.path))
            try:
                now = files.sha256(path)
            except OSError as error:
                yield f"has {file.name} from {from_project(file.path)}, which cannot be read: {error.strerror or error}"
                continue
            if now != file.sha256:
                yield f"has {file.name} from {from_project(file.path)}, which is another file now"


class _FreshnessCheck:
    """Compares one lock with a request and the matrix."""

    def __init__(
        self, lock: Lockfile, request: EnvironmentRequest, made_for: EnvironmentRequest, matrix: CompatibilityMatrix
    ) -> None:
        self.lock = lock
        self.request = request
        self.made_for = made_for
        self.matrix = matrix
        self.versions = {name: Version(text) for name, text in {**lock.packages, **lock.versions}.items()}

    @functools.cached_property
    def keras(self) -> str:
        """The package that provides Keras in this lock."""
        return self.matrix.generation_of(self.lock.backends).package

    @property
    def found(self) -> tuple[Stale, ...]:
        unknown = [name for name in self.lock.backends if name not in self.matrix.backends]
        if unknown or self.lock.platform not in self.matrix.platforms:
            what = f"backend {unknown[0]}" if unknown else f"platform {self.lock.platform}"
            return (Stale("matrix", f"is for the {what}, which the matrix does not know"),)
        return (
            *self._backends(),
            *self._python(),
            *self._limit(),
            *self._glibc(),
            *self._wishes(),
            *self._uv(),
            *self._allowances(),
            *self._project(),
            *self._sources(),
            *self._cutoff(),
            *self._indexes(),
            *self._releases(),
            *self._yanked(),
            *self._hardware(),
        )

    # -- what is asked -------------------------------------------------------------------------------------------------

    def _backends(self) -> Iterator[Stale]:
        asked, has = self.request.backends, self.lock.backends
        missing = [backend for backend in asked if backend not in has]
        if missing:
            yield Stale("backends", f"is without {' and '.join(missing)}, which is asked for")
        elif asked[0] != has[0]:
            yield Stale("backends", f"selects {has[0]}, and {asked[0]} is asked for first")
        elif self.request.isolated != self.made_for.isolated:
            kept = "in its own folder" if self.made_for.isolated else "where all environments have them"
            yield Stale("isolate-config", f"has Keras's settings {kept}, which is not what is asked for")
        else:
            yield from self._selection()

    def _selection(self) -> Iterator[Stale]:
        lock = self.lock
        found = Selection(lock.variables, lock.places, lock.configuration, lock.shared)
        source = self.matrix.backends[lock.backends[0]].provenance.source
        for key, what in differences(
            self.matrix, lock.backends, lock.accelerator, found, isolated=self.made_for.isolated
        ):
            yield Stale("variables", f"tool.kgen.{key} {what}", source)
        for one in unknown_sources(self.matrix, lock, self.request.build):
            yield Stale("source", one.what)

    def _python(self) -> Iterator[Stale]:
        if self.request.python != self.lock.python:
            yield Stale("python", f"is for Python {self.lock.python}, and {self.request.python} is asked for")

    def _limit(self) -> Iterator[Stale]:
        asked, runtime = self.request.accelerator, self.lock.runtime
        key = self.made_for.accelerator.kind if asked == CPU else asked.kind
        if asked.name != self.lock.accelerator:
            yield Stale(key, f"is for {self.lock.accelerator}, and {asked.name} is asked for")
            return
        solved = self.made_for.accelerator.minor
        if asked.minor is None or (solved is not None and solved <= asked.minor):
            return
        bounds = {name: self.matrix.minor_bound(name, asked) for name in self.lock.libraries}
        newer = [
            n for n, bound in bounds.items() if bound is not None and n in self.versions and self.versions[n] >= bound
        ]
        if (runtime is not None and Version(runtime).minor > asked.minor) or newer:
            at = f"{newer[0]} {self.versions[newer[0]]}" if newer else f"{kind(asked.kind).title} {runtime}"
            yield Stale(key, f"has {at}, and nothing newer than {title(asked)} is asked for")

    def _glibc(self) -> Iterator[Stale]:
        yield from self._floor("glibc", "glibc", self.request.glibc, self.made_for.glibc, needed_glibc)
        yield from self._floor("macos", "macOS", self.request.macos, self.made_for.macos, needed_macos)

    def _floor(
        self,
        reason: str,
        title: str,
        asked: Version | None,
        made_for: Version | None,
        needed_by: Callable[[str], Version | None],
    ) -> Iterator[Stale]:
        """Files that need a newer system than the oldest one requested."""
        if asked is None or (made_for is not None and made_for <= asked):
            return
        for file in self.lock.files:
            needed = needed_by(file.filename)
            if needed is not None and needed > asked:
                yield Stale(reason, f"has {file.filename}, which needs {title} {needed}, and {asked} is asked for")
                return

    def _allowances(self) -> Iterator[Stale]:
        """Permissions and instructions for dependencies that the lock used and the request no longer gives."""
        asked, made_for = self.request, self.made_for
        if asked.other_frameworks != made_for.other_frameworks:
            what = f"was made with other-frameworks {made_for.other_frameworks}"
            yield Stale("other-frameworks", f"{what}, and {asked.other_frameworks} is asked for")
        for pair in made_for.allow_overlap:
            if pair not in asked.allow_overlap:
                yield Stale("allow-overlap", f"was made with an overlap of {pair}, which is no longer allowed")
        for name in made_for.build:
            if name not in asked.build:
                yield Stale("build", f"was made with {name} to be built from source, which the settings do not allow")

    def _wishes(self) -> Iterator[Stale]:
        request = self.request
        keras = self.versions.get(self.keras)
        if keras is not None and keras not in request.keras:
            yield Stale("keras", f"has {self.keras} {keras}, and {self.keras} {request.keras} is asked for")
        for wish in filter(self._applies, request.requirements):
            has = self.versions.get(wish.name)
            if has is not None and has not in wish.specifier:
                yield Stale("require", f"has {wish.name} {has}, and {wish} is required")
        for wish in filter(self._applies, request.constraints):
            has = self.versions.get(wish.name)
            if has is not None and has not in wish.specifier:
                yield Stale("constraints", f"has {wish.name} {has}, and {wish} is the constraint")
        yield from self._dependencies()

    def _dependencies(self) -> Iterator[Stale]:
        request = self.request
        made_for = {(one.name, frozenset(one.extras)) for one in self.made_for.dependencies}
        places = {one.name: one.url for one in self.made_for.dependencies}
        for wish in filter(self._applies, request.dependencies):
            name = wish.name
            has = self.versions.get(name)
            if has is None:
                yield Stale("dependencies", f"is without {wish}, which is asked for")
            elif has not in wish.specifier:
                yield Stale("dependencies", f"has {wish.name} {has}, and {wish} is asked for")
            elif wish.extras and not any(of == name and wish.extras <= extras for of, extras in made_for):
                yield Stale("dependencies", f"was made without the extras of {wish}")
            elif wish.url != places.get(name) and (wish.url is not None or name not in self._placed):
                before = places.get(name) or "an index"
                yield Stale("dependencies", f"has {name} from {before}, and {wish.url or 'an index'} is asked for")

    @property
    def _placed(self) -> set[str]:
        """The packages that the request takes from a URL, a path or a repository."""
        return {one.name for one in self.request.dependencies if one.url is not None}

    def _sources(self) -> Iterator[Stale]:
        for what in changed_sources(self.lock):
            yield Stale("source", what)

    def _project(self) -> Iterator[Stale]:
        """Build requirements of the project itself that the lock does not satisfy."""
        pinned = {file.name: Version(file.version) for file in self.lock.build}
        for wish in filter(self._applies, self.request.project_build):
            has = pinned.get(wish.name)
            if has is None:
                yield Stale("build", f"is without {wish}, which the project is built with")
            elif has not in wish.specifier:
                yield Stale("build", f"builds with {wish.name} {has}, and the project asks for {wish}")

    def _applies(self, wish: Requirement) -> bool:
        return wish.marker is None or wish.marker.evaluate(self._markers)

    @property
    def _markers(self) -> dict[str, str]:
        return self.matrix.platforms[self.lock.platform].marker_environment(self.lock.python)

    def _uv(self) -> Iterator[Stale]:
        """Changes of the project's own uv settings; those of the machine do not count."""
        asked, has = (set(of_project(request.uv)) for request in (self.request, self.made_for))
        for one in sorted(asked - has):
            yield Stale("uv", f"was made without `{one}`, which uv is configured with")
        for one in sorted(has - asked):
            yield Stale("uv", f"was made with `{one}`, which uv is not configured with")

    def _cutoff(self) -> Iterator[Stale]:
        asked, solved = self.request.cutoff, self.made_for.cutoff
        if asked is None or (solved is not None and solved <= asked):
            return
        for name in self._frameworks():
            release = self.matrix.release(name, self._public(name))
            if release is not None and release.released > asked:
                what = f"has {name} {release.version} of {release.released}, and nothing after {asked} is asked for"
                yield Stale("exclude-newer", what)
                return
        until = "with no last day" if solved is None else f"with all until {solved}"
        yield Stale("exclude-newer", f"was made {until}, and nothing after {asked} is asked for")

    def _indexes(self) -> Iterator[Stale]:
        if self.request.own_index:
            return
        for name in self._frameworks():
            build = self._build_of(name)
            if build is not None and build.local is not None and build.accelerated:
                what = f"has {name} {self.versions[name]} of its own index, and `torch-index` is not set"
                yield Stale("index", what, build.provenance.source)

    # -- what is known -------------------------------------------------------------------------------------------------

    def _frameworks(self) -> list[str]:
        """The locked packages that the matrix has a file for."""
        known = {*self.lock.packages, *self.lock.libraries}
        return [name for name in self.matrix.framework_names if name in known and name in self.versions]

    def _public(self, name: str) -> Version:
        return Version(self.versions[name].public)

    def _releases(self) -> Iterator[Stale]:
        chosen = {self.matrix.backends[backend].framework for backend in self.lock.backends} | {self.keras}
        for name in self._frameworks():
            version = self._public(name)
            release = self.matrix.release(name, version)
            if release is None:
                yield Stale("matrix", f"has {name} {version}, which the matrix does not know")
                continue
            if not self._is_pinned(name, version):
                source = release.builds[-1].provenance.source if release.builds else None
                if release.yanked:
                    yield Stale("yanked", f"has {name} {version}, which was yanked: {release.yanked}", source)
                if release.known_bad:
                    yield Stale(
                        "known-bad", f"has {name} {version}, which is to be avoided: {release.known_bad}", source
                    )
            if name in chosen:
                yield from self._build_facts(name, release)

    def _is_pinned(self, name: str, version: Version) -> bool:
        """Whether the request pins exactly this version."""
        wishes = (*self.request.requirements, *self.request.dependencies)
        return any(
            wish.name == name
            and any(one.operator in {"==", "==="} and "*" not in one.version for one in wish.specifier)
            and version in wish.specifier
            for wish in wishes
        )

    @functools.cached_property
    def _target(self) -> BuildTarget:
        """The target machine of the lock."""
        accelerator = self.request.accelerator.whole if self.lock.accelerated else CPU
        return BuildTarget(accelerator, self.lock.platform, self.lock.python)

    def _build_of(self, name: str) -> Build | None:
        """The locked build of a framework."""
        target = self._target._replace(accelerator=CPU) if name in self._on_cpu else self._target
        return locked_build(self.matrix, name, self.versions[name], target)

    @functools.cached_property
    def _on_cpu(self) -> frozenset[str]:
        """The frameworks that dependencies brought along and that compute on the CPU."""
        if self.made_for.other_frameworks != CPU_BUILDS:
            known = (self.matrix.backends.get(backend) for backend in self.lock.on_cpu)
            return frozenset(row.framework for row in known if row is not None)
        own = {self.matrix.backends[backend].framework for backend in self.lock.backends}
        return frozenset(name for name in self.matrix.accelerated_frameworks if name not in own)

    def _build_facts(self, name: str, release: Release) -> Iterator[Stale]:
        build = self._build_of(name)
        if build is None:
            on = f"{self.lock.accelerator}, {self.lock.platform} and Python {self.lock.python}"
            yield Stale("matrix", f"has {name} {release.version}, which has no build for {on}")
            return
        if build.known_bad is not None and not self._is_pinned(name, release.version):
            what = f"has {name} {release.version}, which is to be avoided: {build.known_bad}"
            yield Stale("known-bad", what, build.provenance.source)
        texts = [(text, build.provenance.source) for text in build.requires]
        texts += build.adds.items()
        texts = [(one, source) for text, source in texts for one in (text, *self.matrix.expand(text))]
        for backend in self.lock.backends:
            row = self.matrix.backends[backend]
            if row.framework == name:
                texts += [(text, row.provenance.source) for text in row.needs]
                texts += [(f"{self.keras}{row.keras}", row.provenance.source)] if row.keras else []
        for text, source in texts:
            need = parse_requirement(text)
            if not self._applies(need):
                continue
            has = self.versions.get(need.name)
            if has is None and (self.matrix.follows(need.name) or text in build.adds):
                yield Stale("incomplete", f"is without {need.name}, which {name} {release.version} needs", source)
            elif has is not None and has not in need.specifier:
                what = f"has {need.name} {has}, and {name} {release.version} needs {need.name} {need.specifier}"
                yield Stale("requirement", what, source)

    def _yanked(self) -> Iterator[Stale]:
        for name in self.lock.libraries:
            has = self.versions.get(name)
            why = None if has is None else self.matrix.yanked(name).get(str(has))
            if has is not None and why is not None and not self._is_pinned(name, has):
                yield Stale("yanked", f"has {name} {has}, which was yanked: {why}")

    # -- the machine that it is for ------------------------------------------------------------------------------------

    def _hardware(self) -> Iterator[Stale]:
        accelerator = self.request.accelerator.whole
        if not self.lock.accelerated or self.matrix.major_of(accelerator) is None:
            return
        noun = kind(accelerator.kind).architecture
        builds = [
            (name, build)
            for name in self._frameworks()
            if (build := self._build_of(name)) is not None and build.accelerated
        ]
        yield from self._driver([build for _, build in builds])
        cudnn, rows = self._cudnn_rows(accelerator)
        for machine in self.request.machines:
            of = f" of target {machine.name}" if machine.name else ""
            for gpu in machine.gpus:
                for name, build in builds:
                    if not serves(build, gpu, machine.driver, self.matrix, self.lock.platform):
                        what = f"has {name} {self.versions[name]}, which does not serve a GPU of {noun} {gpu}{of}"
                        yield Stale("gpu", what, build.provenance.source)
                if rows and not any(gpu in row.gpus for row in rows):
                    what = f"has cuDNN {cudnn}, which does not serve a GPU of {noun} {gpu}{of}"
                    yield Stale("gpu", what, rows[-1].provenance.source)

    def _cudnn_rows(self, accelerator: Accelerator) -> tuple[str | None, list[Any]]:
        cudnn = self.lock.cudnn
        rows = [] if cudnn is None else [r for r in self.matrix.cudnn if r.accelerator == accelerator]
        return cudnn, [row for row in rows if Version(str(cudnn)) in row.cudnn]

    def _driver(self, builds: list[Build]) -> Iterator[Stale]:
        """The driver floor, computed anew: the matrix may have been corrected since the lock was made."""
        machines, accelerator = self.request.machines, self._target.accelerator
        cudnn = None if self.lock.cudnn is None else Version(self.lock.cudnn)
        for machine in machines:
            floor = driver_floor(self.matrix, accelerator, self.lock.platform, builds, gpus=machine.gpus, cudnn=cudnn)
            if floor is not None and machine.driver is not None and not machine.driver.reaches(floor.driver):
                driver = machine.driver
                said = f"target {machine.name} has {driver}" if machine.name else f"{driver} is what it is for"
                yield Stale("driver", f"needs driver {floor.driver}, and {said}", floor.source)
                return
        least = least_floor(self.matrix, accelerator, self.lock.platform, builds, machines, cudnn=cudnn)
        says = self.lock.driver
        if least is not None and says is not None and DriverVersion(says) < least.driver and not self.request.every_gpu:
            what = f"says that driver {says} is enough, and it needs {least.driver}"
            yield Stale("driver", what, least.source)


def _named(file: LockedFile) -> tuple[str, Version]:
    if file.is_source:
        from packaging.utils import parse_sdist_filename  # noqa: PLC0415 - slow to import, and few locks have one

        return parse_sdist_filename(file.filename)
    name, version, *_ = file.filename.split("-")
    return canonical_name(name), Version(version)


def hand_edited(lock: Lockfile, data: Mapping[str, Any]) -> tuple[Stale, ...]:
    """Contradictions between the parts of a lock, which kgen never writes.

    Args:
        lock: the lock.
        data: its `[tool.kgen]` table.
    """
    return tuple(_contradictions(lock, data))


def _contradictions(lock: Lockfile, data: Mapping[str, Any]) -> Iterator[Stale]:
    versions = lock.versions
    if data.get("size") != lock.size:
        yield Stale("edited", "was edited: its files are not as large together as it says")
    for file in lock.files:
        try:
            same = _named(file) == (file.name, Version(file.version))
        except ValueError:  # the base class of what `packaging` raises for versions and file names
            same = False
        if not same:
            yield Stale("edited", f"was edited: {file.filename} is not a file of {file.name} {file.version}")
    for name, version in lock.packages.items():
        has = versions.get(name)
        if has is not None and has.partition("+")[0] != version.partition("+")[0]:
            yield Stale("edited", f"was edited: it was decided on {name} {version}, and it has {has}")
    if lock.cudnn is not None and lock.cudnn not in lock.libraries.values():
        yield Stale("edited", f"was edited: it says cuDNN {lock.cudnn}, and has none")
