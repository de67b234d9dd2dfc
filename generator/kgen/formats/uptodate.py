"""A lock that is there, in the form of one that was just made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kgen.formats.outcome import Summary
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.lockfile import Lockfile


class CurrentLock(NamedTuple):
    """A lock that stands, as :class:`kgen.formats.outcome.Locked` has it.

    Attributes:
        lock: what was read.
        frameworks: the projects that the matrix has files of, and Keras.
        warnings: what the lock says against itself.
    """

    lock: Lockfile
    frameworks: Mapping[str, str]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, matrix: CompatibilityMatrix, lock: Lockfile, data: Mapping[str, Any]) -> CurrentLock:
        """A lock in the default form.

        Args:
            matrix: the facts.
            lock: what was read.
            data: the same as it is written.
        """
        named = {matrix.generation_of(lock.backends).package, *matrix.framework_names}
        own = [name for name in lock.packages if name in named]
        frameworks = {name: lock.packages[name] for name in (*own[1:], *own[:1])}
        return cls(lock, frameworks, tuple(data["tool"]["kgen"].get("warnings", ())))

    @property
    def summary(self) -> Summary:
        """What is printed of it; why it has its versions only a solver can tell."""
        lock = self.lock
        # another form has its runtime among its packages, or none of its own
        has_runtime = lock.accelerated and (lock.form.is_default or lock.runtime is not None)
        return Summary(
            frameworks=self.frameworks,
            runtime=lock.computes_on if has_runtime else None,
            cudnn=lock.cudnn,
            versions=lock.versions,
            driver=lock.driver,
            packages=lock.packages,
            libraries=lock.libraries,
            licences=lock.licences,
            local=lock.local,
            warnings=self.warnings,
        )

    @property
    def size(self) -> int | None:
        """Bytes to download; None if the size of a file is not known."""
        return self.lock.size
