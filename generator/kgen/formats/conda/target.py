"""What a request is for conda: match specs, and the virtual packages of the machine that is locked for.

Never those of the machine that locks. Knows no solver.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from packaging.version import Version

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
    RequestField,
    Source,
    Stated,
)
from kgen.model.ranges import Comparison, VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement, parse_requirement
from kgen.model.resolution import Conflict

_ANY = Version("999")


class MatchSpec(NamedTuple):
    """A match spec, and where it comes from.

    Attributes:
        spec: as conda writes it: `jaxlib * cuda12*`.
        source: the field of the request that it is from, or the row of the matrix.
        asked: whether a person asked for it; else it is a fact.
    """

    spec: str
    source: Source
    asked: bool


class Target(NamedTuple):
    """A request as conda sees it.

    Attributes:
        request: the request.
        channels: the channels, the first having the say.
        specs: what must be in the environment.
        preferences: what is given up where it leaves no solution: a CUDA that the driver knows by itself.
        virtuals: what the machine is assumed to have.
        carriers: package -> the pattern that its build must have, for those that say what they are built for.
        cutoff: the day after which nothing is used.
        locked: packages of an older lock that stay where they can, as only others are to be upgraded.
    """

    request: EnvironmentRequest
    channels: tuple[str, ...]
    specs: tuple[MatchSpec, ...]
    preferences: tuple[MatchSpec, ...]
    virtuals: tuple[tuple[str, str], ...]
    carriers: tuple[tuple[str, str], ...]
    cutoff: datetime.date | None
    locked: tuple[CondaRecord, ...] = ()

    def query(self, *, preferring: bool = False) -> Query:
        """What is asked of the solver."""
        specs = (*self.specs, *(self.preferences if preferring else ()))
        return Query(
            platform=self.request.platform,
            channels=self.channels,
            specs=tuple(dict.fromkeys(wish.spec for wish in specs)),
            virtuals=self.virtuals,
            cutoff=self.cutoff,
            locked=self.locked,
        )


def target(matrix: CompatibilityMatrix, request: EnvironmentRequest, channels: Sequence[str]) -> Target:
    """The request as conda sees it, everything from its channels."""
    conda = matrix.conda
    preferences = tuple(_driver_preferences(matrix, request))
    return Target(
        request=request,
        channels=tuple(channels),
        specs=tuple(_wishes(matrix, request)),
        preferences=preferences,
        virtuals=tuple(sorted(_virtuals(matrix, request).items())),
        carriers=tuple(
            (carrier, _pattern(conda, request))
            for name in _own(matrix, request)
            if (carrier := conda.frameworks[name].carrier) is not None
        ),
        cutoff=request.cutoff,
    )


def base(matrix: CompatibilityMatrix, request: EnvironmentRequest, channels: Sequence[str]) -> Target:
    """Python and pip alone from conda's channels; what is in it besides are wheels."""
    specs = (_python(request), MatchSpec("pip", Origin.CONDA_BASE, asked=False))
    return target(matrix, request, channels)._replace(specs=specs, preferences=(), carriers=())


# -- specs -------------------------------------------------------------------------------------------------------------


