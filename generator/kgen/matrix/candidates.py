"""Find the build of a release that serves a target, or why none does: one answer for every caller.

The solver, `kgen check`, the doctor, `explain`, `init`, the plot and the report all ask here, so that no
two of them disagree. Everything is a fact of the matrix; nothing is searched or solved.
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
    """What a build is to run on.

    Attributes:
        accelerator: what it computes on, perhaps with the newest minor version allowed.
        platform: conda's name of the platform.
        python: the CPython minor; None for any.
        own_index: whether builds may be used that only the framework's own index has.
        label: the local label of the build that is asked for, as in `2.10.0+cu126`; None for any.
        gpus: the architectures that are to be served, where a release has a build that serves them.
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
    """Why a build does not serve a target, the most fundamental reason first."""

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
        build: the build; where `obstacle` is set, the one that comes closest; None if the release has no build at all.
        obstacle: why it does not serve the target; None if it does.
    """

    build: Build | None
    obstacle: Obstacle | None


def obstacle(
    matrix: CompatibilityMatrix, framework: str, build: Build, target: BuildTarget, *, pinned: bool = False
) -> Obstacle | None:
    """Why a build does not serve a target, whatever its Python; None if nothing but the Python can be in the way.

    Args:
        matrix: the facts.
        framework: whose build it is.
        build: the build.
        target: what it is to run on.
        pinned: whether exactly this release is asked for, which overrules that the build is known to be bad.
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
        # where a framework could use the accelerator, its build for the CPU is not the answer
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
    """The build of a release for a target, preferably one for its Python; None if only another target has one.

    Of several, the one with the label that is asked for; else of those that serve the GPUs, where any does, that for
    the newest toolkit.
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
    """Whether to avoid a release that is not pinned: it was yanked, is known to be bad, or is early."""
    return bool(release.yanked or release.known_bad or release.version.is_prerelease)


def candidate(
    matrix: CompatibilityMatrix, framework: str, release: Release, target: BuildTarget, *, pinned: bool = False
) -> Candidate:
    """The build of a release for a target; or the build that comes closest, and what is in its way.

    Args:
        matrix: the facts.
        framework: whose release it is.
        release: the release.
        target: what it is to run on.
        pinned: whether exactly this release is asked for, which overrules every doubt about it.
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
    """What a package would have a framework compute on, where that is not what is wanted; None of any other package.

    Args:
        matrix: the facts.
        name: the package.
        frameworks: what is in the environment; those that load such plugins count.
        wanted: what the environment is for.
    """
    for framework in matrix.accelerated_frameworks:
        if framework not in frameworks or name == framework:
            continue
        majors = matrix.plugins_of(framework).get(name)
        if majors is not None and wanted.whole not in majors:
            return max(majors)
    return None


def imported_build(release: Release, target: BuildTarget) -> Build | None:
    """The build of a release for a dependent that only imports it, and so does not ask for an accelerator."""
    fitting = (
        build
        for build in release.builds
        if target.platform in build.platforms and (target.python is None or target.python in build.pythons)
    )
    return min(fitting, key=newness, default=None)


def locked_build(matrix: CompatibilityMatrix, framework: str, version: Version, target: BuildTarget) -> Build | None:
    """The build that a lock has, by the label of its version: `2.6.0+cu126` is another build than `2.6.0`.

    Args:
        matrix: the facts.
        framework: the framework or Keras.
        version: what is locked, with its local label.
        target: what the lock is for; whether another index is allowed does not matter, as the build is there.
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
    # a label without a row in the matrix is from another index, and the matrix has no facts about its builds
    return max(labelled or [build for build in serving if build.local is None], key=newness, default=None)


def builds_on(platform: str, release: Release) -> list[Build]:
    """The builds of a release on a platform, without the CPU ones where there are others; the newest toolkit first."""
    builds = [build for build in release.builds if platform in build.platforms]
    accelerated = [build for build in builds if build.accelerated and build.local is None]
    return sorted(accelerated, key=newness, reverse=True) or builds


def releases_with_builds(
    matrix: CompatibilityMatrix, framework: Framework, target: BuildTarget
) -> Iterator[tuple[Release, Build]]:
    """The releases that are not to be avoided and have a build for a target, the newest first."""
    for release in reversed(framework.releases):
        build, why = candidate(matrix, framework.name, release, target)
        if build is not None and why is None:
            yield release, build


# -- what a build runs on ----------------------------------------------------------------------------------------------


def serves(build: Build, gpu: str, driver: DriverVersion | None, matrix: CompatibilityMatrix, platform: str) -> bool:
    """Whether a build runs on a GPU of a platform: by its machine code, or by what a driver can compile for it.

    What a driver compiles needs one that is at least as new as the toolkit that made it. A build without known code is
    taken to serve what the major of its accelerator serves.
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
    """The driver of a platform that compiles the build's portable code; None where the matrix does not know it."""
    toolkit = matrix.toolkit(build.accelerator)
    return None if toolkit is None else toolkit.driver_on(platform)


