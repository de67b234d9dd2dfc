"""A request in conda's terms: match specs, and the virtual packages of the target machine.

Never uses the virtual packages of the machine that locks. Does not solve.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from packaging.version import Version

from kgen.explain.reasons import warning_text
from kgen.formats.conda.names import Names
from kgen.formats.conda.rattlertool import CondaRecord, Query
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.records import Conda
from kgen.model.accelerator import CPU
from kgen.model.causes import (
    BuildPurpose,
    BuiltFor,
    Cause,
    Origin,
    OtherPlatform,
    Pythons,
    Refusal,
    RefusalKind,
    Source,
    Stated,
    Warning,  # noqa: A004 - as it is declared
    WarningKind,
)
from kgen.model.ranges import Comparison, VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.requirement import Requirement, canonical_name, parse_requirement
from kgen.model.resolution import Conflict

_ANY = Version("999")

_ABI = "python_abi * *_cp{minor}"
"""Requires that extension modules are those of the usual CPython. For the same minor there may also be a free-threaded
one, and PyPy, with other modules, which nobody can request. Only packages built for one of them bring this package
in."""


class MatchSpec(NamedTuple):
    """A match spec and its source.

    Attributes:
        spec: the match spec, in conda's syntax: `jaxlib * cuda12*`.
        source: the field of the request, or the row of the matrix.
        asked: whether a user requested it; otherwise it is a fact.
        project: the project of the Python index that it stands for, whose package must be a Python package; empty for
            none.
    """

    spec: str
    source: Source
    asked: bool
    project: str = ""

    @property
    def package(self) -> str:
        """The package that it names."""
        return self.spec.partition(" ")[0]

    @property
    def renamed(self) -> str:
        """The project that it stands for, if conda's name differs by more than spelling; else empty."""
        return "" if canonical_name(self.package) == canonical_name(self.project) else self.project


class Target(NamedTuple):
    """A request in conda's terms.

    Attributes:
        request: the request.
        channels: the channels, in order of strict priority.
        specs: what must be in the environment.
        preferences: what may be dropped if there is no solution: a CUDA version that the driver supports itself.
        virtuals: the virtual packages that kgen assumes for the machine.
        carriers: package -> the required pattern of its build string, for packages whose build tells what they are for.
        cutoff: the last day whose publications may be used.
        names: the conda names of projects of the Python index.
        constraints: specs for packages if they are installed; they install nothing.
        remarks: what of the request conda cannot express, a sentence each.
        locked: packages of an older lock to keep if possible, because only others are upgraded.
        undated: whether to use packages without a publication date in spite of `cutoff`.
    """

    request: EnvironmentRequest
    channels: tuple[str, ...]
    specs: tuple[MatchSpec, ...]
    preferences: tuple[MatchSpec, ...]
    virtuals: tuple[tuple[str, str], ...]
    carriers: tuple[tuple[str, str], ...]
    cutoff: datetime.date | None
    names: Names
    constraints: tuple[MatchSpec, ...] = ()
    remarks: tuple[str, ...] = ()
    locked: tuple[CondaRecord, ...] = ()
    undated: bool = False

    def query(self, *, preferring: bool = False) -> Query:
        """The query for the solver."""
        specs = (*self.specs, *(self.preferences if preferring else ()))
        return Query(
            platform=self.request.platform,
            channels=self.channels,
            specs=tuple(dict.fromkeys(wish.spec for wish in specs)),
            virtuals=self.virtuals,
            cutoff=self.cutoff,
            locked=self.locked,
            constraints=tuple(dict.fromkeys(one.spec for one in self.constraints)),
            undated=self.undated,
        )


