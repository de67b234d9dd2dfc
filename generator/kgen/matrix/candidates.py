"""Finds the build of a release that works for a target, or the reason why none does: one answer for every caller.

The solver, `kgen check`, the doctor, `explain`, `init`, the plot and the report all use this module, so that they never
disagree. Every answer is a fact of the matrix; nothing is searched or solved.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from packaging.version import Version

from kgen import accelerators
from kgen.accelerators import Fit
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, ForwardPackage, Framework, Release
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.architecture import Architectures
from kgen.model.driver import DriverVersion
from kgen.model.lockfile import Lockfile
from kgen.model.request import EnvironmentRequest, TargetMachine


class BuildTarget(NamedTuple):
    """What a build has to run on.

    Attributes:
        accelerator: the accelerator, optionally with the newest minor version allowed.
        platform: the platform, as a conda subdir.
        python: the CPython minor; None for any.
        own_index: whether builds that only the framework's own index has are allowed.
        label: the local version label that the build must have, as in `2.10.0+cu126`; None for any.
        gpus: the architectures to support, if the release has a build that supports them.
    """

    accelerator: Accelerator
    platform: str
    python: str | None = None
    own_index: bool = False
    label: str | None = None
    gpus: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: EnvironmentRequest) -> BuildTarget:
        """The target of a request."""
        return cls(
            request.accelerator, request.platform, request.python, request.own_index, gpus=tuple(request.every_gpu)
        )


class Obstacle(enum.Enum):
    """Why a build does not work for a target, the most fundamental reason first."""

    PLATFORM = "platform"
    ACCELERATOR = "accelerator"
    MINOR = "accelerator's minor version"
    OWN_INDEX = "only in the framework's own index"
    KNOWN_BAD = "known to be bad"
    DOUBTFUL = "a release that is yanked, known to be bad, or early"
    PYTHON = "python"


_RANKS = {obstacle: rank for rank, obstacle in enumerate(Obstacle)}


class Candidate(NamedTuple):
    """The build of a release for a target.

    Attributes:
        build: the build; if `obstacle` is set, the build that comes closest; None if the release has no build at all.
        obstacle: why it does not work for the target; None if it does.
    """

    build: Build | None
    obstacle: Obstacle | None


def obstacle(
    matrix: CompatibilityMatrix, framework: str, build: Build, target: BuildTarget, *, pinned: bool = False
) -> Obstacle | None:
    """Why a build does not work for a target, apart from its Python; None if only the Python can exclude it.

    Args:
        matrix: the facts.
        framework: the framework of the build.
        build: the build.
        target: what it has to run on.
        pinned: whether the request pins exactly this release, which allows a build that is known to be bad.
    """
    if target.platform not in build.platforms:
        return Obstacle.PLATFORM
    mismatch = _accelerator_obstacle(matrix, framework, build, target.accelerator)
    if mismatch is not None:
        return mismatch
    if build.accelerated and build.local is not None and not target.own_index:
        return Obstacle.OWN_INDEX
    if build.known_bad is not None and not pinned:
        return Obstacle.KNOWN_BAD
    return None


def _accelerator_obstacle(
    matrix: CompatibilityMatrix, framework: str, build: Build, accelerator: Accelerator
) -> Obstacle | None:
    if not build.accelerated:
        # a CPU build is no answer for a framework that could use the accelerator
        unanswered = accelerator != CPU and framework in matrix.accelerated_frameworks
        return Obstacle.ACCELERATOR if unanswered else None
    (kind, version), (own_kind, own) = accelerator, build.accelerator
    if own_kind != kind or own[:1] != version[:1]:
        return Obstacle.ACCELERATOR
    too_new = accelerator.minor is not None and (build.accelerator.minor or 0) > accelerator.minor
    return Obstacle.MINOR if too_new else None


def build_for(
    matrix: CompatibilityMatrix, framework: str, release: Release, target: BuildTarget, *, pinned: bool = False
) -> Build | None:
    """The build of a release for a target, preferably one for its Python; None if there is none.

    Of several builds it takes the one with the requested label, else the one for the newest toolkit, preferring those
    that support the target's GPUs.
    """
    serving = [build for build in release.builds if obstacle(matrix, framework, build, target, pinned=pinned) is None]
    if target.label is not None:
        serving = [build for build in serving if build.local == target.label] or serving
    if target.gpus and len(serving) > 1:
        all_of_them = [
            build
            for build in serving
            if not build.accelerated or all(serves(build, gpu, None, matrix, target.platform) for gpu in target.gpus)
        ]
        serving = all_of_them or serving
    found = [build for build in serving if target.python is None or target.python in build.pythons] or serving
    return max(found, key=newness) if len(found) > 1 else next(iter(found), None)


def is_doubtful(release: Release) -> bool:
    """Whether to avoid a release that is not pinned: it was yanked, is known to be bad, or is a pre-release."""
    return bool(release.yanked or release.known_bad or release.version.is_prerelease)


def candidate(
    matrix: CompatibilityMatrix, framework: str, release: Release, target: BuildTarget, *, pinned: bool = False
) -> Candidate:
    """The build of a release for a target; or the build that comes closest, and its obstacle.

    Args:
        matrix: the facts.
        framework: the framework of the release.
        release: the release.
        target: what the build has to run on.
        pinned: whether the request pins exactly this release, which overrides every doubt about it.
    """
    build = build_for(matrix, framework, release, target, pinned=pinned)
    if build is not None and not pinned and is_doubtful(release):
        return Candidate(build, Obstacle.DOUBTFUL)
    if build is not None:
        fits = target.python is None or target.python in build.pythons
        return Candidate(build, None if fits else Obstacle.PYTHON)
    found = [
        (_RANKS[why], newness(build), build, why)
        for build in release.builds
        if (why := obstacle(matrix, framework, build, target, pinned=pinned)) is not None
    ]
    if not found:
        return Candidate(None, Obstacle.PLATFORM)
    _, _, build, why = max(found, key=lambda row: row[:2])
    return Candidate(build, why)


def plugin_of_other(
    matrix: CompatibilityMatrix, name: str, frameworks: Collection[str], wanted: Accelerator
) -> Accelerator | None:
    """The accelerator that a plugin is for, if it is not the wanted one; None for any other package.

    Args:
        matrix: the facts.
        name: the package.
        frameworks: the frameworks in the environment; only those that load such plugins count.
        wanted: the accelerator of the environment.
    """
    for framework in matrix.accelerated_frameworks:
        if framework not in frameworks or name == framework:
            continue
        majors = matrix.plugins_of(framework).get(name)
        if majors is not None and wanted.whole not in majors:
            return max(majors)
    return None


def imported_build(release: Release, target: BuildTarget) -> Build | None:
    """The build of a release for a dependent that only imports it and therefore requests no accelerator."""
    fitting = (
        build
        for build in release.builds
        if target.platform in build.platforms and (target.python is None or target.python in build.pythons)
    )
    return min(fitting, key=newness, default=None)


def locked_build(matrix: CompatibilityMatrix, framework: str, version: Version, target: BuildTarget) -> Build | None:
    """The build that a lock contains, by the label of its version: `2.6.0+cu126` is another build than `2.6.0`.

    Args:
        matrix: the facts.
        framework: the framework or Keras.
        version: the locked version, with its local label.
        target: the target of the lock; `own_index` does not matter, because the build is locked already.
    """
    release = matrix.release(framework, Version(version.public))
    if release is None:
        return None
    here = target._replace(own_index=True)
    serving = [
        build
        for build in release.builds
        if obstacle(matrix, framework, build, here, pinned=True) is None
        and (target.python is None or target.python in build.pythons)
    ]
    labelled = [build for build in serving if build.local == version.local]
    # a label without a row in the matrix comes from another index, whose builds the matrix has no facts about
    return max(labelled or [build for build in serving if build.local is None], key=newness, default=None)


def builds_on(platform: str, release: Release) -> list[Build]:
    """The builds of a release on a platform, newest toolkit first; CPU builds only if there are no others."""
    builds = [build for build in release.builds if platform in build.platforms]
    accelerated = [build for build in builds if build.accelerated and build.local is None]
    return sorted(accelerated, key=newness, reverse=True) or builds


def releases_with_builds(
    matrix: CompatibilityMatrix, framework: Framework, target: BuildTarget
) -> Iterator[tuple[Release, Build]]:
    """The releases that are not doubtful and have a build for a target, newest first."""
    for release in reversed(framework.releases):
        build, why = candidate(matrix, framework.name, release, target)
        if build is not None and why is None:
            yield release, build


# -- what a build runs on ----------------------------------------------------------------------------------------------


def serves(build: Build, gpu: str, driver: DriverVersion | None, matrix: CompatibilityMatrix, platform: str) -> bool:
    """Whether a build runs on a GPU: by its machine code, or by code that the driver can compile for it.

    The driver can compile code only if it is at least as new as the toolkit that made the code. A build whose code is
    not known is assumed to support what its accelerator major supports.
    """
    major = matrix.major_of(build.accelerator)
    if major is None or gpu not in major.architectures:
        return False
    if any(gpu in failure.gpus for failure in build.gpu_failures):
        return False
    fit = _fit(build, gpu, matrix)
    if fit is Fit.NATIVE or not build.code.known:
        return True
    if fit is Fit.NONE:
        return False
    if driver is None:
        return True
    floor = compiling_driver(build, matrix, platform)
    return floor is not None and driver.reaches(floor)


def _fit(build: Build, gpu: str, matrix: CompatibilityMatrix) -> Fit:
    code = build.code
    row = matrix.accelerators.get(build.accelerator.kind)
    if row is not None and gpu in row.exact:
        code = code._replace(machine=tuple(one for one in code.machine if one == gpu))
    return accelerators.kind(build.accelerator.kind).fit(code, gpu)


def compiling_driver(build: Build, matrix: CompatibilityMatrix, platform: str) -> DriverVersion | None:
    """The oldest driver that compiles the build's portable code on a platform; None if the matrix does not know it."""
    toolkit = matrix.toolkit(build.accelerator)
    return None if toolkit is None else toolkit.driver_on(platform)


