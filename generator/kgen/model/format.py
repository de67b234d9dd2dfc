"""The forms of locks that kgen knows: found, not listed, as each is a package in `kgen.formats` that declares itself.

Here stands what a form is called and what its environments have in common, for who looks a name up. What locks, reads,
checks and installs it is in modules of its package, which :mod:`kgen.formats.interface` loads when it is asked for.
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
    """Whether packages may have scripts of their own, which run when somebody enters an environment.

    Attributes:
        hooks: the folder in an environment in which kgen's hooks are put, beside those of packages.
        places: what activation looks at: its name in the templates -> path in an environment.
        programs: programs that activation runs besides: path in an environment -> template.
    """

    hooks: str
    places: Mapping[str, str]
    programs: Mapping[str, str] = MappingProxyType({})


class Format(NamedTuple):
    """A form of locks.

    Attributes:
        name: what the setting `installers`, the flag of commands and the names of its environments on disk call it.
        package: the package that is all of it, by its whole name.
        lock: the pattern of the names of its locks in the folder of an environment; the group `platform` is the
            platform that a file is for, and without that group one file is for all platforms.
        files: the patterns, as a shell has them, of the names of its locks and of what is made beside them.
        title: what an environment of it is called: a `conda` environment.
        purpose: what its flag has `kgen lock` do.
        is_default: whether every environment is locked in it; locks of other forms stand beside its locks, and the
            names of their environments on disk end with the name of the form.
        follows_matrix: whether its files are builds that the matrix has rows of.
        brings_python: whether the interpreter is one of its packages.
        scripts: what its packages may have for who enters; None where they have nothing.
        prefix_variable: a variable besides VIRTUAL_ENV that names the folder of an environment to the processes in it.
        metadata: the pattern of the files that say which packages are in an environment besides wheels.
        listed: the list of installed packages, of those that a training step tells, that its locks are compared with.
        extra: the extra of kgen's own that brings what installs it; None where kgen itself does.
        tidies: the command that frees what its installer keeps, as a hint; None where there is none.
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
        """What the name of an environment on disk ends with, behind that of its lock."""
        return "" if self.is_default else f"-{self.name}"

    @property
    def flag(self) -> str:
        """What is typed for it; nothing for the form that is always meant."""
        return "" if self.is_default else f"--{self.name}"

    @property
    def words(self) -> str:
        """The same where it follows other words of a command."""
        return f" {self.flag}".rstrip()

    def platform_of(self, name: str) -> str | None:
        """The platform that the file of this name in the folder of an environment is a lock for.

        Returns:
            The platform; empty where the file is for all of them; None if it is not a lock of this form.
        """
        match = re.fullmatch(self.lock, name)
        return None if match is None else match.groupdict().get("platform", "")


@functools.cache
def known() -> tuple[Format, ...]:
    """Every form of locks: first the one that every environment is locked in, then the others by their names."""
    packages = importlib.import_module(_PACKAGES)
    names = [one.name for one in pkgutil.iter_modules(packages.__path__) if one.ispkg]
    found: list[Format] = [importlib.import_module(f"{_PACKAGES}.{name}").FORMAT for name in names]
    return tuple(sorted(found, key=lambda form: (not form.is_default, form.name)))


def default() -> Format:
    """The form that every environment is locked in."""
    return known()[0]


def others() -> tuple[Format, ...]:
    """The forms whose locks stand beside those of the default, where they are asked for."""
    return known()[1:]


def named(name: str) -> Format:
    """The form of this name, which is known."""
    return next(form for form in known() if form.name == name)


def of_file(name: str) -> Format | None:
    """The form that the file of this name in the folder of an environment is a lock of; None if it is none."""
    return next((form for form in known() if form.platform_of(name) is not None), None)


def made_by(name: str) -> Format | None:
    """The same, also for files that are made beside a lock."""
    return next((form for form in known() if any(fnmatch.fnmatchcase(name, one) for one in form.files)), None)


def without_suffix(name: str) -> str:
    """The name of a lock's environment, of its name on disk: `jax-cuda12` of `jax-cuda12-conda`."""
    for form in others():
        if name.endswith(form.suffix):
            return name.removesuffix(form.suffix)
    return name
