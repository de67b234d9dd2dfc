"""Reads pylocks back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kgen import lockfiles
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.lockfile import Lockfile


def parse(path: Path, content: bytes) -> Sequence[Lockfile]:
    """The one lock that a file is; see :class:`kgen.formats.interface.Reader`."""
    return (lockfiles.parse(path, content)[0],)


def as_matrix(lock: Lockfile, _matrix: CompatibilityMatrix) -> Lockfile:
    """The lock itself, which says what kgen's own solver has decided."""
    return lock
