"""The solver's answer: a resolution, or a conflict."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from packaging.version import Version

from kgen.model.accelerator import Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.lockfile import LockedFile, LockedTree
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement

if TYPE_CHECKING:  # slow to import, and not needed to look at locks
    from kgen.model.causes import Cause, Change, Reason, Refusal, Warning  # noqa: A004 - as it is declared


class SourceRelease(NamedTuple):
    """A release without wheels that may be built from source.

    Attributes:
        name: the project's normalised name.
        version: its version.
        requires: its run-time requirements.
        build: its exact build requirements.
    """

    name: str
    version: Version
    requires: tuple[str, ...]
    build: tuple[str, ...]


class DirectRelease(NamedTuple):
    """A package from a place that the request, or another such package, names: a source tree or a source distribution.

    Attributes:
        name: its normalised name.
        version: its version; :data:`kgen.model.direct.DYNAMIC` if only building it tells.
        requires: its run-time requirements, without the places in them.
        build: its build requirements.
        file: the source distribution; None for a tree.
        tree: the source tree; None for a file.
        asked: whether the request names it; otherwise another direct package does.
    """

    name: str
    version: str
    requires: tuple[str, ...]
    build: tuple[str, ...]
    file: LockedFile | None = None
    tree: LockedTree | None = None
    asked: bool = True


class Resolution(NamedTuple):
    """Versions that work together, and the input that kgen derives from them for the installer's resolver.

    Attributes:
        request: the request.
        packages: name -> version of the frameworks, their parts and Keras, in the order of the request.
        parts: name -> framework, for distributions that are a part of a framework or its name on this platform.
        libraries: name -> version of the accelerator's libraries and other packages from the matrix that these builds
            need.
        allowed: library -> all versions of it that the chosen builds can use, oldest first.
        pinned: the libraries whose version the lock takes from here: those of the accelerator, which decide whether an
            environment works and are not the user's choice.
        constraints: facts about these builds, for the resolver, that their metadata does not state.
        sources: what may be built from source.
        republished: project -> the day on which the installed files were uploaded again, if that is later than their
            release.
        dependencies: the requested dependencies, without extras of frameworks that add another accelerator.
        install: the requirements for the resolver, exact for everything that the matrix decides.
        runtime: the accelerator with its runtime version in the environment; None on the CPU.
        cudnn: the cuDNN of the environment; None on the CPU.
        driver: the oldest driver that supports the environment; None on the CPU.
        local: name -> local version label, such as `cpu`, for packages that only a framework's own index has.
        warnings: facts that the user should know.
        why: the reasons for each version.
        beside: project -> framework, for projects that a build from a framework's own index needs from there too.
        direct: packages from places that the request names, other than wheels.
    """

    request: EnvironmentRequest
    packages: Mapping[str, Version]
    parts: Mapping[str, str]
    libraries: Mapping[str, Version]
    allowed: Mapping[str, tuple[Version, ...]]
    pinned: tuple[str, ...]
    install: tuple[str, ...]
    runtime: Accelerator | None
    cudnn: Version | None
    driver: DriverVersion | None
    local: Mapping[str, str]
    warnings: tuple[Warning, ...]
    why: tuple[Reason, ...]
    constraints: tuple[str, ...] = ()
    sources: tuple[SourceRelease, ...] = ()
    republished: Mapping[str, datetime.date] = MappingProxyType({})
    beside: Mapping[str, str] = MappingProxyType({})
    direct: tuple[DirectRelease, ...] = ()
    dependencies: tuple[Requirement, ...] = ()


class Suggestion(NamedTuple):
    """A change of the request that was solved and works.

    Attributes:
        changes: the changes; the first is the main one, the others follow from it.
        gives: framework -> version of the solution.
        requests: the changed requests that were solved; several if each backend gets its own environment.
    """

    changes: tuple[Change, ...]
    gives: Mapping[str, str]
    requests: tuple[EnvironmentRequest, ...]


class Conflict(NamedTuple):
    """Why there is no solution.

    Attributes:
        request: the request.
        refusals: what has no solution, with the facts that explain it; at least one.
        causes: a minimal set of causes: without any one of them there is a solution.
        suggestions: changes that lead to a solution, smallest first.
    """

    request: EnvironmentRequest
    refusals: tuple[Refusal, ...]
    causes: tuple[Cause, ...]
    suggestions: tuple[Suggestion, ...]