def usable_majors(
    matrix: CompatibilityMatrix, kind: str, platform: str, driver: DriverVersion | None, gpus: Sequence[str]
) -> tuple[Accelerator, ...]:
    """The majors of a kind that a driver and each of these GPUs can run, newest first, whether or not builds exist."""
    return tuple(
        row.accelerator
        for _, row in sorted(matrix.majors(kind).items(), reverse=True)
        if (driver is None or reaches(driver, row.driver_on(platform)))
        and all(gpu in row.architectures for gpu in gpus)
    )


def reaches(driver: DriverVersion, floor: DriverVersion | None) -> bool:
    """Whether a driver is new enough; always True if no floor is known."""
    return floor is None or driver.reaches(floor)


def forward_package(
    matrix: CompatibilityMatrix,
    accelerator: Accelerator,
    platform: str,
    driver: DriverVersion,
    floor: DriverVersion | None = None,
) -> ForwardPackage | None:
    """The vendor's package that lets a driver run code for a newer one; None if there is none for it.

    Args:
        matrix: the facts.
        accelerator: what has to run. Its minor selects the nearest package that is not older; without a minor, the
            newest package is taken.
        platform: the platform.
        driver: the installed driver.
        floor: the driver that is needed.
    """
    kind = matrix.accelerators.get(accelerator.kind)
    found = [
        one
        for one in (() if kind is None else kind.forward)
        if one.accelerator.whole == accelerator.whole
        and one.accelerator.version >= accelerator.version
        and platform in one.platforms
        and any(base.numbers[0] == driver.numbers[0] for base in one.bases)
        and (floor is None or one.driver.reaches(floor))
    ]
    return found[-1 if accelerator.minor is None else 0] if found else None