def target(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, channels: Sequence[str], names: Names | None = None
) -> Target:
    """The request in conda's terms, with everything from its channels.

    Args:
        matrix: the facts.
        request: the request.
        channels: the channels, in order of strict priority.
        names: the conda names of projects; None for those in the matrix.
    """
    conda = matrix.conda
    names = names or Names.of(matrix)
    preferences = tuple(_driver_preferences(matrix, request))
    asked = [_UserWish(matrix, request, names, *one) for one in _user_requirements(request)]
    constraints = [_UserWish(matrix, request, names, RequestField.CONSTRAINT, one) for one in request.constraints]
    return Target(
        request=request,
        channels=tuple(channels),
        specs=(*_wishes(matrix, request), *(spec for one in asked for spec in one.specs())),
        preferences=preferences,
        virtuals=tuple(sorted(_virtuals(matrix, request).items())),
        carriers=tuple(
            (carrier, _pattern(conda, request))
            for name in _own(matrix, request)
            if (carrier := conda.frameworks[name].carrier) is not None
        ),
        cutoff=request.cutoff,
        names=names,
        constraints=(_abi(request), *(spec for one in constraints for spec in one.constraint())),
        remarks=tuple(dict.fromkeys(text for one in (*asked, *constraints) for text in one.remarks())),
    )


def base(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, channels: Sequence[str], names: Names | None = None
) -> Target:
    """Only Python and pip from conda's channels; everything else in the environment is wheels."""
    specs = (_python(request), MatchSpec("pip", Origin.CONDA_BASE, asked=False))
    whole = target(matrix, request, channels, names)
    return whole._replace(specs=specs, preferences=(), carriers=(), constraints=(_abi(request),), remarks=())


# -- specs -------------------------------------------------------------------------------------------------------------


