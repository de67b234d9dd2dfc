"""A request put to the matrix: what can be chosen, and which facts and wishes narrow the choice.

Each package is a :class:`Variable` whose domain is the releases that the matrix knows, held as bits of an int, oldest
first. What narrows it carries the *units* it rests on: a fact of the matrix or a wish of the request. With all units
active the problem is the one that was asked; with some left out it is the question "and if it were not for that?",
which is how a minimal conflict is found.
"""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from packaging.version import Version

from kgen.matrix.candidates import BuildTarget, build_for, imported_build, serves
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.records import Build, CudnnSupport, LibraryRelease, ModelLibrary, Release
from kgen.model.driver import DriverVersion
from kgen.model.ranges import Comparison, VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement, parse_requirement

T = TypeVar("T")

CUDNN = "cudnn"
RUNTIME = "runtime"


class Unit(NamedTuple):
    """A fact or a wish that a conflict may rest on.

    `owner` is a package, or :data:`REQUEST` for a wish of the user; `rule` says which of its facts or wishes.
    """

    owner: str
    rule: str


REQUEST = "request"


class Filter(NamedTuple):
    """A narrowing of a domain, in force while all of its units are active."""

    units: tuple[Unit, ...]
    mask: int


class Need(NamedTuple):
    """What one candidate asks of another package; for a library of models, if one is named."""

    unit: Unit
    package: str
    mask: int
    text: str
    source: str
    library: str = ""


class Variable:
    """A package whose version is to be chosen.

    Attributes:
        name: the package.
        versions: every release, oldest first; bit `i` of a mask stands for `versions[i]`.
        base: the releases that exist at all for this platform, Python and accelerator.
        filters: what narrows them further.
    """

    __slots__ = ("base", "filters", "name", "versions")

    def __init__(self, *, name: str, versions: Sequence[Version], base: int) -> None:
        """A variable that nothing narrows yet."""
        self.name = name
        self.versions = versions
        self.base = base
        self.filters: list[Filter] = []

    def allowed(self, active: frozenset[Unit] | None) -> int:
        """The domain while only these units are active; None stands for all."""
        mask = self.base
        for units, narrowed in self.filters:
            if active is None or all(unit in active for unit in units):
                mask &= narrowed
        return mask


class Choice(Variable):
    """A framework (or Keras): a variable that is chosen by rank, and whose candidates have needs of their own.

    Attributes:
        releases: its releases, as in `versions`.
        builds: the build of each for the platform and accelerator of the request; None where there is none.
        needs: what each asks of other packages.
    """

    __slots__ = ("builds", "needs", "releases")

    def __init__(
        self,
        *,
        name: str,
        versions: Sequence[Version],
        base: int,
        releases: Sequence[Release],
        builds: Sequence[Build | None],
        needs: Sequence[tuple[Need, ...]],
    ) -> None:
        """A choice that nothing narrows yet."""
        super().__init__(name=name, versions=versions, base=base)
        self.releases = releases
        self.builds = builds
        self.needs = needs


def mask_where(items: Iterable[object], keep: Callable[..., bool]) -> int:
    """The bits of the items that are kept."""
    mask = 0
    for position, item in enumerate(items):
        if keep(item):
            mask |= 1 << position
    return mask


def newest(mask: int) -> int:
    """The position of the newest release in a mask that is not empty."""
    return mask.bit_length() - 1


def mask_of(specifiers: VersionRange, versions: Sequence[Version]) -> int:
    """The bits of the versions, sorted oldest first, that a range holds."""
    mask = (1 << len(versions)) - 1
    for specifier in specifiers:
        mask &= _bounded(specifier, versions)
    return mask


