"""One audit: compare every field of every row that kgen can read again with the wheels."""

from __future__ import annotations

import collections
import datetime as dt
import random
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from kgen import accelerators
from kgen.audit.evidence import Found, evidence
from kgen.audit.reader import Reader, Unreadable, Wheel, applying
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, Framework, Library, Platform, Release

IN_FLIGHT = 12
"""The number of rows that kgen reads at a time; most of the time they wait for the index."""

_Range = tuple[str, frozenset[str]]
"""A range as text, and extras."""

Progress = Callable[[int, int], None]
"""Takes the number of finished rows and the number of all; called from any thread."""


class Difference(NamedTuple):
    """A field of a row that differs from the wheels.

    Attributes:
        row: the row: `torch 2.15.0, CUDA 13.2, linux-64`.
        field: the field's name in the matrix's file.
        matrix: the matrix's value.
        found: the value in the wheels or the index.
        where: the file with that value.
    """

    row: str
    field: str
    matrix: str
    found: str
    where: str


class Audited:
    """The result of an audit.

    Attributes:
        rows: the number of rows read.
        right: the number of values that agree, by field.
        differences: the fields that differ.
        missing: what the index has and the matrix has no row for.
        unreadable: the number of values that could not be compared, by field and reason.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.right: collections.Counter[str] = collections.Counter()
        self.differences: list[Difference] = []
        self.missing: list[Difference] = []
        self.unreadable: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)

    def add(self, other: Audited) -> None:
        """Add the result of another audit."""
        self.rows += other.rows
        self.right += other.right
        self.differences += other.differences
        self.missing += other.missing
        for field, reasons in other.unreadable.items():
            self.unreadable[field] += reasons

    def compare(self, row: str, field: str, matrix: object, found: object, where: str) -> None:
        """Record whether a field agrees."""
        if matrix == found:
            self.right[field] += 1
        else:
            self.differences.append(Difference(row, field, _text(matrix), _text(found), where))


def _text(value: object) -> str:
    if isinstance(value, (set, frozenset, list, tuple)):
        return ", ".join(map(str, value if isinstance(value, (list, tuple)) else sorted(map(str, value)))) or "none"
    return str(value) if value not in {None, ""} else "none"


class _Place(NamedTuple):
    """A row on one of its platforms, and the page of the index about it."""

    row: str
    platform: Platform
    page: str


class _Row(NamedTuple):
    """A row to read: a build of a release, or a library."""

    framework: Framework | None
    release: Release | None
    build: Build | None
    library: Library | None


class Audit:
    """An audit of a matrix."""

    def __init__(
        self,
        matrix: CompatibilityMatrix,
        reader: Reader,
        *,
        names: Sequence[str] = (),
        sample: int | None = None,
        fatbins: bool = False,
        cancel: threading.Event,
        progress: Progress = lambda _done, _total: None,
    ) -> None:
        """Prepare the audit; it reads no index yet.

        Args:
            matrix: the matrix.
            reader: reads the index and the wheels.
            names: frameworks and libraries; () for all.
            sample: the number of rows of each framework, and of libraries; None for all. The matrix's revision seeds
                the draw, so the same matrix has the same sample.
            fatbins: whether to read the GPU code of the wheels as well, gigabytes of it.
            cancel: an event that ends everything in progress.
            progress: called after each row.
        """
        self._matrix = matrix
        self._reader = reader
        self._fatbins = fatbins
        self._cancel = cancel
        self._progress = progress
        self._followed = frozenset({*matrix.library_names, *matrix.framework_names})
        self._rows = list(self._drawn(names, sample))

    def _drawn(self, names: Sequence[str], sample: int | None) -> Iterator[_Row]:
        chance = random.Random(self._matrix.revision)  # noqa: S311 - a sample, and no secret
        for name in self._matrix.framework_names:
            if names and name not in names:
                continue
            framework = self._matrix.framework(name)
            rows = [_Row(framework, one, build, None) for one in framework.releases for build in one.builds]
            yield from rows if sample is None or sample >= len(rows) else chance.sample(rows, sample)
        libraries = [name for name in self._matrix.library_names if not names or name in names]
        if sample is not None and sample < len(libraries):
            libraries = chance.sample(libraries, sample)
        for name in libraries:
            library = self._matrix.library(name)
            if library is not None:
                yield _Row(None, None, None, library)

    def run(self) -> Audited:
        """Read and compare.

        Raises:
            OutsideError: the index cannot be asked.
            KeyboardInterrupt: after everything in progress was cancelled.
        """
        result = Audited()
        pool = ThreadPoolExecutor(IN_FLIGHT)
        try:
            jobs = [pool.submit(self._row, row) for row in self._rows]
            for done, job in enumerate(as_completed(jobs), 1):
                result.add(job.result())
                self._progress(done, len(jobs))
        except BaseException:
            self._cancel.set()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        result.differences.sort()
        result.missing.sort()
        return result

    def _row(self, row: _Row) -> Audited:
        found = Audited()
        found.rows = 1
        if row.library is not None:
            self._library(row.library, found)
        elif row.framework is not None and row.release is not None and row.build is not None:
            self._release(row.framework, row.release, row.build, found)
        return found

    # -- libraries -----------------------------------------------------------------------------------------------------

    def _library(self, library: Library, found: Audited) -> None:
        releases = self._reader.releases(library.name)
        page = f"index page of {library.name}"
        for release in library.releases:
            row = f"{library.name} {release.version}"
            wheels = [one for one in releases.get(release.version, ()) if one.file.yanked is None]
            if not wheels:
                found.unreadable["released"]["the index has no wheel of it"] += 1
                continue
            self._day(found, row, release.released, wheels, page)
            for name, glibc in release.platforms.items():
                platform = self._matrix.platforms[name]
                own = [one for one in wheels if one.glibc(platform) is not None]
                pythons = set(release.pythons or [minor.version for minor in self._matrix.pythons])
                place = _Place(f"{row}, {name}", platform, page)
                self._pythons(found, place, pythons, own)
                self._glibc(found, place, glibc, own)
        known = {str(Version(version)) for version in library.yanked}
        said = {
            str(version)
            for version, wheels in releases.items()
            if wheels and all(one.file.yanked is not None for one in wheels) and not version.is_prerelease
        }
        # a release that is older than the first row and yanked needs no row
        oldest = min((one.version for one in library.releases), default=Version("0"))
        missing = {text for text in said - known if Version(text) >= oldest}
        wrong = {text for text in known - said if Version(text) in releases}
        found.compare(library.name, "yanked", sorted(wrong), sorted(missing), page)

    # -- what both have ------------------------------------------------------------------------------------------------

    def _day(self, found: Audited, row: str, day: dt.date, wheels: Sequence[Wheel], page: str) -> None:
        days = [one.file.uploaded for one in wheels if one.file.uploaded is not None]
        if days:
            found.compare(row, "released", day, min(days), page)
        else:
            found.unreadable["released"]["the index names no days"] += 1

    def _pythons(self, found: Audited, place: _Place, pythons: set[str], wheels: Sequence[Wheel]) -> None:
        missing = sorted((minor for minor in pythons if not any(one.serves(minor) for one in wheels)), key=Version)
        found.compare(place.row, "pythons", missing, [], place.page)

    def _glibc(self, found: Audited, place: _Place, glibc: Version | None, wheels: Sequence[Wheel]) -> None:
        """Compare the glibc floor. It may be above the one in the wheels' tags, as tags can be wrong; never below."""
        floors = [floor for one in wheels if (floor := one.glibc(place.platform)) is not None]
        if not floors:
            found.compare(place.row, "platforms", place.platform.name, "no wheel", place.page)
            return
        needed = min(floors)
        if (glibc or Version("0")) < needed:
            found.compare(place.row, "glibc", glibc, needed, place.page)
        else:
            found.right["glibc"] += 1

    # -- frameworks ----------------------------------------------------------------------------------------------------

    def _release(self, framework: Framework, release: Release, build: Build, found: Audited) -> None:
        name = framework.name
        page = f"index page of {name}"
        label = f"+{build.local}" if build.local else f", {accelerators.title(build.accelerator)}"
        row = f"{name} {release.version}{label}"
        files = self._reader.files(name, release.version)
        days = [one.uploaded for one in files if one.uploaded is not None]
        if days:
            found.compare(row, "released", release.released, min(days), page)
            found.compare(row, "yanked", release.yanked is not None, all(one.yanked is not None for one in files), page)
        else:
            found.unreadable["released"]["the index has no file of it"] += 1
        if build.local:
            found.unreadable["build"][f"only {framework.title}'s own index has builds with a label"] += 1
            return
        if build is release.builds[0]:
            self._platforms(framework, release, found)
        for platform_name, glibc in build.platforms.items():
            place = _Place(f"{row}, {platform_name}", self._matrix.platforms[platform_name], page)
            wheels = self._wheels_of(place, build, glibc, found)
            if wheels is not None:
                self._requires(place, build, wheels, found)
                self._built_for(place, framework, build, wheels, found)

    def _platforms(self, framework: Framework, release: Release, found: Audited) -> None:
        """Find platforms for which the index has wheels of a release and the matrix has no row."""
        rows = {platform for build in release.builds if not build.local for platform in build.platforms}
        wheels = [
            one
            for one in self._reader.releases(framework.name).get(release.version, ())
            if not any(tag == "any" for _, _, tag in one.tags)  # its requirements decide where it runs
        ]
        served = {
            name
            for name, platform in self._matrix.platforms.items()
            if any(
                one.glibc(platform) is not None and any(one.serves(python) for python in release.builds[0].pythons)
                for one in wheels
            )
        }
        missing = sorted(served - rows)
        row, page = f"{framework.name} {release.version}", f"index page of {framework.name}"
        found.missing += [Difference(row, "platforms", "no row", f"wheels for {name}", page) for name in missing]

    def _wheels_of(
        self, place: _Place, build: Build, glibc: Version | None, found: Audited
    ) -> dict[str, list[Wheel]] | None:
        """The wheels that a build installs on a platform; None if the index lacks a release."""
        wheels: dict[str, list[Wheel]] = {}
        for requirement in map(Requirement, build.install):
            name = canonicalize_name(requirement.name)
            pins = [one.version for one in requirement.specifier if one.operator == "=="]
            if not pins or pins[0].endswith(".*"):
                continue
            releases = self._reader.releases(name).get(Version(pins[0]))
            if releases is None:
                found.unreadable["pythons"][f"the index has no {name} {pins[0]}"] += 1
                return None
            if not releases:
                found.unreadable["pythons"]["a source distribution"] += 1
                continue
            wheels[name] = [one for one in releases if one.glibc(place.platform) is not None]
            own = place._replace(page=f"index page of {name}")
            self._pythons(found, own, set(build.pythons), wheels[name])
            self._glibc(found, own, glibc, wheels[name])
        return wheels

    def _requires(self, place: _Place, build: Build, wheels: Mapping[str, Sequence[Wheel]], found: Audited) -> None:
        """Compare METADATA's requirements on packages of the matrix with the row's, for each Python."""
        first = next((one for own in wheels.values() for one in own), None)
        if first is None:
            found.unreadable["requires"]["a source distribution"] += 1
            return
        wrong: dict[tuple[str, str], list[str]] = {}
        try:
            for python in build.pythons:
                said = self._said(place.platform, python, build, wheels)
                stated = self._stated(place.platform, python, build)
                for name in said.keys() | stated.keys():
                    if said.get(name) != stated.get(name):
                        key = (_shown(name, stated.get(name)), _shown(name, said.get(name)))
                        wrong.setdefault(key, []).append(python)
        except Unreadable as reason:
            found.unreadable["requires"][str(reason)] += 1
            return
        if not wrong:
            found.right["requires"] += 1
        for (matrix, wheel_says), pythons in wrong.items():
            on = "" if len(pythons) == len(build.pythons) else f" on Python {', '.join(pythons)}"
            where = f"{first.file.filename}: METADATA"
            found.differences.append(Difference(place.row, "requires", matrix, f"{wheel_says}{on}", where))

    def _said(
        self, platform: Platform, python: str, build: Build, wheels: Mapping[str, Sequence[Wheel]]
    ) -> dict[str, _Range]:
        """The requirements of a build's wheels on packages of the matrix, for a Python."""
        extras: dict[str, set[str]] = {
            canonicalize_name(one.name): set(one.extras) for one in map(Requirement, build.install)
        }
        found: dict[str, _Range] = {}
        for name, own in wheels.items():
            wheel = next((one for one in own if one.serves(python)), None)
            if wheel is None:
                continue
            for other, (specifier, more) in self._asked(wheel, platform, python, extras[name]).items():
                if other in extras:
                    extras[other] |= more
                elif other in self._followed:
                    found[other] = _joined(found.get(other), specifier, more)
        return found

    @staticmethod
    def _stated(platform: Platform, python: str, build: Build) -> dict[str, _Range]:
        """The requirements of a build according to its row, for a Python."""
        pinned = {canonicalize_name(Requirement(text).name) for text in build.install}
        return {
            name: (_spelled(specifier), more)
            for name, (specifier, more) in applying(build.requires, platform, python, ()).items()
            if name not in pinned
        }

    def _asked(
        self, wheel: Wheel, platform: Platform, python: str, extras: Collection[str]
    ) -> dict[str, tuple[SpecifierSet, frozenset[str]]]:
        """The requirements of a wheel, and of the distribution that an empty wheel stands for.

        TensorFlow had empty wheels for Windows, macOS and aarch64: they require tensorflow-intel and the like in the
        same version.
        """
        asked = applying(self._reader.requires(wheel), platform, python, extras)
        for name, (specifier, more) in list(asked.items()):
            if name in self._followed or str(specifier) != f"=={wheel.version}":
                continue
            own = self._reader.releases(name).get(wheel.version, ())
            part = next((one for one in own if one.glibc(platform) is not None and one.serves(python)), None)
            if part is not None:
                for other, value in applying(self._reader.requires(part), platform, python, more).items():
                    asked.setdefault(other, value)
        return asked

    def _built_for(
        self,
        place: _Place,
        framework: Framework,
        build: Build,
        wheels: Mapping[str, Sequence[Wheel]],
        found: Audited,
    ) -> None:
        """Compare the accelerator's version and architectures with files in the wheels."""
        own_kind = build.accelerator.kind
        major = "" if build.accelerator.major is None else str(build.accelerator.major)
        toolkits = [
            one.version for one in self._matrix.toolkits_of(own_kind) if one.version.major == build.accelerator.major
        ]
        said = Found()
        where = dict.fromkeys(Found._fields, "")
        for one in evidence().get(framework.name, ()):
            if build.accelerated and own_kind != one.accelerator:
                continue
            own = wheels.get(one.distribution.replace("{major}", major), ())
            costly = one.costly and not (self._fatbins and build.accelerated)
            if not own or costly or ("{major}" in one.path and not major):
                continue
            wheel = next((one for one in own if one.serves(build.pythons[-1])), own[0])
            path = one.path.replace("{major}", major)
            try:
                read = self._reader.evidence(wheel, one, path, toolkits)
            except Unreadable as reason:
                found.unreadable["accelerator"][str(reason)] += 1
                continue
            for field in Found._fields:
                value = getattr(read, field)
                # the machine code itself wins over a list about it
                if value is not None and (getattr(said, field) is None or one.kind == "fatbins"):
                    said = said._replace(**{field: value})
                    where[field] = f"{wheel.file.filename}: {path}"
        self._fields_of(place.row, build, said, where, found)

    @staticmethod
    def _fields_of(row: str, build: Build, said: Found, where: Mapping[str, str], found: Audited) -> None:
        if said.toolkit is not None:
            found.compare(row, "accelerator", build.accelerator.number, said.toolkit, where["toolkit"])
        elif build.accelerated:
            found.unreadable["accelerator"]["no file in its wheels says it"] += 1
        if not build.accelerated:
            return
        for field, listed in (("sass", build.code.machine), ("ptx", build.code.portable)):
            value: frozenset[str] | None = getattr(said, field)
            if value is None:
                found.unreadable[field]["no file that was read says it"] += 1
            else:
                found.compare(row, field, sorted(listed, key=Version), sorted(value, key=Version), where[field])


def _joined(before: _Range | None, specifier: SpecifierSet, more: frozenset[str]) -> _Range:
    text = _spelled(specifier)
    if before is None:
        return text, more
    return ",".join(sorted({*before[0].split(","), *text.split(",")} - {""})), before[1] | more


def _spelled(specifier: SpecifierSet) -> str:
    """A range in one canonical spelling: sorted clauses, versions without trailing zeros."""
    clauses = []
    for one in specifier:
        version = one.version
        if not version.endswith(".*") and one.operator != "~=":
            parsed = Version(version)
            release = list(parsed.release)
            while len(release) > 1 and release[-1] == 0:
                release.pop()
            text = str(parsed)
            base = ".".join(map(str, parsed.release))
            version = text.replace(base, ".".join(map(str, release)), 1)
        clauses.append(f"{one.operator}{version}")
    return ",".join(sorted(set(clauses)))


def _shown(name: str, value: _Range | None) -> str:
    if value is None:
        return f"no {name}"
    extras = f"[{','.join(sorted(value[1]))}]" if value[1] else ""
    return f"{name}{extras}{value[0]}"