def _frameworks(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> tuple[str, ...]:
    """The frameworks of the backends, and those that they need besides."""
    backends = [matrix.backends[name] for name in request.backends]
    needed = [parse_requirement(need).name for backend in backends for need in backend.needs]
    own = [backend.framework for backend in backends]
    return tuple(dict.fromkeys([*own, *(name for name in needed if name in matrix.conda.frameworks)]))


def _wishes(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Iterator[MatchSpec]:
    yield _python(request)
    yield from _framework_wishes(matrix, request)
    if request.keras:
        yield MatchSpec(
            _spec(matrix.conda.frameworks[KERAS].packages[0], request.keras), RequestField.KERAS, asked=True
        )
    accelerator = request.accelerator
    if accelerator.kind == matrix.conda.kind:
        version = matrix.conda.version
        yield MatchSpec(f"{version} {accelerator.major}.*", RequestField.ACCELERATOR, asked=True)
        if accelerator.minor is not None:
            # `<=12.6` would exclude 12.6.1, which is not a newer minor
            yield MatchSpec(
                f"{version} <{accelerator.major}.{accelerator.minor + 1}a0", RequestField.ACCELERATOR, asked=True
            )


def _framework_wishes(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Iterator[MatchSpec]:
    conda = matrix.conda
    backends = [matrix.backends[name] for name in request.backends]
    keras = conda.frameworks[KERAS]
    for backend in backends:
        yield MatchSpec(_spec(keras.packages[0], keras.range & backend.keras), keras.provenance.source, asked=False)
    own = {backend.framework for backend in backends}
    for name in _frameworks(matrix, request):
        framework = conda.frameworks[name]
        for package in framework.packages:
            # a framework that is only needed besides the backend's own may have any build
            pattern = _pattern(conda, request) if name in own and package == framework.carrier else None
            spec = _spec(package, framework.range, build=pattern)
            yield MatchSpec(spec, framework.provenance.source, asked=False)
    for backend in backends:
        for need in map(parse_requirement, backend.needs):
            if need.name not in conda.frameworks:
                yield MatchSpec(_spec(_name(conda, need.name), need.specifier), backend.provenance.source, asked=False)


def _python(request: EnvironmentRequest) -> MatchSpec:
    return MatchSpec(f"python {request.python}.*", RequestField.PYTHON, asked=not request.python_open)


def _abi(request: EnvironmentRequest) -> MatchSpec:
    minor = request.python.replace(".", "")
    return MatchSpec(_ABI.format(minor=minor), RequestField.PYTHON, asked=False)


def _user_requirements(request: EnvironmentRequest) -> Iterator[tuple[RequestField, Requirement]]:
    for place, requirements in (
        (RequestField.REQUIREMENT, request.requirements),
        (RequestField.DEPENDENCY, request.dependencies),
    ):
        for requirement in requirements:
            yield place, requirement


class _UserWish(NamedTuple):
    """A requirement on a project of the Python index that conda has to satisfy."""

    matrix: CompatibilityMatrix
    request: EnvironmentRequest
    names: Names
    place: RequestField
    requirement: Requirement

    def specs(self) -> Iterator[MatchSpec]:
        """The match specs for it: for its package, and for the packages of its extras."""
        if not self._holds or self._is_accelerators:
            return
        requirement = self.requirement
        package = self.names.package(requirement.name)
        yield MatchSpec(_spec(package, requirement.specifier), self.place, asked=True, project=requirement.name)
        for extra in sorted(requirement.extras):
            found = self._package_of_extra(extra)
            if found is not None:
                yield MatchSpec(_spec(found, requirement.specifier), self.place, asked=True)

    def constraint(self) -> Iterator[MatchSpec]:
        """Its match spec as a constraint; none for a package that no channel has, because it cannot be installed."""
        requirement = self.requirement
        package = self.names.package(requirement.name)
        known = self.names.there is None or self.names.has(package)
        if self._holds and not self._is_accelerators and requirement.specifier and known:
            yield MatchSpec(_spec(package, requirement.specifier), self.place, asked=True)

    def remarks(self) -> Iterator[str]:
        """What of it conda cannot express."""
        requirement = self.requirement
        if not self._holds:
            return
        if self._is_accelerators:
            yield (
                f"`{requirement}` is left out: it asks for a wheel of the accelerator's own libraries,"
                " and conda's builds bring theirs"
            )
            return
        # the requested build includes what the extra of a framework's wheel installs
        brought = self.matrix.extras_for_accelerators(requirement)
        for extra, accelerator in sorted(brought.items()):
            if accelerator != self.request.accelerator.whole:
                yield warning_text(
                    Warning(WarningKind.EXTRA_LEFT_OUT, requirement.head, text=extra, accelerator=accelerator)
                )
        others = requirement.extras - brought.keys()
        lost = [extra for extra in sorted(others) if self._package_of_extra(extra) is None]
        if lost and self.place is not RequestField.CONSTRAINT:
            package = self.names.package(requirement.name)
            yield (
                f"conda has no extras, and no package for {', '.join(f'`{requirement.name}[{one}]`' for one in lost)}:"
                f" {package} comes without what that needs; name it in `dependencies`"
            )
        labels = sorted({one.version for one in requirement.specifier if "+" in one.version})
        if labels:
            yield f"`{requirement}`: conda's builds have no local label, {', '.join(labels)} is taken without it"

    @property
    def _holds(self) -> bool:
        marker = self.requirement.marker
        platform = self.matrix.platforms[self.request.platform]
        return marker is None or marker.evaluate(platform.marker_environment(self.request.python))

    @property
    def _is_accelerators(self) -> bool:
        # no conda package has the name of one of NVIDIA's wheels
        name = self.requirement.name
        return self.matrix.library(name) is not None and self.matrix.accelerator_of(name, _ANY) is not None

    def _package_of_extra(self, extra: str) -> str | None:
        """The package for a project with an extra, such as `ray-default`; None if the channels have none."""
        project = self.requirement.name
        forms = (f"{self.names.package(project)}-{extra}", f"{project}-{extra}")
        return next((name for name in forms if self.names.has(name)), None)


def _name(conda: Conda, name: str) -> str:
    framework = conda.frameworks.get(name)
    return conda.names.get(name) or (framework.packages[0] if framework else name)


def _spec(package: str, specifiers: VersionRange, *, build: str | None = None) -> str:
    version = version_spec(specifiers)
    if build is not None:
        return f"{package} {version or '*'} {build}"
    return f"{package} {version}".strip()


def version_spec(specifiers: VersionRange) -> str:
    """A version range in conda's syntax; empty for any version."""
    return ",".join(sorted({*map(_specifier, specifiers)}))


def _specifier(specifier: Comparison) -> str:
    version = specifier.version.partition("+")[0]  # conda's builds have no local label
    operator = "==" if specifier.operator == "===" else specifier.operator
    return version if operator == "==" and version.endswith(".*") else f"{operator}{version}"


def _pattern(conda: Conda, request: EnvironmentRequest) -> str:
    """The pattern of a carrier's build string; also if no such build is known, so that a CPU build is never taken."""
    accelerator = request.accelerator
    return conda.cpu_build if accelerator == CPU else conda.build.format(major=accelerator.major)


# -- the machine -------------------------------------------------------------------------------------------------------


def _virtuals(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> dict[str, str]:
    conda = matrix.conda
    found = dict(conda.virtuals.get(request.platform, {}))
    floor = matrix.platforms[request.platform].glibc
    if floor is not None:
        found["__glibc"] = str(request.glibc or floor)
    accelerator = request.accelerator
    if accelerator.kind == conda.kind:
        found[conda.virtual] = driver_runs(matrix, request) or f"{accelerator.major}.{accelerator.minor or 0}"
        if request.every_gpu:
            found[conda.architecture] = min(request.every_gpu, key=Version)
    return found


def driver_runs(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> str | None:
    """The newest toolkit that the requested driver runs, such as `12.4`; None without a driver, or if it runs none."""
    driver = request.oldest_driver
    if driver is None:
        return None
    known = [
        row
        for row in matrix.toolkits_of(request.accelerator.kind)
        if (came := row.driver_on(request.platform)) is not None and driver.reaches(came)
    ]
    if not known:
        return None
    newest = known[-1].version
    return f"{newest.major}.{newest.minor}"


def _driver_preferences(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Iterator[MatchSpec]:
    """A runtime that is no newer than the driver, if there is one.

    With minor-version compatibility a newer one runs as well, but not what has to be compiled at run time.
    """
    known = driver_runs(matrix, request)
    if known is None:
        return
    major, minor = map(int, known.split("."))
    if major == request.accelerator.major:
        yield MatchSpec(f"{matrix.conda.version} <{major}.{minor + 1}a0", RequestField.DRIVER, asked=True)


# -- what no solver needs to be asked ----------------------------------------------------------------------------------


def refusal(matrix: CompatibilityMatrix, request: EnvironmentRequest, channels: Sequence[str]) -> Conflict | None:
    """Why the channel in the matrix cannot satisfy this; None if it may, or if other channels are requested."""
    conda = matrix.conda
    # for other kinds of accelerator kgen cannot recognise builds, whatever the channel
    known = request.accelerator.kind in {CPU.kind, conda.kind}
    if tuple(channels) != (conda.channel,) and known:
        return None
    causes = [cause for name in _own(matrix, request) for cause in _lacking(matrix, request, name)]
    if not causes:
        return None
    return Conflict(
        request=request,
        refusals=(Refusal(RefusalKind.CHANNEL_LACKS_BUILD, _titles(matrix, causes), conda.channel),),
        causes=tuple(causes),
        suggestions=(),
    )


def _own(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> tuple[str, ...]:
    return tuple(dict.fromkeys(matrix.backends[name].framework for name in request.backends))


def _titles(matrix: CompatibilityMatrix, causes: Sequence[Cause]) -> tuple[str, ...]:
    names = [matrix.framework(cause.subject).title for cause in causes]
    return tuple(dict.fromkeys(names))


def _lacking(matrix: CompatibilityMatrix, request: EnvironmentRequest, name: str) -> Iterator[Cause]:
    framework = matrix.conda.frameworks[name]
    builds = framework.builds
    here = [build for build in builds if request.platform in build.platforms]
    if not here:
        known = tuple(dict.fromkeys(platform for build in builds for platform in build.platforms))
        fact = OtherPlatform(request.platform, known)
        yield Cause(name, (Stated(fact),), builds[0].provenance.source)
        return
    accelerator = request.accelerator.whole
    if framework.carrier is not None:
        kinds = [build for build in here if build.accelerator == accelerator]
        if not kinds:
            newest_first = sorted(here, key=lambda build: build.accelerator.version, reverse=True)
            purposes = [BuildPurpose(build.accelerator) for build in newest_first]
            built = BuiltFor(tuple(purposes), request.platform)
            yield Cause(name, (Stated(built),), newest_first[0].provenance.source)
            return
        here = kinds
    pythons = [python for build in here for python in build.pythons]
    if pythons and request.python not in pythons:
        yield Cause(name, (Stated(Pythons(pythons[0], pythons[-1])),), here[0].provenance.source)