def _bounded(specifier: Comparison, versions: Sequence[Version]) -> int:
    """The bits of one comparison: by bisection where its bounds are plain, which spares a look at every version."""
    operator, text = specifier.operator, specifier.version
    every = (1 << len(versions)) - 1
    if operator == "==" and text.endswith(".*"):
        *lead, last = text.removesuffix(".*").split(".")
        if last.isdecimal():
            first, beyond = ".".join([*lead, last]), ".".join([*lead, str(int(last) + 1)])
            return _below(f"{beyond}.dev0", versions) & ~_below(f"{first}.dev0", versions)
    elif operator in {"==", ">=", "<=", "<"} and "+" not in text:
        bound = Version(text)
        below = (1 << bisect_left(versions, bound)) - 1
        up_to = (1 << bisect_right(versions, bound)) - 1
        if operator != "<":
            return {">=": every & ~below, "<=": up_to, "==": up_to & ~below}[operator]
        if not (bound.is_prerelease or bound.is_postrelease):
            # "<2.0" holds no pre-release of 2.0, though these sort before it
            return below & _below(f"{bound.base_version}.dev0", versions)
    return mask_where(versions, specifier.holds)


def _below(text: str, versions: Sequence[Version]) -> int:
    return (1 << bisect_left(versions, Version(text))) - 1


def spell(specifiers: Iterable[object]) -> str:
    """A range as people write it: the floor before the ceiling."""
    return ",".join(sorted(map(str, specifiers), key=lambda text: (text.startswith(("<", "!=")), text)))


def pins(requirement: Requirement, version: Version) -> bool:
    """Whether a requirement names exactly this version."""
    return (
        any(
            specifier.operator in {"==", "==="} and not specifier.version.endswith(".*")
            for specifier in requirement.specifier
        )
        and version in requirement.specifier
    )


def _wished(requirement: Requirement, versions: Sequence[Version], local: Sequence[str | None]) -> int:
    """The bits of the versions that a wish allows, by itself or by the label of the build."""
    mask = mask_of(requirement.specifier, versions)
    for position, label in enumerate(local):
        if label is not None and Version(f"{versions[position]}+{label}") in requirement.specifier:
            mask |= 1 << position
    return mask