def _frameworks(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> tuple[str, ...]:
    """The frameworks of the backends, and those that they need beside them."""
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
    for place, requirements in (
        (RequestField.REQUIREMENT, request.requirements),
        (RequestField.DEPENDENCY, request.dependencies),
    ):
        for requirement in requirements:
            yield from _user_wish(matrix, request, requirement, place)
    accelerator = request.accelerator
    if accelerator.kind == matrix.conda.kind:
        version = matrix.conda.version
        yield MatchSpec(f"{version} {accelerator.major}.*", RequestField.ACCELERATOR, asked=True)
        if accelerator.minor is not None:
            # `<=12.6` would leave out 12.6.1, which is no newer minor
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
            # who only needs a framework beside its own takes any build of it
            pattern = _pattern(conda, request) if name in own and package == framework.carrier else None
            spec = _spec(package, framework.range, build=pattern)
            yield MatchSpec(spec, framework.provenance.source, asked=False)
    for backend in backends:
        for need in map(parse_requirement, backend.needs):
            if need.name not in conda.frameworks:
                yield MatchSpec(_spec(_name(conda, need.name), need.specifier), backend.provenance.source, asked=False)


def _python(request: EnvironmentRequest) -> MatchSpec:
    return MatchSpec(f"python {request.python}.*", RequestField.PYTHON, asked=not request.python_open)


def _user_wish(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, requirement: Requirement, place: RequestField
) -> Iterator[MatchSpec]:
    markers = {**matrix.platforms[request.platform].markers, "python_version": request.python}
    markers["python_full_version"] = f"{request.python}.0"
    if requirement.marker is not None and not requirement.marker.evaluate(markers):
        return
    name = requirement.name
    library = matrix.library(name)
    if library is not None and matrix.accelerator_of(name, _ANY) is not None:
        return  # NVIDIA's wheels have no package of this name; conda's builds bring their own
    yield MatchSpec(_spec(_name(matrix.conda, name), requirement.specifier), place, asked=True)


def _name(conda: Conda, name: str) -> str:
    framework = conda.frameworks.get(name)
    return conda.names.get(name) or (framework.packages[0] if framework else name)


def _spec(package: str, specifiers: VersionRange, *, build: str | None = None) -> str:
    version = version_spec(specifiers)
    if build is not None:
        return f"{package} {version or '*'} {build}"
    return f"{package} {version}".strip()


def version_spec(specifiers: VersionRange) -> str:
    """A range of versions as conda writes it; empty for any."""
    return ",".join(sorted({*map(_specifier, specifiers)}))


def _specifier(specifier: Comparison) -> str:
    version = specifier.version.partition("+")[0]  # conda's builds have no local label
    operator = "==" if specifier.operator == "===" else specifier.operator
    return version if operator == "==" and version.endswith(".*") else f"{operator}{version}"


def _pattern(conda: Conda, request: EnvironmentRequest) -> str:
    """How the build of a carrier begins; also where no such build is known, so that none for the CPU is taken."""
    accelerator = request.accelerator
    return conda.cpu_build if accelerator == CPU else conda.build.format(major=accelerator.major)


# -- the machine -------------------------------------------------------------------------------------------------------


def _virtuals(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> dict[str, str]:
    conda = matrix.conda
    found = dict(conda.virtuals.get(request.platform, {}))
    glibc = request.glibc or matrix.platforms[request.platform].glibc
    if glibc is not None:
        found["__glibc"] = str(glibc)
    accelerator = request.accelerator
    if accelerator.kind == conda.kind:
        found[conda.virtual] = driver_runs(matrix, request) or f"{accelerator.major}.{accelerator.minor or 0}"
        if request.every_gpu:
            found[conda.architecture] = min(request.every_gpu, key=Version)
    return found


def driver_runs(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> str | None:
    """The newest toolkit that the named driver runs, as `12.4`; None if none was named, or it is older than any."""
    driver = request.oldest_driver
    if driver is None:
        return None
    known = [
        row
        for row in matrix.toolkits_of(request.accelerator.kind)
        if row.driver is not None and driver.reaches(row.driver)
    ]
    if not known:
        return None
    newest = known[-1].version
    return f"{newest.major}.{newest.minor}"


def _driver_preferences(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Iterator[MatchSpec]:
    """A runtime that is no newer than the driver, where that can be had.

    Minor-version compatibility runs a newer one too, but not what has to be compiled at run time.
    """
    known = driver_runs(matrix, request)
    if known is None:
        return
    major, minor = map(int, known.split("."))
    if major == request.accelerator.major:
        yield MatchSpec(f"{matrix.conda.version} <{major}.{minor + 1}a0", RequestField.DRIVER, asked=True)


# -- what no solver needs to be asked ----------------------------------------------------------------------------------


def refusal(matrix: CompatibilityMatrix, request: EnvironmentRequest, channels: Sequence[str]) -> Conflict | None:
    """Why the channel that the matrix speaks of cannot serve this; None if it may, or other channels are asked."""
    conda = matrix.conda
    # of another kind of accelerator no build can be told from others, whatever the channel
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
