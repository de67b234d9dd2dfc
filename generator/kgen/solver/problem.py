"""A request combined with the matrix: what can be chosen, and which facts and requirements narrow the choice.

Each package is a :class:`Variable` whose domain is the releases in the matrix, stored as the bits of an int, oldest
first. Whatever narrows a domain carries the terms that it rests on: facts of the matrix and wishes of the request. With
all terms active, this is the problem of the request. With some terms inactive, it answers "and without them?", which is
how the solver finds a minimal conflict.
"""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from packaging.version import Version

from kgen import uvsettings
from kgen.matrix.candidates import (
    BuildTarget,
    Candidate,
    build_for,
    candidate,
    imported_build,
    is_doubtful,
    reaches,
    serves,
)
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.records import Build, Companion, CudnnSupport, LibraryRelease, ModelLibrary, Release
from kgen.model.accelerator import CPU
from kgen.model.causes import REQUEST, Bound, Term, TermKind
from kgen.model.driver import DriverVersion
from kgen.model.ranges import Comparison, VersionRange, spell
from kgen.model.request import EnvironmentRequest, TargetMachine
from kgen.model.requirement import Requirement, parse_requirement

T = TypeVar("T")

CUDNN = "cudnn"


class Filter(NamedTuple):
    """A restriction of a domain, which applies while all of its terms are active."""

    terms: tuple[Term, ...]
    mask: int


class Dependency(NamedTuple):
    """A candidate's requirement for another package.

    Attributes:
        term: the fact that there is this requirement.
        package: the other package.
        mask: its releases that satisfy the requirement.
        bound: the requirement in text form, and the library of models that it is for.
        source: the source of the fact.
    """

    term: Term
    package: str
    mask: int
    bound: Bound
    source: str

    @property
    def library(self) -> str:
        """The library of models that has the requirement; empty if none has."""
        return self.bound.library


class Variable:
    """A package whose version has to be chosen.

    Attributes:
        name: the package.
        versions: every release, oldest first; bit `i` of a mask stands for `versions[i]`.
        base: the releases that exist at all for this platform, Python and accelerator.
        filters: the restrictions.
    """

    __slots__ = ("base", "filters", "name", "versions")

    def __init__(self, *, name: str, versions: Sequence[Version], base: int) -> None:
        """Create a variable without restrictions."""
        self.name = name
        self.versions = versions
        self.base = base
        self.filters: list[Filter] = []

    def allowed(self, active: frozenset[Term] | None) -> int:
        """The domain while only these terms are active; None for all terms."""
        mask = self.base
        for terms, narrowed in self.filters:
            if active is None or all(term in active for term in terms):
                mask &= narrowed
        return mask


class FrameworkVariable(Variable):
    """A framework (or Keras): the solver chooses it by rank, and its candidates have dependencies.

    Attributes:
        releases: its releases, parallel to `versions`.
        builds: the build of each release for the platform and accelerator of the request; None if there is none.
        dependencies: the dependencies of each release.
    """

    __slots__ = ("builds", "dependencies", "releases")

    def __init__(
        self,
        *,
        name: str,
        versions: Sequence[Version],
        base: int,
        releases: Sequence[Release],
        builds: Sequence[Build | None],
        dependencies: Sequence[tuple[Dependency, ...]],
    ) -> None:
        """Create a variable without restrictions."""
        super().__init__(name=name, versions=versions, base=base)
        self.releases = releases
        self.builds = builds
        self.dependencies = dependencies


def mask_where(items: Iterable[object], keep: Callable[..., bool]) -> int:
    """The bits of the items for which `keep` holds."""
    mask = 0
    for position, item in enumerate(items):
        if keep(item):
            mask |= 1 << position
    return mask


def newest(mask: int) -> int:
    """The position of the newest release in a mask, which must not be empty."""
    return mask.bit_length() - 1


def mask_of(specifiers: VersionRange, versions: Sequence[Version]) -> int:
    """The bits of the versions in a range; the versions are sorted, oldest first."""
    mask = (1 << len(versions)) - 1
    for specifier in specifiers:
        mask &= _bounded(specifier, versions)
    return mask