def usable_majors(
    matrix: CompatibilityMatrix, kind: str, platform: str, driver: DriverVersion | None, gpus: Sequence[str]
) -> tuple[Accelerator, ...]:
    """The majors of a kind that a driver and each of these GPUs can run at all, the newest first; whatever is built."""
    return tuple(
        row.accelerator
        for _, row in sorted(matrix.majors(kind).items(), reverse=True)
        if (driver is None or reaches(driver, row.driver_on(platform)))
        and all(gpu in row.architectures for gpu in gpus)
    )


def reaches(driver: DriverVersion, floor: DriverVersion | None) -> bool:
    """Whether a driver is new enough; any is where no floor is known."""
    return floor is None or driver.reaches(floor)


def forward_package(
    matrix: CompatibilityMatrix,
    accelerator: Accelerator,
    platform: str,
    driver: DriverVersion,
    floor: DriverVersion | None = None,
) -> ForwardPackage | None:
    """The maker's package that has a driver run what needs a newer one; None where there is none for it.

    Args:
        matrix: the facts.
        accelerator: what is to run; the package for the nearest minor that is no older, the newest where none is named.
        platform: where.
        driver: the driver that is there.
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
    """The devices that packages for an older driver are for, of these architectures; all where none is named.

    None where one of the architectures has no such device.
    """
    row, major = matrix.accelerators[accelerator.kind], matrix.major_of(accelerator)
    served = Architectures() if major is None else major.architectures
    named = {name: row.architectures[name] for name in row.data_center if row.architectures[name] in served}
    if any(gpu not in named.values() for gpu in gpus):
        return ()
    return tuple(name for name, architecture in named.items() if not gpus or architecture in gpus)


def is_data_center_device(matrix: CompatibilityMatrix, kind: str, name: str) -> bool:
    """Whether a device, as its driver calls it, is one that packages for an older driver are for."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    return any(one in words for one in matrix.accelerators[kind].data_center)


class DriverFloor(NamedTuple):
    """The oldest driver that something needs, and where that is from."""

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
    """The oldest driver that serves builds together with a cuDNN; None where none of it needs a driver.

    Args:
        matrix: the facts.
        accelerator: what they compute on.
        platform: where; drivers are numbered as there.
        builds: the builds of an environment.
        gpus: the GPUs that must be served; what is compiled for one of them needs the driver of its toolkit.
        cudnn: the cuDNN beside them.
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
    """The oldest driver that any of these machines can do with: what another has to compile is that one's own need.

    Args:
        matrix: the facts.
        accelerator: what the builds compute on.
        platform: where; drivers are numbered as there.
        builds: the builds of an environment.
        machines: the machines, each with its own GPUs; at least one.
        cudnn: the cuDNN beside them.
    """
    floors = [
        driver_floor(matrix, accelerator, platform, builds, gpus=machine.gpus, cudnn=cudnn) for machine in machines
    ]
    return min((floor for floor in floors if floor is not None), key=lambda floor: floor.driver, default=None)


def locked_builds(matrix: CompatibilityMatrix, lock: Lockfile) -> Iterator[tuple[str, Build]]:
    """The builds of a lock's frameworks for its accelerator, where the matrix has them, by their frameworks."""
    target = BuildTarget(lock.computes_on.whole, lock.platform, lock.python)
    for name, version in lock.packages.items():
        if name in matrix.framework_names:
            build = locked_build(matrix, name, Version(lock.versions.get(name, version)), target)
            if build is not None and build.accelerated:
                yield name, build


def runs_on(matrix: CompatibilityMatrix, lock: Lockfile, driver: DriverVersion | None, gpus: Sequence[str]) -> bool:
    """Whether a driver and each of these GPUs run what is locked, as far as the matrix knows."""
    if driver is not None and lock.driver is not None and not driver.reaches(DriverVersion(lock.driver)):
        return False
    # the matrix knows what the wheels have code for; a channel compiles for others
    builds = [build for _, build in locked_builds(matrix, lock)] if lock.form.follows_matrix else []
    return all(serves(build, gpu, driver, matrix, lock.platform) for build in builds for gpu in gpus)


def newness(build: Build) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The build for the newest toolkit stands for its release, in whatever order the rows are."""
    return (build.accelerator.version, build.install)