class _Known:
    """What is the same for every request that is put to one matrix, worked out once.

    A refusal is explained by solving dozens of requests that differ in one point each.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """What `find` gives, which must depend on nothing but the matrix and the key."""
        if key not in self._found:
            self._found[key] = find()
        found: T = self._found[key]
        return found


_known: WeakKeyDictionary[CompatibilityMatrix, _Known] = WeakKeyDictionary()


class Problem:
    """One request put to the matrix."""

    def __init__(self, matrix: CompatibilityMatrix, request: EnvironmentRequest) -> None:
        """Set the problem up; nothing is decided yet."""
        self.matrix = matrix
        self.request = request
        self.platform = matrix.platforms[request.platform]
        self._known = _known.setdefault(matrix, _Known())
        self._markers = {
            **self.platform.markers,
            "python_version": request.python,
            "python_full_version": f"{request.python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "extra": "",
        }
        self.generation = matrix.generation_of(request.backends)
        self.keras = self.generation.package
        self.frameworks = tuple(dict.fromkeys(matrix.backends[backend].framework for backend in request.backends))
        self._wishes = self._collect_wishes()
        self._held = frozenset(map(str, request.held))
        self.variables: dict[str, Variable] = {}
        self.libraries = tuple(
            one for one in self.generation.libraries if any(one.name == wish.name for wish in request.dependencies)
        )
        self.choices = tuple(self._choice(name) for name in (*self.frameworks, self.keras))
        self.imported = tuple(
            variable
            for name, variable in self.variables.items()
            if isinstance(variable, Choice) and name not in {*self.frameworks, self.keras}
        )
        self.targets = frozenset(
            need.package for choice in (*self.choices, *self.imported) for needs in choice.needs for need in needs
        )

    @functools.cached_property
    def units(self) -> tuple[Unit, ...]:
        """Every unit of the problem, the least telling first."""
        found: dict[Unit, None] = {}
        for variable in self.variables.values():
            for units, _ in variable.filters:
                found.update(dict.fromkeys(units))
        for choice in (*self.choices, *self.imported):
            for needs in choice.needs:
                found.update((need.unit, None) for need in needs)
        return tuple(sorted(found, key=self._telling))

    def _telling(self, unit: Unit) -> tuple[int, str, str]:
        """How much a unit tells a person: cuDNN and NCCL more than cuBLAS, wishes most."""
        if unit.owner == REQUEST:
            return (9, unit.rule, "")
        role = self.role(unit.rule.removeprefix("needs "))
        order = {CUDNN: 5, "nccl": 4, "nvcc": 3, KERAS: 2, "numpy": 2, "triton": 2}
        rank = order.get(role, 1) if unit.rule.startswith("needs ") else 6
        return (rank, unit.rule, unit.owner)

    def role(self, package: str) -> str:
        """What a package is whatever CUDA it is for: `cudnn` for nvidia-cudnn-cu12."""
        library = self.matrix.library(package)
        return package if library is None else library.role

    # -- the request -----------------------------------------------------------------------------------------------

    def _collect_wishes(self) -> Mapping[str, tuple[tuple[Unit, Requirement], ...]]:
        wishes: dict[str, list[tuple[Unit, Requirement]]] = {}
        for requirement in (*self.request.requirements, *self.request.dependencies, *self.request.held):
            if self._applies(requirement):
                name = requirement.name
                wishes.setdefault(name, []).append((Unit(REQUEST, str(requirement)), requirement))
        if self.request.keras:
            requirement = Requirement(f"{self.keras}{self.request.keras}")
            wishes.setdefault(self.keras, []).append((Unit(REQUEST, str(requirement)), requirement))
        return {name: tuple(found) for name, found in wishes.items()}

    def wishes(self, package: str) -> tuple[Requirement, ...]:
        """What is asked of a package; that an older lock has a version of it is nobody's wish for it."""
        return tuple(wish for unit, wish in self._wishes.get(package, ()) if unit.rule not in self._held)

    def is_held(self, unit: Unit) -> bool:
        """Whether this is not asked, but what an older lock has."""
        return unit.owner == REQUEST and unit.rule in self._held

    def _apply_wishes(self, variable: Variable, local: tuple[str | None, ...] = ()) -> None:
        for unit, requirement in self._wishes.get(variable.name, ()):
            mask = self._known.once(
                ("wish", variable.name, requirement, local),
                functools.partial(_wished, requirement, variable.versions, local),
            )
            variable.filters.append(Filter((unit,), mask))

    def _apply_cutoff(self, variable: Variable, releases: Sequence[Release] | Sequence[LibraryRelease]) -> None:
        cutoff = self.request.cutoff
        if cutoff is not None:
            mask = self._known.once(
                ("cutoff", variable.name, cutoff),
                lambda: mask_where(releases, lambda release: release.released <= cutoff),
            )
            variable.filters.append(Filter((Unit(REQUEST, "cutoff"),), mask))

    def _glibc_fits(self, needed: Version | None) -> bool:
        floor = self.request.glibc or self.platform.glibc
        return needed is None or floor is None or needed <= floor

    # -- frameworks ------------------------------------------------------------------------------------------------

    @functools.cached_property
    def target(self) -> BuildTarget:
        """What the builds are to run on."""
        return BuildTarget.of(self.request)

    def build_of(self, framework: str, release: Release) -> Build | None:
        """The build of a release for the accelerator and platform of the request, whatever its Pythons."""
        return build_for(self.matrix, framework, release, self.target, pinned=self._is_pinned(framework, release))

    def _choice(self, name: str) -> Choice:
        releases = self.matrix.framework(name).releases
        request = self.request
        # what the builds depend on, and so everything that is read off them
        target = (
            *(name, request.platform, request.accelerator, request.python, request.own_index),
            self.wishes(name),
        )
        builds, buildable, local = self._known.once(("builds", *target), lambda: self._builds(name, releases))
        base = buildable & self._sound(name, releases)
        needs, needed = self._known.once(
            ("all needs", *target, base, self._backends_of(name), self._libraries_of(name)),
            lambda: self._all_needs(name, builds, base),
        )
        for package in needed:
            self._variable(package)
        versions = self._versions(name, releases)
        choice = Choice(name=name, versions=versions, base=base, releases=releases, builds=builds, needs=needs)
        self.variables[name] = choice
        self._apply_wishes(choice, local)
        self._apply_cutoff(choice, releases)
        if self.platform.glibc is not None:
            units = (Unit(REQUEST, "glibc"), Unit(name, "glibc"))
            fits = self._known.once(
                ("glibc", *target, request.glibc),
                lambda: mask_where(
                    builds,
                    lambda build: build is not None and self._glibc_fits(build.platforms.get(self.platform.name)),
                ),
            )
            choice.filters.append(Filter(units, fits))
        self._apply_hardware(choice, target)
        return choice

    def _builds(
        self, name: str, releases: Sequence[Release]
    ) -> tuple[Sequence[Build | None], int, tuple[str | None, ...]]:
        """The build of each release, the bits of those that this Python has a wheel of, and their local labels."""
        builds = [self.build_of(name, release) for release in releases]
        buildable = mask_where(builds, lambda build: build is not None and self.request.python in build.pythons)
        return builds, buildable, tuple(None if build is None else build.local for build in builds)

    def _all_needs(
        self, name: str, builds: Sequence[Build | None], base: int
    ) -> tuple[Sequence[tuple[Need, ...]], Sequence[str]]:
        """The needs of each build that can be chosen, and the packages that they are about."""
        needs = [
            self._needs(name, build) if build is not None and base >> position & 1 else ()
            for position, build in enumerate(builds)
        ]
        return needs, tuple(dict.fromkeys(need.package for several in needs for need in several))

    def _sound(self, name: str, releases: Sequence[Release]) -> int:
        """The bits of the releases that may be chosen, which a wish has a say in."""
        wishes = self.wishes(name)
        return self._known.once(
            ("sound", name, wishes, self.request.backends),
            lambda: mask_where(releases, lambda release: self.is_sound(name, release)),
        )

    def is_sound(self, framework: str, release: Release) -> bool:
        """Whether a release may be chosen: one that was yanked, is known to be bad or is early only if it is pinned.

        And only one of the generation.
        """
        if not self.is_of_generation(framework, release.version):
            return False
        doubtful = release.yanked or release.known_bad or release.version.is_prerelease
        return not doubtful or self._is_pinned(framework, release)

    def _is_pinned(self, framework: str, release: Release) -> bool:
        return any(pins(wish, release.version) for wish in self.wishes(framework))

    def is_of_generation(self, name: str, version: Version) -> bool:
        """Whether a release is one of this generation: of Keras, or of a framework that its backends are for."""
        if name == self.keras:
            return version in self.generation.range
        rows = (self.matrix.backends[backend] for backend in self.request.backends)
        return all(version in row.releases for row in rows if row.framework == name)

    def _apply_hardware(self, choice: Choice, target: tuple[Hashable, ...]) -> None:
        driver = self.request.driver
        if driver is not None:
            units = (Unit(REQUEST, "driver"), Unit(choice.name, "driver"))
            reached = self._known.once(
                ("driver", *target, driver),
                lambda: mask_where(choice.builds, lambda build: self._driver_reaches(build, driver)),
            )
            choice.filters.append(Filter(units, reached))
        for gpu in self.request.gpus:
            rule = f"gpu {gpu}"
            units = (Unit(REQUEST, rule), Unit(choice.name, rule))
            choice.filters.append(Filter(units, self._serving(choice, target, gpu, None)))
            if driver is not None:
                # PTX that this driver cannot compile is the driver's doing as well
                with_driver = (*units, Unit(REQUEST, "driver"))
                choice.filters.append(Filter(with_driver, self._serving(choice, target, gpu, driver)))

    def _serving(self, choice: Choice, target: tuple[Hashable, ...], gpu: Version, driver: DriverVersion | None) -> int:
        return self._known.once(
            ("serving", *target, gpu, driver),
            lambda: mask_where(
                choice.builds,
                lambda build: (
                    build is not None and (build.cuda_major is None or serves(build, gpu, driver, self.matrix))
                ),
            ),
        )

    def _driver_reaches(self, build: Build | None, driver: DriverVersion) -> bool:
        if build is None or build.cuda_major is None:
            return True
        return driver.reaches(self.matrix.cuda_majors[build.cuda_major].driver)

    def _needs(self, owner: str, build: Build) -> tuple[Need, ...]:
        request = self.request
        # a build is one object of the matrix, which outlives what is remembered of it
        marked = self._known.once(
            ("marked", id(build)), lambda: any(";" in text for text in (*build.requires, *build.adds))
        )
        libraries = self._libraries_of(owner)
        python = request.python if marked or libraries else ""
        key = ("needs", id(build), request.platform, python, self._backends_of(owner), libraries)
        return self._known.once(key, lambda: tuple(self._collect_needs(owner, build)))

    def _collect_needs(self, owner: str, build: Build) -> Iterator[Need]:
        rows = [(text, build.provenance.source) for text in build.requires]
        rows += build.adds.items()
        for text, source in rows:
            requirement = parse_requirement(text)
            if self._applies(requirement):
                for one in (text, *self.matrix.expand(text)):
                    yield from self._need(owner, one, source)
        for backend in self._backends_of(owner):
            row = self.matrix.backends[backend]
            for text in (*([f"{self.keras}{row.keras}"] if row.keras else []), *row.needs):
                yield from self._need(owner, text, row.provenance.source)

        for library in self._libraries_of(owner):
            for text in library.needs:
                if self._applies(parse_requirement(text)):
                    for need in self._need(owner, text, library.provenance.source):
                        yield need._replace(text=f"{need.text} for {library.name}", library=library.name)

    def _applies(self, requirement: Requirement) -> bool:
        return requirement.marker is None or requirement.marker.evaluate(self._markers)

    def _libraries_of(self, package: str) -> tuple[ModelLibrary, ...]:
        """The libraries of models of the request, which stand on Keras."""
        return self.libraries if package == self.keras else ()

    def _backends_of(self, framework: str) -> tuple[str, ...]:
        """The backends of the request that a framework implements."""
        rows = self.matrix.backends
        return tuple(backend for backend in self.request.backends if rows[backend].framework == framework)

    def _need(self, owner: str, text: str, source: str) -> Iterator[Need]:
        requirement = parse_requirement(text)
        variable = self._variable(requirement.name)
        if variable is not None:
            mask, spelled = self._known.once(
                text, lambda: (mask_of(requirement.specifier, variable.versions), spell(requirement.specifier))
            )
            yield Need(Unit(owner, f"needs {requirement.name}"), requirement.name, mask, spelled, source)

    # -- libraries -------------------------------------------------------------------------------------------------

    def _variable(self, package: str) -> Variable | None:
        if package in self.variables:
            return self.variables[package]
        if package in self.matrix.framework_names:
            releases = self.matrix.framework(package).releases
            if package in self.frameworks or package == self.keras:
                # its Choice is made later; the versions, and so the bits, are the same
                return Variable(name=package, versions=self._versions(package, releases), base=-1)
            return self._plain_framework(package, releases)
        library = self.matrix.library(package)
        if library is None:
            return None
        installable = self._known.once(
            ("installable", package, self.request.platform, self.request.python),
            lambda: mask_where(library.releases, self._is_installable),
        )
        of_cuda = self._known.once(
            ("of cuda", package, self.request.accelerator),
            lambda: mask_where(library.releases, lambda release: self._is_of_cuda(package, release.version)),
        )
        versions = self._versions(package, library.releases)
        variable = Variable(name=package, versions=versions, base=installable & of_cuda)
        self.variables[package] = variable
        self._apply_wishes(variable)
        self._apply_cutoff(variable, library.releases)
        self._apply_library_glibc(variable, library.releases)
        if library.role == CUDNN:
            self._apply_cudnn(variable)
        return variable

    def _plain_framework(self, package: str, releases: Sequence[Release]) -> Variable:
        """A framework that is no backend of this request but that others need, as NumPy.

        One that computes is imported without being declared, as its own index of builds shows: what it needs counts.
        """
        target = (package, self.request.platform, self.request.python)
        builds, buildable = self._known.once(("plain builds", *target), lambda: self._plain_builds(releases))
        base = buildable & self._sound(package, releases)
        versions = self._versions(package, releases)
        if package in self.matrix.accelerated_frameworks:
            needs, needed = self._known.once(
                ("plain needs", *target, base), lambda: self._all_needs(package, builds, base)
            )
            variable: Variable = Choice(
                name=package, versions=versions, base=base, releases=releases, builds=builds, needs=needs
            )
            for name in needed:
                self._variable(name)
        else:
            variable = Variable(name=package, versions=versions, base=base)
        self.variables[package] = variable
        self._apply_wishes(variable)
        self._apply_cutoff(variable, releases)
        units = (Unit(REQUEST, "glibc"), Unit(package, "glibc"))
        fits = self._known.once(
            ("plain glibc", *target, self.request.glibc),
            lambda: mask_where(
                builds, lambda build: build is not None and self._glibc_fits(build.platforms[self.platform.name])
            ),
        )
        variable.filters.append(Filter(units, fits))
        return variable

    def _plain_builds(self, releases: Sequence[Release]) -> tuple[Sequence[Build | None], int]:
        """The build of each release that somebody gets who only needs it, and so does not ask for CUDA."""
        builds = [self.plain_build(release) for release in releases]
        return builds, mask_where(builds, lambda build: build is not None)

    def _versions(self, package: str, releases: Sequence[Release] | Sequence[LibraryRelease]) -> Sequence[Version]:
        return self._known.once(("versions", package), lambda: [release.version for release in releases])

    def plain_build(self, release: Release) -> Build | None:
        """The build of a release for who only needs it, and so does not ask for CUDA; None if none fits."""
        return imported_build(release, self.target)

    def _is_installable(self, release: LibraryRelease) -> bool:
        if self.request.platform not in release.platforms or release.version.is_prerelease:
            return False
        return not release.pythons or self.request.python in release.pythons

    def _is_of_cuda(self, package: str, version: Version) -> bool:
        """Whether a version of a library may stand beside the CUDA of the request."""
        accelerator = self.request.accelerator
        if accelerator.cuda is None:
            return True
        major = self.matrix.cuda_major_of(package, version)
        if major is not None and major != accelerator.cuda:
            return False
        if accelerator.minor is None:
            return True
        bound = self.matrix.minor_bound(package, accelerator.cuda, accelerator.minor)
        return bound is None or version < bound

    def _apply_library_glibc(self, variable: Variable, releases: Sequence[LibraryRelease]) -> None:
        units = (Unit(REQUEST, "glibc"), Unit(variable.name, "glibc"))
        fits = self._known.once(
            ("glibc", variable.name, self.request.platform, self.request.glibc),
            lambda: mask_where(releases, lambda release: self._glibc_fits(release.platforms.get(self.platform.name))),
        )
        variable.filters.append(Filter(units, fits))

    def _apply_cudnn(self, variable: Variable) -> None:
        rows = [row for row in self.matrix.cudnn if row.cuda == self.request.accelerator.cuda]
        driver = self.request.driver
        reached = rows if driver is None else [row for row in rows if driver.reaches(row.driver)]

        def covered(by: Sequence[CudnnSupport]) -> int:
            return mask_where(variable.versions, lambda version: any(version in row.cudnn for row in by))

        if driver is not None:
            units = (Unit(REQUEST, "driver"), Unit(variable.name, "driver"))
            variable.filters.append(Filter(units, covered(reached)))
        for gpu in self.request.gpus:
            rule = f"gpu {gpu}"
            units = (Unit(REQUEST, rule), Unit(variable.name, rule))
            variable.filters.append(Filter(units, covered([row for row in rows if gpu in row.gpus])))
            if driver is not None:
                with_driver = (*units, Unit(REQUEST, "driver"))
                variable.filters.append(Filter(with_driver, covered([row for row in reached if gpu in row.gpus])))
