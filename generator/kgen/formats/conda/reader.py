"""Reads conda locks back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kgen import accelerators
from kgen.formats.conda import condafiles
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model.lockfile import Lockfile


def parse(path: Path, content: bytes) -> Sequence[Lockfile]:
    """What the records hold for each platform; see :class:`kgen.formats.interface.Reader`."""
    file = condafiles.parse(path, content)
    return [condafiles.lockfile(file, path, platform) for platform in file.platforms]


def as_matrix(lock: Lockfile, matrix: CompatibilityMatrix) -> Lockfile:
    """The lock with its frameworks by the names of their projects, and the driver that its accelerator asks for."""
    names = (*(matrix.backends[name].framework for name in lock.backends if name in matrix.backends), KERAS)
    versions = {name: lock.versions.get(matrix.conda.names.get(name, name)) for name in names}
    major = matrix.major_of(accelerators.named(lock.accelerator))
    driver = None if major is None else major.driver_on(lock.platform)
    return lock._replace(
        packages={name: version for name, version in versions.items() if version is not None},
        driver=None if driver is None else str(driver),
    )