def _bounded(specifier: Comparison, versions: Sequence[Version]) -> int:
    """The bits for one comparison, found by bisection if its bounds are simple, without testing every version."""
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
            # "<2.0" excludes pre-releases of 2.0, although these sort before it
            return below & _below(f"{bound.base_version}.dev0", versions)
    return mask_where(versions, specifier.holds)


def _below(text: str, versions: Sequence[Version]) -> int:
    return (1 << bisect_left(versions, Version(text))) - 1


def pins(requirement: Requirement, version: Version) -> bool:
    """Whether a requirement pins exactly this version."""
    return (
        any(
            specifier.operator in {"==", "==="} and not specifier.version.endswith(".*")
            for specifier in requirement.specifier
        )
        and version in requirement.specifier
    )


def label_of(requirement: Requirement) -> str | None:
    """The local version label of the build that a requirement pins: `cu126` for `torch==2.10.0+cu126`; else None."""
    exact = (one.version for one in requirement.specifier if one.operator in {"==", "==="})
    return next((label for text in exact if (label := text.partition("+")[2])), None)


def _exact(requirement: Requirement) -> Version | None:
    """The only version that a requirement allows; None if it allows several."""
    named = [one.version for one in requirement.specifier if one.operator == "=="]
    return Version(named[0]) if len(named) == 1 and "*" not in named[0] else None


def parts_of(framework: str, builds: Sequence[Build | None]) -> dict[str, list[Version | None]]:
    """The packages that are installed with a framework, each in one version for a release.

    Args:
        framework: the framework.
        builds: its build of each release; None if there is none.

    Returns:
        package -> its version with each release; None where the build names none.
    """
    found: dict[str, list[Version | None]] = {}
    for position, build in enumerate(builds):
        for installed in map(parse_requirement, () if build is None else build.install):
            exact = _exact(installed)
            if installed.name != framework and exact is not None:
                found.setdefault(installed.name, [None] * len(builds))[position] = exact
    return found


def _mask_of_requirement(requirement: Requirement, versions: Sequence[Version], local: Sequence[str | None]) -> int:
    """The bits of the versions that a requirement allows, by version or by the label of the build."""
    mask = mask_of(requirement.specifier, versions)
    for position, label in enumerate(local):
        if label is not None and Version(f"{versions[position]}+{label}") in requirement.specifier:
            mask |= 1 << position
    return mask


