"""What a build fits: GPUs, drivers, ranges. Facts of the matrix alone, whoever asks: a solver, or a look at a lock."""

from __future__ import annotations

from packaging.version import Version

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build
from kgen.model.driver import DriverVersion


def serves(build: Build, gpu: Version, driver: DriverVersion | None, matrix: CompatibilityMatrix) -> bool:
    """Whether a build runs on a GPU: by its SASS, or by its PTX where the driver can compile it.

    SASS of X.Y runs on X.Z with Z >= Y; PTX of X.Y on anything newer, if the driver is at least as new as the toolkit
    that made it. A build of which neither is known is taken to serve what its CUDA generation serves.
    """
    if build.cuda_major is None or gpu not in matrix.cuda_majors[build.cuda_major].gpus:
        return False
    if any(gpu in failure.gpus for failure in build.gpu_failures):
        return False
    if has_sass(build, gpu) or not (build.sass or build.ptx):
        return True
    if not any(ptx <= gpu for ptx in build.ptx):
        return False
    if driver is None:
        return True
    floor = ptx_driver(build, matrix)
    return floor is not None and driver.reaches(floor)


def has_sass(build: Build, gpu: Version) -> bool:
    """Whether machine code in the build runs on this GPU as it is."""
    return any(sass.major == gpu.major and sass.minor <= gpu.minor for sass in build.sass)


def ptx_driver(build: Build, matrix: CompatibilityMatrix) -> DriverVersion | None:
    """The driver that the build's PTX needs; None where the matrix does not know it."""
    toolkit = None if build.cuda is None else matrix.toolkit(Version(build.cuda))
    return None if toolkit is None else toolkit.driver


def newness(build: Build) -> tuple[Version, tuple[str, ...]]:
    """The build for the newest toolkit stands for its release, in whatever order the rows are."""
    return (Version(build.cuda or "0"), build.install)
