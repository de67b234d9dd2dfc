"""A lock, as read from disk."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from kgen.model import grammar, wheelname
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.direct import DYNAMIC
from kgen.model.format import Format
from kgen.model.wheelname import WheelName


class LockedFile(NamedTuple):
    """The file of a package.

    Attributes:
        name: the project's normalised name.
        version: its version, as spelled in the lock.
        filename: the wheel's file name.
        url: its URL; None in a portable lock.
        sha256: its digest, in hexadecimal.
        size: its size in bytes; None if the lock does not state it.
        direct: whether it comes from the place that its lock names instead of an index.
        path: its path relative to the folder of its lock; None unless it is in the project's repository.
    """

    name: str
    version: str
    filename: str
    url: str | None
    sha256: str
    size: int | None
    direct: bool = False
    path: str | None = None

    def location(self, lock: Path) -> str | None:
        """Its URL; None if only its name and hash are known.

        Args:
            lock: the file of its lock.
        """
        if self.path is None:
            return self.url
        return Path(os.path.normpath(lock.absolute().parent / self.path)).as_uri()

    def pin(self, lock: Path) -> str:
        """The requirement that only this file satisfies, without its hash.

        Args:
            lock: the file of its lock.
        """
        return f"{self.name} @ {self.location(lock)}" if self.direct else f"{self.name}=={self.version}"

    @property
    def is_local(self) -> bool:
        """Whether the lock names a place that only this machine has."""
        return self.url is not None and self.url.startswith("file:")

    @property
    def wheel(self) -> WheelName | None:
        """The parts of its name; None if it is not a wheel."""
        return wheelname.parse(self.filename)

    @property
    def is_source(self) -> bool:
        """Whether it has to be built before it is installed."""
        return not self.filename.endswith(".whl")


def from_project(path: str) -> str:
    """A path relative to the project, from one relative to the folder of a lock; absolute paths stay."""
    found = posixpath.normpath(posixpath.join("locks/environment", path))
    return found if found.startswith(("/", "..")) else f"./{found}"


class LockedTree(NamedTuple):
    """A source tree from which a package is built: a folder, or a commit of a git repository.

    Attributes:
        name: the project's normalised name.
        version: its version; None if only building it tells.
        path: the folder, relative to the folder of the lock, or absolute outside the repository; None for a repository.
        sha256: for a folder, a digest of what its metadata is made from; None for a repository.
        url: the repository, as git takes it; None for a folder.
        commit: the full name of the commit; None for a folder.
        revision: the requested branch or tag; None if none was.
        subdirectory: the folder of the package in the repository; None for its top.
    """

    name: str
    version: str | None
    path: str | None = None
    sha256: str | None = None
    url: str | None = None
    commit: str | None = None
    revision: str | None = None
    subdirectory: str | None = None

    def folder(self, lock: Path) -> Path | None:
        """The folder on this machine; None for a repository.

        Args:
            lock: the file of its lock.
        """
        return None if self.path is None else Path(os.path.normpath(lock.absolute().parent / self.path))

    @property
    def is_local(self) -> bool:
        """Whether the lock names a place that only this machine has."""
        return (self.path is not None and self.path.startswith("/")) or (self.url or "").startswith("file:")

    @property
    def shown(self) -> str:
        """Its place in words: a folder by its path from the project."""
        if self.path is not None:
            return from_project(self.path)
        return f"{self.url} at {(self.commit or '')[:12]}"

    @property
    def identity(self) -> str:
        """One line that changes whenever something else would be installed."""
        facts = (self.path, self.sha256, self.url, self.commit, self.subdirectory)
        return " ".join((self.name, self.version or DYNAMIC, *(fact for fact in facts if fact is not None)))


class Lockfile(NamedTuple):
    """The lock of one environment on one platform.

    Attributes:
        path: the file that it was read from.
        form: its form. For any but the default one, `environment` is the name on disk, such as `jax-cpu-conda`, and
            `files` are the packages of that form, by their names there.
        digest: the sha256 of the file, in hexadecimal; everything that depends on the lock is tied to it.
        environment: the environment's name.
        backends: its backends, the most important first.
        accelerator: `cpu`, or the kind and major, such as `cuda12`.
        python: the CPython minor, such as `3.12`.
        platform: the platform, as a conda subdir.
        runtime: the version of the accelerator's runtime, such as `12.8`; None on the CPU.
        cudnn: the cuDNN version; None on the CPU.
        driver: the oldest driver that supports it, such as `525.60.13`; None on the CPU.
        packages: name -> version, as solved, of the frameworks, their parts and Keras.
        libraries: name -> version, as solved, of the accelerator's libraries and other packages from the matrix.
        variables: environment variables that select the backend.
        files: every file, sorted by name.
        places: further variables, in which `{prefix}` stands for the environment's folder.
        configuration: file name in the environment's own Keras folder -> its text; empty if there is no such folder.
        shared: folders in it that are links to the user's.
        build: what source distributions are built with, sorted by name; not installed.
        indexes: package -> which of its framework's own indexes it comes from, such as `cu126`; () for all other
            packages.
        licences: package -> its declared licence; without packages that declare none, and empty in locks from before
            kgen recorded licences.
        hooks: a digest of the files that select its backend in a shell; None if the lock does not have it.
        part: a digest of its part of a file for several platforms; None if the file is for this platform only.
        allow_overlap: the pairs of packages that the user allowed to own the same files.
        trees: what is built from source trees and installed, sorted by name.
        on_cpu: the backends whose frameworks dependencies brought along, and that compute on the CPU here.
    """

    path: Path
    form: Format
    digest: str
    environment: str
    backends: tuple[str, ...]
    accelerator: str
    python: str
    platform: str
    runtime: str | None
    cudnn: str | None
    driver: str | None
    packages: Mapping[str, str]
    libraries: Mapping[str, str]
    variables: Mapping[str, str]
    files: tuple[LockedFile, ...]
    places: Mapping[str, str] = MappingProxyType({})
    configuration: Mapping[str, str] = MappingProxyType({})
    shared: tuple[str, ...] = ()
    build: tuple[LockedFile, ...] = ()
    indexes: Mapping[str, str] = MappingProxyType({})
    licences: Mapping[str, str] = MappingProxyType({})
    hooks: str | None = None
    part: str | None = None
    allow_overlap: tuple[tuple[str, str], ...] = ()
    on_cpu: tuple[str, ...] = ()
    trees: tuple[LockedTree, ...] = ()

    def require_grammar(self) -> None:
        """Check that every value is safe in text of another language.

        Values read from disk were checked already; this is for locks that are created in another way.

        Raises:
            ValueError: a value is not safe.
        """
        grammar.environment(self.environment)
        grammar.accelerator(self.accelerator)
        grammar.python(self.python)
        grammar.platform(self.platform)
        for value, parse in (
            (self.runtime, grammar.runtime),
            (self.cudnn, grammar.conda_version),
            (self.driver, grammar.driver),
        ):
            if value is not None:
                parse(value)
        for file in (*self.files, *self.build):
            grammar.conda_package(file.name)
            grammar.conda_version(file.version)
            grammar.sha256(file.sha256)
        for tree in self.trees:
            grammar.project(tree.name)
            grammar.version(tree.version or DYNAMIC)

    @property
    def identity(self) -> str:
        """A text that changes whenever something else would be installed on this platform."""
        return self.part or self.digest

    @property
    def accelerated(self) -> bool:
        """Whether it is for a GPU."""
        return self.accelerator != CPU.name

    @property
    def computes_on(self) -> Accelerator:
        """Its accelerator, with the runtime's version if the lock states it.

        Raises:
            ValueError: there is no accelerator of this name.
        """
        named = Accelerator.named(self.accelerator)
        return named if self.runtime is None else Accelerator.numbered(named.kind, self.runtime)

    @property
    def versions(self) -> Mapping[str, str]:
        """Package -> version, for every file and tree."""
        trees = {tree.name: tree.version or DYNAMIC for tree in self.trees}
        return {**{file.name: file.version for file in self.files}, **trees}

    @property
    def free_threaded(self) -> bool | None:
        """Whether its compiled wheels are for the free-threaded CPython; None if no wheel tells."""
        told = {file.wheel.free_threaded for file in self.files if file.wheel is not None} - {None}
        return told.pop() if len(told) == 1 else None

    @property
    def names_hosts(self) -> bool:
        """Whether it names the index of a file."""
        return any(file.url and not file.direct for file in (*self.files, *self.build))

    @property
    def local(self) -> tuple[str, ...]:
        """The places in it that only this machine has."""
        files = (file.filename for file in self.files if file.is_local)
        return (*files, *(tree.name for tree in self.trees if tree.is_local))

    @property
    def content(self) -> str:
        """A digest of what is installed: a sha256 over the Python, the variables and the files.

        It stays the same if the lock is written again for other reasons, by another kgen or with another matrix.
        """
        import hashlib  # noqa: PLC0415 - loads OpenSSL

        lines = [self.platform, self.python, *self.backends]
        lines += [f"{name}={value}" for name, value in sorted({**self.variables, **self.places}.items())]
        lines += [f"{name}={text}" for name, text in sorted(self.configuration.items())]
        lines += sorted(f"{file.sha256}  {file.filename}" for file in (*self.files, *self.build))
        lines += [tree.identity for tree in self.trees]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def size(self) -> int | None:
        """Bytes to download; None if the size of some file is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)