def data_center_devices(matrix: CompatibilityMatrix, accelerator: Accelerator, gpus: Sequence[str]) -> tuple[str, ...]:
    """The devices of these architectures that forward-compatibility packages support; without architectures, all.

    None if one of the architectures has no such device.
    """
    row, major = matrix.accelerators[accelerator.kind], matrix.major_of(accelerator)
    served = Architectures() if major is None else major.architectures
    named = {name: row.architectures[name] for name in row.data_center if row.architectures[name] in served}
    if any(gpu not in named.values() for gpu in gpus):
        return ()
    return tuple(name for name, architecture in named.items() if not gpus or architecture in gpus)


def is_data_center_device(matrix: CompatibilityMatrix, kind: str, name: str) -> bool:
    """Whether forward-compatibility packages support a device of this name, as its driver reports it."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    return any(one in words for one in matrix.accelerators[kind].data_center)


class DriverFloor(NamedTuple):
    """The oldest driver that something needs, and the source of that fact."""

    driver: DriverVersion
    source: str


def driver_floor(
    matrix: CompatibilityMatrix,
    accelerator: Accelerator,
    platform: str,
    builds: Sequence[Build],
    *,
    gpus: Sequence[str] = (),
    cudnn: Version | None = None,
) -> DriverFloor | None:
    """The oldest driver that runs builds together with a cuDNN; None if nothing of it needs a driver.

    Args:
        matrix: the facts.
        accelerator: what they compute on.
        platform: the platform, which decides how drivers are numbered.
        builds: the builds of an environment.
        gpus: the GPUs to support; a build whose code has to be compiled for one needs its toolkit's driver.
        cudnn: the cuDNN of the environment.
    """
    floors = []
    for build in builds:
        row = matrix.major_of(build.accelerator)
        if row is None:
            continue
        oldest = row.driver_on(platform)
        if oldest is not None:
            floors.append(DriverFloor(oldest, row.provenance.source))
        compiled = build.code.portable and any(_fit(build, gpu, matrix) is not Fit.NATIVE for gpu in gpus)
        floor = compiling_driver(build, matrix, platform) if compiled else None
        if floor is not None:
            floors.append(DriverFloor(floor, build.provenance.source))
    if cudnn is not None:
        rows = [row for row in matrix.cudnn if row.accelerator == accelerator.whole and cudnn in row.cudnn]
        for served in [[row for row in rows if gpu in row.gpus] for gpu in gpus] or [rows]:
            if served:
                least = min(served, key=lambda row: row.driver_on(platform))
                floors.append(DriverFloor(least.driver_on(platform), least.provenance.source))
    return max(floors, key=lambda floor: floor.driver, default=None)


def least_floor(
    matrix: CompatibilityMatrix,
    accelerator: Accelerator,
    platform: str,
    builds: Sequence[Build],
    machines: Sequence[TargetMachine],
    *,
    cudnn: Version | None = None,
) -> DriverFloor | None:
    """The driver floor of the least demanding of these machines; another machine's need to compile code does not count.

    Args:
        matrix: the facts.
        accelerator: what the builds compute on.
        platform: the platform, which decides how drivers are numbered.
        builds: the builds of an environment.
        machines: the machines, each with its own GPUs; at least one.
        cudnn: the cuDNN of the environment.
    """
    floors = [
        driver_floor(matrix, accelerator, platform, builds, gpus=machine.gpus, cudnn=cudnn) for machine in machines
    ]
    return min((floor for floor in floors if floor is not None), key=lambda floor: floor.driver, default=None)


def locked_builds(matrix: CompatibilityMatrix, lock: Lockfile) -> Iterator[tuple[str, Build]]:
    """The frameworks of a lock with their builds for its accelerator, as far as the matrix knows them."""
    target = BuildTarget(lock.computes_on.whole, lock.platform, lock.python)
    for name, version in lock.packages.items():
        if name in matrix.framework_names:
            build = locked_build(matrix, name, Version(lock.versions.get(name, version)), target)
            if build is not None and build.accelerated:
                yield name, build


def runs_on(matrix: CompatibilityMatrix, lock: Lockfile, driver: DriverVersion | None, gpus: Sequence[str]) -> bool:
    """Whether a driver and each of these GPUs run a lock, as far as the matrix knows."""
    if driver is not None and lock.driver is not None and not driver.reaches(DriverVersion(lock.driver)):
        return False
    # the matrix knows which code the wheels contain; conda channels compile for other architectures
    builds = [build for _, build in locked_builds(matrix, lock)] if lock.form.follows_matrix else []
    return all(serves(build, gpu, driver, matrix, lock.platform) for build in builds for gpu in gpus)


def newness(build: Build) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """A sort key: the build for the newest toolkit represents its release, whatever the order of rows."""
    return (build.accelerator.version, build.install)