class _Known:
    """A cache of what is the same for every request to one matrix.

    To explain a refusal, the solver solves dozens of requests that differ in one point each.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """The result of `find`, which must depend only on the matrix and the key."""
        if key not in self._found:
            self._found[key] = find()
        found: T = self._found[key]
        return found


_known: WeakKeyDictionary[CompatibilityMatrix, _Known] = WeakKeyDictionary()


class Problem:
    """A request combined with the matrix."""

    def __init__(self, matrix: CompatibilityMatrix, request: EnvironmentRequest) -> None:
        """Set up the problem; nothing is decided yet."""
        self.matrix = matrix
        self.request = request
        self.platform = matrix.platforms[request.platform]
        self._known = _known.setdefault(matrix, _Known())
        self._markers = self.platform.marker_environment(request.python)
        self.generation = matrix.generation_of(request.backends)
        self.keras = self.generation.package
        together = (*request.backends, *request.members, *request.cpu_members)
        self.frameworks = tuple(dict.fromkeys(matrix.backends[backend].framework for backend in together))
        self._on_cpu = frozenset(matrix.backends[backend].framework for backend in request.cpu_members)
        self._requirements = self._collect_requirements()
        self._held = frozenset(map(str, request.held))
        self.variables: dict[str, Variable] = {}
        self.libraries = tuple(
            one for one in self.generation.libraries if any(one.name == asked.name for asked in request.dependencies)
        )
        self.framework_variables = tuple(self._framework_variable(name) for name in (*self.frameworks, self.keras))
        self.imported = tuple(
            variable
            for name, variable in self.variables.items()
            if isinstance(variable, FrameworkVariable) and name not in {*self.frameworks, self.keras}
        )
        self.targets = frozenset(
            need.package
            for variable in (*self.framework_variables, *self.imported)
            for needs in variable.dependencies
            for need in needs
        )

    @functools.cached_property
    def terms(self) -> tuple[Term, ...]:
        """Every term of the problem, the least informative first."""
        found: dict[Term, None] = {}
        for variable in self.variables.values():
            for terms, _ in variable.filters:
                found.update(dict.fromkeys(terms))
        for variable in (*self.framework_variables, *self.imported):
            for needs in variable.dependencies:
                found.update((need.term, None) for need in needs)
        return tuple(sorted(found, key=self._report_rank))

    def _report_rank(self, term: Term) -> tuple[int, str, str]:
        """A sort key by how much a term tells a person: cuDNN and NCCL more than cuBLAS, wishes most."""
        if term.owner == REQUEST:
            return (9, term.sort_key, "")
        order = {CUDNN: 5, "nccl": 4, "nvcc": 3, KERAS: 2, "numpy": 2, "triton": 2}
        rank = order.get(self.role(term.argument), 1) if term.kind is TermKind.DEPENDENCY else 6
        return (rank, term.sort_key, term.owner)

    def role(self, package: str) -> str:
        """The role of a package, independent of its CUDA version: `cudnn` for nvidia-cudnn-cu12."""
        library = self.matrix.library(package)
        return package if library is None else library.role

    # -- the request -----------------------------------------------------------------------------------------------

    def _collect_requirements(self) -> Mapping[str, tuple[tuple[Term, Requirement], ...]]:
        found: dict[str, list[tuple[Term, Requirement]]] = {}
        request = self.request
        asked = (*request.requirements, *request.dependencies, *request.constraints, *self.uv_bounds)
        for requirement in (*asked, *request.held):
            if self._applies(requirement):
                name = requirement.name
                found.setdefault(name, []).append((Term(REQUEST, TermKind.REQUIREMENT, str(requirement)), requirement))
        if self.request.keras:
            requirement = Requirement(f"{self.keras}{self.request.keras}")
            found.setdefault(self.keras, []).append(
                (Term(REQUEST, TermKind.REQUIREMENT, str(requirement)), requirement)
            )
        return {name: tuple(several) for name, several in found.items()}

    @functools.cached_property
    def uv_bounds(self) -> tuple[Requirement, ...]:
        """What uv's configuration leaves of the versions that are decided on: uv resolves within it.

        Its overrides also say which framework is taken; of others they leave more than their dependents do.
        """
        recorded = self.request.uv
        overrides = uvsettings.bounds(recorded, "override-dependencies")
        decided = {*self.frameworks, self.keras}
        return (*uvsettings.bounds(recorded), *(one for one in overrides if one.name in decided))

    def requirements_of(self, package: str) -> tuple[Requirement, ...]:
        """The request's requirements for a package, without the version that an older lock holds."""
        return tuple(one for term, one in self._requirements.get(package, ()) if term.argument not in self._held)

    def is_held(self, term: Term) -> bool:
        """Whether a term is the version in an older lock rather than a wish."""
        return term.owner == REQUEST and term.kind is TermKind.REQUIREMENT and term.argument in self._held

    def _apply_requirements(self, variable: Variable, local: tuple[str | None, ...] = ()) -> None:
        for term, requirement in self._requirements.get(variable.name, ()):
            mask = self._known.once(
                ("requirement", variable.name, requirement, local),
                functools.partial(_mask_of_requirement, requirement, variable.versions, local),
            )
            variable.filters.append(Filter((term,), mask))

    def _apply_parts(self, variable: FrameworkVariable) -> None:
        """Apply requirements on packages that a framework is installed with in one version, such as jaxlib with JAX."""
        parts = self._known.once(
            ("parts", variable.name, self.target_of(variable.name)), lambda: parts_of(variable.name, variable.builds)
        )
        for name, versions in parts.items():
            for term, requirement in self._requirements.get(name, ()):
                if requirement.specifier and not self.is_held(term):  # the framework's own version is held, too
                    mask = mask_where(versions, lambda one, of=requirement: one is not None and one in of.specifier)
                    variable.filters.append(Filter((term,), mask))

    def _apply_companions(self, variable: Variable) -> None:
        """Apply that a requested package only works with certain releases of a framework.

        If it is for several frameworks of the environment, it is used with the first of them.
        """
        first: dict[str, Companion] = {}
        if variable.name in self.matrix.accelerated_frameworks:
            for row in self.matrix.companions:
                before = first.get(row.project)
                if row.framework in self.frameworks and (
                    before is None or self.frameworks.index(row.framework) < self.frameworks.index(before.framework)
                ):
                    first[row.project] = row
        for row in first.values():
            if row.framework != variable.name:
                continue
            for term, requirement in self._requirements.get(row.project, ()):
                exact = _exact(requirement)
                if self.is_held(term) or (requirement.specifier and exact is None):
                    continue  # the user's own bound decides
                mask = 0
                for of_framework, of_companion in row.releases:
                    if exact is None or exact in of_companion:
                        mask |= mask_of(of_framework, variable.versions)
                variable.filters.append(Filter((term,), mask))

    def _apply_cutoff(self, variable: Variable, releases: Sequence[Release] | Sequence[LibraryRelease]) -> None:
        cutoff = self.request.cutoff
        if cutoff is not None:
            mask = self._known.once(
                ("cutoff", variable.name, cutoff),
                lambda: mask_where(releases, lambda release: release.released <= cutoff),
            )
            variable.filters.append(Filter((Term(REQUEST, TermKind.CUTOFF),), mask))

    def _glibc_fits(self, needed: Version | None) -> bool:
        floor = self.request.glibc or self.platform.glibc
        return needed is None or floor is None or needed <= floor

    # -- frameworks ------------------------------------------------------------------------------------------------

    @functools.cached_property
    def target(self) -> BuildTarget:
        """The target that builds have to run on."""
        return BuildTarget.of(self.request)

    def target_of(self, framework: str) -> BuildTarget:
        """The target that builds of a framework have to run on: the CPU may do for one that only comes along."""
        target = self.target._replace(accelerator=CPU) if framework in self._on_cpu else self.target
        labels = (label_of(one) for _, one in self._requirements.get(framework, ()))
        return target._replace(label=next((label for label in labels if label is not None), None))

    def build_of(self, framework: str, release: Release) -> Build | None:
        """The build of a release for the accelerator and platform of the request, whatever its Pythons."""
        target = self.target_of(framework)
        return build_for(self.matrix, framework, release, target, pinned=self.is_pinned(framework, release))

    def candidate_of(self, framework: str, release: Release) -> Candidate:
        """The build of a release for the request; or the build that comes closest, and its obstacle."""
        target = self.target_of(framework)
        return candidate(self.matrix, framework, release, target, pinned=self.is_pinned(framework, release))

    def _framework_variable(self, name: str) -> FrameworkVariable:
        releases = self.matrix.framework(name).releases
        request = self.request
        # the key of everything that is derived from the builds
        target = (
            *(name, self.target_of(name)),
            self.requirements_of(name),
        )
        builds, buildable, local = self._known.once(("builds", *target), lambda: self._builds(name, releases))
        base = buildable & self._sound(name, releases)
        needs, needed = self._known.once(
            ("all-dependencies", *target, base, self._backends_of(name), self._libraries_of(name)),
            lambda: self._all_dependencies(name, builds, base),
        )
        for package in needed:
            self._variable(package)
        versions = self._versions(name, releases)
        variable = FrameworkVariable(
            name=name, versions=versions, base=base, releases=releases, builds=builds, dependencies=needs
        )
        self.variables[name] = variable
        self._apply_requirements(variable, local)
        self._apply_parts(variable)
        self._apply_companions(variable)
        self._apply_cutoff(variable, releases)
        if self.platform.glibc is not None:
            terms = (Term(REQUEST, TermKind.GLIBC), Term(name, TermKind.GLIBC))
            fits = self._known.once(
                ("glibc", *target, request.glibc),
                lambda: mask_where(
                    builds,
                    lambda build: build is not None and self._glibc_fits(build.platforms.get(self.platform.name)),
                ),
            )
            variable.filters.append(Filter(terms, fits))
        self._apply_hardware(variable, target)
        return variable

    def _builds(
        self, name: str, releases: Sequence[Release]
    ) -> tuple[Sequence[Build | None], int, tuple[str | None, ...]]:
        """The build of each release, the bits of those with a wheel for this Python, and their local version labels."""
        builds = [self.build_of(name, release) for release in releases]
        buildable = mask_where(builds, lambda build: build is not None and self.request.python in build.pythons)
        return builds, buildable, tuple(None if build is None else build.local for build in builds)

    def _all_dependencies(
        self, name: str, builds: Sequence[Build | None], base: int
    ) -> tuple[Sequence[tuple[Dependency, ...]], Sequence[str]]:
        """The dependencies of each build that can be chosen, and the packages that they name."""
        needs = [
            self._dependencies(name, build) if build is not None and base >> position & 1 else ()
            for position, build in enumerate(builds)
        ]
        return needs, tuple(dict.fromkeys(need.package for several in needs for need in several))

    def _sound(self, name: str, releases: Sequence[Release]) -> int:
        """The bits of the releases that may be chosen, including pinned ones."""
        requirements = self.requirements_of(name)
        return self._known.once(
            ("sound", name, requirements, self.request.backends),
            lambda: mask_where(releases, lambda release: self.is_sound(name, release)),
        )

    def is_sound(self, framework: str, release: Release) -> bool:
        """Whether a release may be chosen: it belongs to the generation, and is not doubtful unless it is pinned."""
        if not self.is_of_generation(framework, release.version):
            return False
        return not is_doubtful(release) or self.is_pinned(framework, release)

    def is_pinned(self, framework: str, release: Release) -> bool:
        """Whether the request pins exactly this release."""
        spelled = (release.version, *(Version(f"{release.version}+{one.local}") for one in release.builds if one.local))
        return any(pins(one, version) for one in self.requirements_of(framework) for version in spelled)

    def is_of_generation(self, name: str, version: Version) -> bool:
        """Whether a release belongs to this generation: of Keras, or of a framework of its backends."""
        if name == self.keras:
            return version in self.generation.range
        rows = (self.matrix.backends[backend] for backend in self.request.backends)
        return all(version in row.releases for row in rows if row.framework == name)

    def _apply_hardware(self, variable: FrameworkVariable, target: tuple[Hashable, ...]) -> None:
        for machine in self.request.machines:
            self._apply_machine(variable, target, machine)

    def _apply_machine(self, variable: FrameworkVariable, target: tuple[Hashable, ...], machine: TargetMachine) -> None:
        driver = machine.driver
        asked = Term(REQUEST, TermKind.DRIVER, machine=machine.name)
        if driver is not None:
            terms = (asked, Term(variable.name, TermKind.DRIVER))
            reached = self._known.once(
                ("driver", *target, driver),
                lambda: mask_where(variable.builds, lambda build: self._driver_reaches(build, driver)),
            )
            variable.filters.append(Filter(terms, reached))
        for gpu in machine.gpus:
            terms = (Term(REQUEST, TermKind.GPU, gpu, machine.name), Term(variable.name, TermKind.GPU, gpu))
            variable.filters.append(Filter(terms, self._serving(variable, target, gpu, None)))
            if driver is not None:
                # code that this driver cannot compile is a matter of the driver as well as of the GPU
                variable.filters.append(Filter((*terms, asked), self._serving(variable, target, gpu, driver)))

    def _serving(
        self, variable: FrameworkVariable, target: tuple[Hashable, ...], gpu: str, driver: DriverVersion | None
    ) -> int:
        return self._known.once(
            ("serving", *target, gpu, driver),
            lambda: mask_where(
                variable.builds,
                lambda build: (
                    build is not None
                    and (not build.accelerated or serves(build, gpu, driver, self.matrix, self.request.platform))
                ),
            ),
        )

    def _driver_reaches(self, build: Build | None, driver: DriverVersion) -> bool:
        major = None if build is None else self.matrix.major_of(build.accelerator)
        return major is None or reaches(driver, major.driver_on(self.request.platform))

    def _dependencies(self, owner: str, build: Build) -> tuple[Dependency, ...]:
        request = self.request
        # the matrix keeps each build object alive, so its identity can be part of a cache key
        marked = self._known.once(
            ("marked", id(build)), lambda: any(";" in text for text in (*build.requires, *build.adds))
        )
        libraries = self._libraries_of(owner)
        python = request.python if marked or libraries else ""
        key = ("needs", id(build), request.platform, python, self._backends_of(owner), libraries)
        return self._known.once(key, lambda: tuple(self._collect_dependencies(owner, build)))

    def _collect_dependencies(self, owner: str, build: Build) -> Iterator[Dependency]:
        rows = [(text, build.provenance.source) for text in build.requires]
        rows += build.adds.items()
        for text, source in rows:
            requirement = parse_requirement(text)
            if self._applies(requirement):
                for one in (text, *self.matrix.expand(text)):
                    yield from self._dependency(owner, one, source)
        for backend in self._backends_of(owner):
            row = self.matrix.backends[backend]
            for text in (*([f"{self.keras}{row.keras}"] if row.keras else []), *row.needs):
                yield from self._dependency(owner, text, row.provenance.source)

        for library in self._libraries_of(owner):
            for text in library.needs:
                if self._applies(parse_requirement(text)):
                    for need in self._dependency(owner, text, library.provenance.source):
                        yield need._replace(bound=need.bound._replace(library=library.name))

    def _applies(self, requirement: Requirement) -> bool:
        return requirement.marker is None or requirement.marker.evaluate(self._markers)

    def _libraries_of(self, package: str) -> tuple[ModelLibrary, ...]:
        """The libraries of models in the request, if this package is Keras, on which they depend; else ()."""
        return self.libraries if package == self.keras else ()

    def _backends_of(self, framework: str) -> tuple[str, ...]:
        """The backends of the request that a framework implements."""
        rows = self.matrix.backends
        return tuple(backend for backend in self.request.backends if rows[backend].framework == framework)

    def _dependency(self, owner: str, text: str, source: str) -> Iterator[Dependency]:
        requirement = parse_requirement(text)
        variable = self._variable(requirement.name)
        if variable is not None:
            mask, spelled = self._known.once(
                text, lambda: (mask_of(requirement.specifier, variable.versions), spell(requirement.specifier))
            )
            yield Dependency(
                Term(owner, TermKind.DEPENDENCY, requirement.name), requirement.name, mask, Bound(spelled), source
            )

    # -- libraries -------------------------------------------------------------------------------------------------

    def _variable(self, package: str) -> Variable | None:
        if package in self.variables:
            return self.variables[package]
        if package in self.matrix.framework_names:
            releases = self.matrix.framework(package).releases
            if package in self.frameworks or package == self.keras:
                # its FrameworkVariable is made later, with the same versions and therefore the same bits
                return Variable(name=package, versions=self._versions(package, releases), base=-1)
            return self._imported_framework(package, releases)
        library = self.matrix.library(package)
        if library is None:
            return None
        installable = self._known.once(
            ("installable", package, self.request.platform, self.request.python),
            lambda: mask_where(library.releases, self._is_installable),
        )
        fitting = self._known.once(
            ("of-accelerator", package, self.request.accelerator),
            lambda: mask_where(library.releases, lambda release: self._fits_accelerator(package, release.version)),
        )
        versions = self._versions(package, library.releases)
        variable = Variable(name=package, versions=versions, base=installable & fitting)
        self.variables[package] = variable
        self._apply_requirements(variable)
        self._apply_cutoff(variable, library.releases)
        self._apply_library_glibc(variable, library.releases)
        if library.role == CUDNN:
            self._apply_cudnn(variable)
        return variable

    def _imported_framework(self, package: str, releases: Sequence[Release]) -> Variable:
        """A framework that implements no backend of this request but that others depend on, such as NumPy.

        If it can compute on accelerators, the dependencies of its builds count as well.
        """
        target = (package, self.request.platform, self.request.python)
        builds, buildable = self._known.once(("imported-builds", *target), lambda: self._imported_builds(releases))
        base = buildable & self._sound(package, releases)
        versions = self._versions(package, releases)
        if package in self.matrix.accelerated_frameworks:
            needs, needed = self._known.once(
                ("imported-dependencies", *target, base), lambda: self._all_dependencies(package, builds, base)
            )
            variable: Variable = FrameworkVariable(
                name=package, versions=versions, base=base, releases=releases, builds=builds, dependencies=needs
            )
            for name in needed:
                self._variable(name)
        else:
            variable = Variable(name=package, versions=versions, base=base)
        self.variables[package] = variable
        self._apply_requirements(variable)
        self._apply_cutoff(variable, releases)
        terms = (Term(REQUEST, TermKind.GLIBC), Term(package, TermKind.GLIBC))
        fits = self._known.once(
            ("imported-glibc", *target, self.request.glibc),
            lambda: mask_where(
                builds, lambda build: build is not None and self._glibc_fits(build.platforms[self.platform.name])
            ),
        )
        variable.filters.append(Filter(terms, fits))
        return variable

    def _imported_builds(self, releases: Sequence[Release]) -> tuple[Sequence[Build | None], int]:
        """The build of each release for a dependent, which requests no accelerator."""
        builds = [self.imported_build(release) for release in releases]
        return builds, mask_where(builds, lambda build: build is not None)

    def _versions(self, package: str, releases: Sequence[Release] | Sequence[LibraryRelease]) -> Sequence[Version]:
        return self._known.once(("versions", package), lambda: [release.version for release in releases])

    def imported_build(self, release: Release) -> Build | None:
        """The build of a release for a dependent, which requests no accelerator; None if there is none."""
        return imported_build(release, self.target)

    def _is_installable(self, release: LibraryRelease) -> bool:
        if self.request.platform not in release.platforms or release.version.is_prerelease:
            return False
        return not release.pythons or self.request.python in release.pythons

    def _fits_accelerator(self, package: str, version: Version) -> bool:
        """Whether a version of a library can be used with the accelerator of the request."""
        accelerator = self.request.accelerator
        if accelerator == CPU:
            return True
        own = self.matrix.accelerator_of(package, version)
        if own is not None and own != accelerator.whole:
            return False
        bound = self.matrix.minor_bound(package, accelerator)
        return bound is None or version < bound

    def _apply_library_glibc(self, variable: Variable, releases: Sequence[LibraryRelease]) -> None:
        terms = (Term(REQUEST, TermKind.GLIBC), Term(variable.name, TermKind.GLIBC))
        fits = self._known.once(
            ("glibc", variable.name, self.request.platform, self.request.glibc),
            lambda: mask_where(releases, lambda release: self._glibc_fits(release.platforms.get(self.platform.name))),
        )
        variable.filters.append(Filter(terms, fits))

    def _apply_cudnn(self, variable: Variable) -> None:
        rows = [row for row in self.matrix.cudnn if row.accelerator == self.request.accelerator.whole]
        platform = self.request.platform

        def covered(by: Sequence[CudnnSupport]) -> int:
            return mask_where(variable.versions, lambda version: any(version in row.cudnn for row in by))

        for machine in self.request.machines:
            driver = machine.driver
            reached = rows if driver is None else [row for row in rows if driver.reaches(row.driver_on(platform))]
            asked = Term(REQUEST, TermKind.DRIVER, machine=machine.name)
            if driver is not None:
                variable.filters.append(Filter((asked, Term(variable.name, TermKind.DRIVER)), covered(reached)))
            for gpu in machine.gpus:
                terms = (Term(REQUEST, TermKind.GPU, gpu, machine.name), Term(variable.name, TermKind.GPU, gpu))
                variable.filters.append(Filter(terms, covered([row for row in rows if gpu in row.gpus])))
                if driver is not None:
                    with_driver = covered([row for row in reached if gpu in row.gpus])
                    variable.filters.append(Filter((*terms, asked), with_driver))
