"""The forms of locks that kgen supports. It finds them: each is a package in `kgen.formats` that declares itself.

A form declares its names and what its environments have in common. Modules of its package lock, read, check and
install; :mod:`kgen.formats.interface` loads them on demand.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import pkgutil
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

_PACKAGES = "kgen.formats"


class PackageScripts(NamedTuple):
    """Whether packages may have scripts that run when somebody enters an environment.

    Attributes:
        hooks: the folder in an environment for kgen's hooks, beside those of packages.
        places: what activation uses: its name in the templates -> path in an environment.
        programs: programs that activation runs: path in an environment -> template.
    """

    hooks: str
    places: Mapping[str, str]
    programs: Mapping[str, str] = MappingProxyType({})


class Format(NamedTuple):
    """A form of locks.

    Attributes:
        name: its name in the setting `installers`, as flag, and in the names of its environments on disk.
        package: the full name of its package.
        lock: the pattern for the names of its locks in the folder of an environment. The group `platform` is the
            platform of a file; without that group one file is for all platforms.
        files: shell patterns for the names of its locks and of what is made beside them.
        title: the kind of its environments: a `conda` environment.
        purpose: what its flag makes `kgen lock` do.
        is_default: whether every environment is locked in it. Locks of other forms are beside its locks, and the names
            of their environments on disk end with the name of the form.
        follows_matrix: whether its files are builds that the matrix has rows for.
        brings_python: whether the interpreter is one of its packages.
        scripts: what its packages may run when somebody enters an environment; None if nothing.
        prefix_variable: a variable, besides VIRTUAL_ENV, with the folder of an environment for its processes.
        metadata: the pattern of files that show which packages, besides wheels, are installed.
        listed: the list of installed packages, among those in a training step's report, to compare its locks with.
        extra: kgen's own extra that includes its installer; None if kgen itself does.
        tidies: the command that removes what its installer keeps, as a hint; None if there is none.
    """

    name: str
    package: str
    lock: str
    files: tuple[str, ...]
    title: str
    purpose: str = ""
    is_default: bool = False
    follows_matrix: bool = False
    brings_python: bool = False
    scripts: PackageScripts | None = None
    prefix_variable: str | None = None
    metadata: str | None = None
    listed: str = "installed"
    extra: str | None = None
    tidies: str | None = None

    @property
    def suffix(self) -> str:
        """The suffix of an environment's name on disk, after that of its lock."""
        return "" if self.is_default else f"-{self.name}"

    @property
    def flag(self) -> str:
        """Its flag; empty for the form that always applies."""
        return "" if self.is_default else f"--{self.name}"

    @property
    def words(self) -> str:
        """The flag after a space, to follow other words of a command."""
        return f" {self.flag}".rstrip()

    def platform_of(self, name: str) -> str | None:
        """The platform that the file of this name in the folder of an environment is a lock for.

        Returns:
            The platform; empty if the file is for all of them; None if it is not a lock of this form.
        """
        match = re.fullmatch(self.lock, name)
        return None if match is None else match.groupdict().get("platform", "")


@functools.cache
def known() -> tuple[Format, ...]:
    """Every form of locks: first the default one, then the others by name."""
    packages = importlib.import_module(_PACKAGES)
    names = [one.name for one in pkgutil.iter_modules(packages.__path__) if one.ispkg]
    found: list[Format] = [importlib.import_module(f"{_PACKAGES}.{name}").FORMAT for name in names]
    return tuple(sorted(found, key=lambda form: (not form.is_default, form.name)))


def default() -> Format:
    """The form that every environment is locked in."""
    return known()[0]


def others() -> tuple[Format, ...]:
    """The forms whose locks are made on request, beside those of the default form."""
    return known()[1:]


def named(name: str) -> Format:
    """The form of this name, which must exist."""
    return next(form for form in known() if form.name == name)


def of_file(name: str) -> Format | None:
    """The form of which the file with this name in the folder of an environment is a lock; None if it is not a lock."""
    return next((form for form in known() if form.platform_of(name) is not None), None)


def made_by(name: str) -> Format | None:
    """The same, also for files that are made beside a lock."""
    return next((form for form in known() if any(fnmatch.fnmatchcase(name, one) for one in form.files)), None)


def without_suffix(name: str) -> str:
    """The name of a lock's environment, from its name on disk: `jax-cuda12` for `jax-cuda12-conda`."""
    for form in others():
        if name.endswith(form.suffix):
            return name.removesuffix(form.suffix)
    return name
