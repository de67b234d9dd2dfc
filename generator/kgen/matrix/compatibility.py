"""The compatibility matrix as a whole; each file is read when it is first needed."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import tomli
from packaging.version import Version

from kgen import accelerators, files, replay
from kgen.errors import MatrixError
from kgen.matrix import reader
from kgen.matrix.compiled_cache import CompiledFiles
from kgen.matrix.records import (
    AcceleratorKind,
    AcceleratorMajor,
    Backend,
    Build,
    Companion,
    Conda,
    CudnnSupport,
    Framework,
    Generation,
    Image,
    Library,
    Platform,
    ProjectNames,
    PythonMinor,
    Release,
    SonameProvider,
    Toolkit,
)
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.grammar import shown
from kgen.model.requirement import Marker, Requirement, parse_requirement, required_name
from kgen.tables import Table, nearest

if TYPE_CHECKING:
    from kgen.model.request import EnvironmentRequest

T = TypeVar("T")

KERAS = "keras"
_LIBRARIES = "libraries/"
_ALIKE = 0.8
"""Similarity from which a name counts as a misspelling of a project's name."""

_TOOLKITS = "toolkits.toml"
_CONDA = "conda.toml"
_CONDA_NAMES = "conda-names.toml"
_SONAMES = "sonames.toml"
_COMPANIONS = "companions.toml"
_GENERATIONS = "generations.toml"
_IMAGES = "images.toml"
_NAMES = "names.toml"
_ACCELERATORS = "accelerators.toml"


class CompatibilityMatrix:
    """Facts about frameworks, accelerators and their libraries, independent of any request.

    A file is read and checked when it is first needed, so a question about one framework costs only its file and those
    of the libraries that it needs. If a file is damaged, all files are read, and every fault is reported together.
    """

    def __init__(self, files: Mapping[str, str], compiled: CompiledFiles | None = None) -> None:
        """Create a matrix from file name -> TOML text, with a cache of its records; :func:`load` reads a folder."""
        self._files = files
        self._compiled = compiled
        self._plugins: dict[str, Mapping[str, frozenset[Accelerator]]] = {}

    @functools.cached_property
    def revision(self) -> str:
        """A digest of the facts, the same on every machine: of the bytes of all files, by name.

        Three files do not count: the conda names, because no wheel depends on them and a conda lock stores those that
        it uses; the images, because a lock stores their versions as requirements; and the names that people type for
        projects.
        """
        import hashlib  # noqa: PLC0415 - slow to import, and a question to the solver needs none of it

        digest = hashlib.sha256()
        # a generator: `sorted` would ask a mapping for its length first, which lists the folder twice
        for name in sorted(name for name in self._files if name not in {_CONDA_NAMES, _IMAGES, _NAMES}):
            text = self._text(name).encode()
            digest.update(f"{name}\0{len(text)}\0".encode() + text)
        return digest.hexdigest()[:16]

    @functools.cached_property
    def pythons(self) -> tuple[PythonMinor, ...]:
        """The CPython minors, oldest first."""
        return self._read("python.toml", reader.read_pythons)

    @functools.cached_property
    def platforms(self) -> Mapping[str, Platform]:
        """The target platforms, by conda subdir."""
        return self._read("platforms.toml", reader.read_platforms)

    @functools.cached_property
    def backends(self) -> Mapping[str, Backend]:
        """The backends, by name."""
        return self._read("backends.toml", reader.read_backends)

    @functools.cached_property
    def generations(self) -> Mapping[str, Generation]:
        """The generations of Keras by name, the default one first; only that one if the matrix has no such file."""
        if _GENERATIONS in self._files:
            return self._read(_GENERATIONS, reader.read_generations)
        return {reader.DEFAULT_GENERATION: reader.ONLY_GENERATION}

    def generation_of(self, backends: Sequence[str]) -> Generation:
        """The generation of an environment with these backends, which all belong to one."""
        return self.generations[self.backends[backends[0]].generation]

    @functools.cached_property
    def short_names(self) -> tuple[str, ...]:
        """The names that people use for backends, those of the default generation first."""
        return tuple(dict.fromkeys(backend.short for backend in self.backends.values()))

    def default_backends(self, generation: str | None) -> tuple[str, ...]:
        """The backends of a generation that are locked if the user names none; None for the default generation."""
        wanted = generation or next(iter(self.generations))
        return tuple(row.name for row in self.backends.values() if row.default and row.generation == wanted)

    def backend_named(self, name: str, generation: str | None) -> Backend | None:
        """The backend with this name, either its full name or the name that Keras gives it.

        Args:
            name: a name such as `keras-core-jax` or `jax`.
            generation: the generation in which to look for a short name; None for the first that has it.
        """
        found = self.backends.get(name)
        if found is not None and (generation is None or found.generation == generation):
            return found
        short = name if found is None else found.short
        for one in self.generations if generation is None else (generation,):
            for row in self.backends.values():
                if row.generation == one and row.short == short:
                    return row
        return None

    def in_place_of(self, backend: str, named: Collection[str]) -> str:
        """The backend that replaces this one if these projects are required; this one if none does."""
        rows = self.backends.values()
        return next((row.name for row in rows if row.instead_of == backend and row.framework in named), backend)

    def is_imported(self, framework: str, generation: Generation, libraries: Collection[str] = ()) -> bool:
        """Whether a generation's Keras imports a framework whatever its backend.

        Args:
            framework: the framework.
            generation: the generation.
            libraries: the generation's libraries of models in the environment, whose imports count as well.
        """
        texts = {text for one in generation.libraries if one.name in libraries for text in one.needs}
        for release in self.framework(generation.package).releases:
            texts.update(text for build in release.builds for text in (*build.requires, *build.adds))
        return any(parse_requirement(text).name == framework for text in texts)

    @functools.cached_property
    def accelerators(self) -> Mapping[str, AcceleratorKind]:
        """The kinds of accelerator, by name."""
        return self._read(_ACCELERATORS, reader.read_accelerators)

    def majors(self, kind: str) -> Mapping[int, AcceleratorMajor]:
        """The majors of a kind, oldest first; none for a kind without versions, or without a row."""
        row = self.accelerators.get(kind)
        return {} if row is None else row.majors

    def major_of(self, accelerator: Accelerator) -> AcceleratorMajor | None:
        """The row of an accelerator's major; None for the CPU, and for an accelerator that the matrix does not know.

        A kind without versions has one row, which is returned for it.
        """
        return self.majors(accelerator.kind).get(accelerator.major or 0)

    @functools.cached_property
    def toolkits(self) -> tuple[Toolkit, ...]:
        """The toolkit releases whose extras stand for libraries, oldest first."""
        return self._read(_TOOLKITS, reader.read_toolkits)

    @functools.cached_property
    def _toolkit_packages(self) -> Mapping[str, str]:
        """Meta package of a toolkit -> the kind of accelerator."""
        return {row.toolkit: row.name for row in self.accelerators.values() if row.toolkit is not None}

    @functools.cached_property
    def cudnn(self) -> tuple[CudnnSupport, ...]:
        """The ranges of cuDNN, with the GPUs that they support."""
        return self._read("cudnn.toml", reader.read_cudnn)

    @functools.cached_property
    def companions(self) -> tuple[Companion, ...]:
        """The projects that belong to releases of a framework without declaring it; () if the matrix has none."""
        return self._read(_COMPANIONS, reader.read_companions) if _COMPANIONS in self._files else ()

    @functools.cached_property
    def images(self) -> Mapping[str, Image]:
        """The widely used images with their packages, by name; {} if the matrix has none."""
        return self._read(_IMAGES, reader.read_images) if _IMAGES in self._files else {}

    @functools.cached_property
    def soname_providers(self) -> tuple[SonameProvider, ...]:
        """The projects that provide shared libraries; () if the matrix has none."""
        return self._read(_SONAMES, reader.read_sonames) if _SONAMES in self._files else ()

    @functools.cached_property
    def sonames(self) -> Mapping[str, Mapping[Accelerator, str]]:
        """Soname of a shared library -> the majors that it is for -> the project that provides it for each."""
        found: dict[str, dict[Accelerator, str]] = {}
        for row in self.soname_providers:
            for soname in row.sonames:
                found.setdefault(soname, {})[row.accelerator] = row.project
        return found

    @functools.cached_property
    def conda(self) -> Conda:
        """What conda's main channel builds; only locking for conda needs it."""
        return self._read(_CONDA, reader.read_conda)

    @property
    def channel_projects(self) -> Mapping[str, str]:
        """Package of conda's main channel -> its project; of several, the first by name."""
        found: dict[str, str] = {}
        for project, package in sorted(self.conda_names.items()):
            found.setdefault(package, project)
        found |= {package: project for project, package in sorted(self.conda.names.items(), reverse=True)}
        for project, framework in self.conda.frameworks.items():
            found |= dict.fromkeys(framework.packages, project)
        return found

    @property
    def channel_runtimes(self) -> frozenset[str]:
        """The channel's packages that determine the accelerator's runtime and the cuDNN of an environment."""
        return frozenset({self.conda.version, *self.conda.cudnn})

    @functools.cached_property
    def conda_names(self) -> Mapping[str, str]:
        """Project -> its name on conda's main channel, for projects without a row in the matrix; {} if unknown."""
        if _CONDA_NAMES not in self._files:
            return {}
        return self._read(_CONDA_NAMES, reader.read_conda_names).packages

    def meant_by(self, name: str) -> str | None:
        """The project that a name most likely stands for if the index does not have that name; None if none is close.

        Args:
            name: the name, normalised.
        """
        names = self._project_names
        if names is None:
            return None
        near = nearest(name, (*names.projects, *names.usual, *self.framework_names), _ALIKE)
        return names.projects.get(name) or names.projects.get(near or "", near)

    def other_name_of(self, name: str) -> str | None:
        """The project that people mean by this name, which the index uses for something else, or not at all."""
        return None if self._project_names is None else self._project_names.projects.get(name)

    @property
    def gpu_variants(self) -> Mapping[str, Sequence[str]]:
        """What names of GPUs may end with -> the names that there are so; {} where that is not known."""
        return {} if self._project_names is None else self._project_names.variants

    @property
    def other_names(self) -> Mapping[str, str]:
        """What people write for projects -> the project."""
        return {} if self._project_names is None else self._project_names.projects

    @functools.cached_property
    def known_projects(self) -> frozenset[str]:
        """Projects that are often installed together with Keras, or belong to releases of a framework."""
        usual = () if self._project_names is None else self._project_names.usual
        return frozenset((*usual, *(row.project for row in self.companions)))

    @functools.cached_property
    def _project_names(self) -> ProjectNames | None:
        return self._read(_NAMES, reader.read_project_names) if _NAMES in self._files else None

    @property
    def conda_names_revision(self) -> str:
        """A digest of the file behind :attr:`conda_names`, which :attr:`revision` does not include."""
        import hashlib  # noqa: PLC0415 - as there

        text = self._text(_CONDA_NAMES) if _CONDA_NAMES in self._files else ""
        return hashlib.sha256(text.encode()).hexdigest()

    @functools.cached_property
    def library_names(self) -> tuple[str, ...]:
        """The libraries in the matrix."""
        files = sorted(file for file in self._files if file.startswith(_LIBRARIES))
        return tuple(file.removeprefix(_LIBRARIES).removesuffix(".toml") for file in files)

    @functools.cached_property
    def framework_names(self) -> tuple[str, ...]:
        """The projects with a file of their own: the backends' frameworks, then Keras in its generations."""
        return (
            *dict.fromkeys(backend.framework for backend in self.backends.values()),
            *self.keras_names,
        )

    @functools.cached_property
    def accelerated_frameworks(self) -> frozenset[str]:
        """The frameworks that can use an accelerator; their CPU builds never answer a request for one."""
        return frozenset(backend.framework for backend in self.backends.values() if backend.accelerated)

    @functools.cached_property
    def keras_names(self) -> tuple[str, ...]:
        """The projects that are Keras."""
        return tuple(dict.fromkeys((KERAS, *(generation.package for generation in self.generations.values()))))

    @functools.cache  # noqa: B019 - a matrix lives as long as the process
    def framework(self, name: str) -> Framework:
        """The framework of this name, which must be one of :attr:`framework_names`."""
        return self._read(f"{name}.toml", lambda table: reader.read_framework(table, name))

    def release(self, name: str, version: Version) -> Release | None:
        """A release of a framework, or None."""
        return self._by_version(name).get(version)

    @functools.cache  # noqa: B019 - a matrix lives as long as the process
    def _by_version(self, name: str) -> Mapping[Version, Release]:
        return {release.version: release for release in self.framework(name).releases}

    def yanked(self, library: str) -> Mapping[str, str]:
        """Yanked version of a library -> the reason."""
        found = self.library(library)
        return {} if found is None else found.yanked

    @functools.cache  # noqa: B019 - a matrix lives as long as the process
    def library(self, name: str) -> Library | None:
        """The library of this name; None if the matrix does not have it."""
        file = f"{_LIBRARIES}{name}.toml"
        return self._read(file, lambda table: reader.read_library(table, name)) if file in self._files else None

    def follows(self, name: str) -> bool:
        """Whether the matrix knows the versions of a project: a framework or a library."""
        return name in self.framework_names or self.library(name) is not None

    def holds(self, marker: str, request: EnvironmentRequest) -> bool:
        """Whether a target fulfils a marker; one that cannot be read is uv's to complain about."""
        try:
            return Marker(marker).evaluate(self.platforms[request.platform].marker_environment(request.python))
        except ValueError:
            return True

    def toolkits_of(self, kind: str) -> tuple[Toolkit, ...]:
        """The toolkit releases of a kind, oldest first; () for a kind without any."""
        return self.toolkits if kind in self._toolkit_packages.values() else ()

    def toolkit(self, accelerator: Accelerator) -> Toolkit | None:
        """The first toolkit of a minor, or of the newest minor of a major: CUDA 12.8 finds 12.8.0.

        Updates of a minor need no newer driver than it does, and drivers for it can read what they compile. None if
        there is no toolkit, as for a kind without any.
        """
        width = len(accelerator.version)
        toolkits = self.toolkits_of(accelerator.kind)
        found = [toolkit for toolkit in toolkits if toolkit.version.release[:width] == accelerator.version]
        minor = found[-1].version.release[:2] if found else ()
        return next((toolkit for toolkit in found if toolkit.version.release[:2] == minor), None)

    def expand(self, requirement_text: str) -> tuple[str, ...]:
        """The requirements that a requirement on a toolkit's meta package stands for; () for any other."""
        if not requirement_text.startswith(tuple(self._toolkit_packages)):
            return ()
        requirement = parse_requirement(requirement_text)
        pinned = [toolkit for toolkit in self.toolkits if toolkit.version in requirement.specifier]
        if not pinned:
            return ()
        extras = pinned[-1].extras
        return tuple(text for extra in sorted(requirement.extras) for text in extras.get(extra, ()))

    @functools.cache  # noqa: B019 - a matrix lives as long as the process
    def _toolkit_floors(self, package: str) -> Mapping[tuple[int, int], Version]:
        """(major, minor) of the toolkits that contain a library -> its first version in that minor."""
        floors: dict[tuple[int, int], Version] = {}
        for toolkit in self.toolkits:
            minor = (toolkit.version.major, toolkit.version.minor)
            for text in chain.from_iterable(toolkit.extras.values()):
                if not text.startswith(package):  # avoids parsing the requirements on other packages
                    continue
                requirement = parse_requirement(text)
                for specifier in requirement.specifier if requirement.name == package else ():
                    floor = Version(specifier.version.removesuffix(".*"))
                    floors[minor] = min(floor, floors.get(minor, floor))
        return floors

    def accelerator_of(self, package: str, version: Version) -> Accelerator | None:
        """The kind and major that a version of a library belongs to; None if it belongs to none.

        Derived from the suffix of its name, or else from the toolkits that contain it: NVIDIA's packages for CUDA 13
        have no suffix, and cuFFT of CUDA 13 is version 12.
        """
        library = self.library(package)
        if library is None:
            return None
        if library.accelerator is not None:
            return library.accelerator
        floors = self._toolkit_floors(package)
        for kind in self._toolkit_packages.values() if floors else ():
            reached = [major for (major, _), floor in floors.items() if floor <= version]
            return Accelerator(kind, (max(reached, default=min(floors)[0] - 1),))
        kinds = (row.name for row in self.accelerators.values() if library.role in row.versioned)
        return next((Accelerator(kind, (version.major,)) for kind in kinds), None)

    def named_after(self, package: str) -> Accelerator | None:
        """The kind and major in the name of a package, whether or not the matrix has the package."""
        for row in self.accelerators.values():
            match = None if row.packages is None else re.fullmatch(row.packages, package)
            if match is not None:
                return Accelerator(row.name, (int(match["major"]),))
        return None

    def applying(self, request: EnvironmentRequest) -> tuple[Requirement, ...]:
        """The dependencies of a request whose markers hold on its platform and Python."""
        if all(wish.marker is None for wish in request.dependencies):
            return request.dependencies
        markers = self.platforms[request.platform].marker_environment(request.python)
        return tuple(one for one in request.dependencies if one.marker is None or one.marker.evaluate(markers))

    def named_for_another(self, request: EnvironmentRequest) -> dict[Requirement, Accelerator]:
        """The dependencies whose names say that they are for another major than the request -> that major."""
        wanted = request.accelerator.whole
        if request.accelerator == CPU:
            return {}
        applying = (wish for wish in self.applying(request) if wish.url is None)
        named = ((wish, self.named_after(wish.name)) for wish in applying)
        return {wish: own for wish, own in named if own is not None and own != wanted}

    def extras_for_accelerators(self, wish: Requirement) -> dict[str, Accelerator]:
        """Extra of a framework that installs an accelerator's libraries, such as `and-cuda` of TensorFlow -> the major.

        Taken from the newest release that the requirement allows: in older releases the same extra was for another
        major.
        """
        found: dict[str, Accelerator] = {}
        if not wish.extras or wish.name not in self.framework_names:
            return found
        for release in reversed(self.framework(wish.name).releases):
            for build in release.builds if release.version in wish.specifier else ():
                for installed in map(parse_requirement, build.install if build.accelerated else ()):
                    if installed.name == wish.name:
                        for extra in wish.extras & installed.extras:
                            found.setdefault(extra, build.accelerator.whole)
        return found

    def named_for(self, package: str, accelerator: Accelerator) -> str:
        """The name of a package for another major: `cupy-cuda13x` for `cupy-cuda12x`."""
        row = self.accelerators[accelerator.kind]
        match = None if row.packages is None else re.fullmatch(row.packages, package)
        if match is None or accelerator.major is None:
            return package
        start, end = match.span("major")
        return f"{package[:start]}{accelerator.major}{package[end:]}"

    def distributions_of(self, framework: str) -> frozenset[str]:
        """The distributions that contain a framework on some platform, or a part of it, such as tensorflow-cpu.

        Does not include what is only installed along with a build, such as setuptools.
        """
        builds = (build for release in self.framework(framework).releases for build in release.builds)
        names = {required_name(text) for build in builds for text in build.install}
        return frozenset(one for one in names if one.startswith(framework))

    def plugins_of(self, framework: str) -> Mapping[str, frozenset[Accelerator]]:
        """Projects that a framework loads by itself if they are installed -> the majors that they are for.

        These are the packages that its accelerator builds install and its CPU builds do not, without the accelerator's
        libraries, which do nothing by themselves.
        """
        known = self._plugins.get(framework)
        if known is None:
            known = self._plugins[framework] = self._find_plugins(framework)
        return known

    def _find_plugins(self, framework: str) -> Mapping[str, frozenset[Accelerator]]:
        builds = [build for release in self.framework(framework).releases for build in release.builds]
        plain = {required_name(text) for one in builds if not one.accelerated for text in one.install}
        found: dict[str, set[Accelerator]] = {}
        for build in builds if plain else ():
            for text in build.install:
                name = required_name(text)
                if name not in plain and not self.follows(name):
                    found.setdefault(name, set()).add(build.accelerator.whole)
        return {name: frozenset(majors) for name, majors in found.items()}

    def minor_bound(self, package: str, accelerator: Accelerator) -> Version | None:
        """The first version of a library that is too new for an accelerator's minor; None if none is known."""
        major, minor = accelerator.major, accelerator.minor
        if minor is None or accelerator.kind not in self._toolkit_packages.values():
            return None
        later = [
            floor
            for (of_major, of_minor), floor in self._toolkit_floors(package).items()
            if of_major == major and of_minor > minor
        ]
        return min(later, default=None)

    def check(self) -> None:
        """Read every file.

        Raises:
            MatrixError: with every fault of every file.
        """
        faults: list[str] = []
        everything = {name: self._parse(name, faults) for name in self._files}
        readers: dict[str, Callable[[Table], object]] = {
            "python.toml": reader.read_pythons,
            "platforms.toml": reader.read_platforms,
            "backends.toml": reader.read_backends,
            _ACCELERATORS: reader.read_accelerators,
            _TOOLKITS: reader.read_toolkits,
            "cudnn.toml": reader.read_cudnn,
        }
        optional: dict[str, Callable[[Table], object]] = {
            _CONDA_NAMES: reader.read_conda_names,
            _CONDA: reader.read_conda,  # a matrix without this file is for wheels only
            _COMPANIONS: reader.read_companions,
            _GENERATIONS: reader.read_generations,
            _IMAGES: reader.read_images,
            _NAMES: reader.read_project_names,
            _SONAMES: reader.read_sonames,
        }
        readers.update((name, read) for name, read in optional.items() if name in self._files)
        for name in self.library_names:
            file = f"{_LIBRARIES}{name}.toml"
            readers[file] = lambda table, name=name: reader.read_library(table, name)  # type: ignore[misc]
        backends = everything.get("backends.toml", {})
        rows = [*backends.values(), *everything.get(_GENERATIONS, {}).values()]
        named = [row.get("framework") or row.get("package", "") for row in rows if isinstance(row, dict)]
        for name in dict.fromkeys([*(one for one in named if isinstance(one, str)), KERAS]):
            readers[f"{name}.toml"] = lambda table, name=name: reader.read_framework(table, name)  # type: ignore[misc]
        for name, read in readers.items():
            if name not in self._files:
                faults.append(f"{name}: the file is missing")
            else:
                read(Table(everything[name], _path(name), faults))
        if not faults:
            faults.extend(self._cross_faults())
        if faults:
            raise MatrixError(faults)

    def _cross_faults(self) -> list[str]:
        """Faults between files: requirements and platforms that no file knows."""
        faults = []
        known = {*self.library_names, *self.framework_names}
        for name in self.framework_names:
            for release in self.framework(name).releases:
                for position, build in enumerate(release.builds):
                    where = f"{name}.release[{release.version}].build[{position}]"
                    faults += [f"{where}.{fault}" for fault in self._build_faults(build, known)]
        for toolkit in self.toolkits:
            for extra, texts in toolkit.extras.items():
                for text in texts:
                    try:
                        parse_requirement(text)
                    except ValueError as error:
                        faults.append(f"toolkits.toolkit[{toolkit.version}].extras.{extra}: {error}")
        return [
            *faults,
            *self._accelerator_faults(),
            *self._backend_faults(),
            *self._generation_faults(),
            *self._image_faults(),
            *(self._conda_faults() if _CONDA in self._files else ()),
        ]

    def _image_faults(self) -> Iterator[str]:
        minors = {row.version for row in self.pythons}
        for image in self.images.values():
            if image.platform not in self.platforms:
                yield f"images.{image.name}.platform: unknown platform {image.platform}"
            if image.python not in minors:
                yield f"images.{image.name}.python: unknown Python {image.python}"
            yield from (f"images.{image.name}.{fault}" for fault in self._unknown_major(image.accelerator))

    def _accelerator_faults(self) -> Iterator[str]:
        for row in self.accelerators.values():
            for platform in row.platforms:
                if platform not in self.platforms:
                    yield f"accelerators.{row.name}.platforms: unknown platform {platform}"
            for major in row.majors.values():
                for name in major.architectures.named:
                    try:
                        accelerators.kind(row.name).parse_architecture(name)
                    except ValueError as error:
                        yield f"accelerators.{row.name}.major[{major.accelerator.number}].gpu: {error}"
        for position, support in enumerate(self.cudnn):
            for fault in self._unknown_major(support.accelerator):
                yield f"cudnn.support[{position}].{fault}"

    def _backend_faults(self) -> Iterator[str]:
        for backend in self.backends.values():
            if backend.generation not in self.generations:
                yield f"backends.{backend.name}.generation: unknown generation {backend.generation}"
            elif backend.instead_of is not None:
                if backend.instead_of not in self.backends:
                    yield f"backends.{backend.name}.instead-of: unknown backend {backend.instead_of}"
            elif backend.name not in {backend.selected, f"{backend.generation}-{backend.selected}"}:
                yield f"backends.{backend.name}: should be called {backend.generation}-{backend.selected}"

    def _generation_faults(self) -> Iterator[str]:
        for generation in self.generations.values():
            where = f"generations.{generation.name}"
            own = [one for one in self.framework(generation.package).releases if one.version in generation.range]
            if not own:
                yield f"{where}.range: holds no release of {generation.package}"
            pythons = dict.fromkeys(python for one in own for build in one.builds for python in build.pythons)
            for python in pythons:
                if Version(python) not in generation.pythons:
                    yield f"{where}.pythons: leaves out {python}, which a release of {generation.package} has"
            tools = [(source.name, text) for source in generation.sources for text in source.build]
            for name, text in tools:
                if not any(one.operator == "==" for one in parse_requirement(text).specifier):
                    yield f"{where}.source-distribution[{name}].build: `{text}` is not exact"

    def _conda_faults(self) -> Iterator[str]:
        default = next(iter(self.generations))
        current = [row.framework for row in self.backends.values() if row.generation == default]
        for name in (*dict.fromkeys(current), KERAS):
            if name not in self.conda.frameworks:
                yield f"conda.framework.{name}: is missing"
        for platform in self.platforms:
            if platform not in self.conda.virtuals:
                yield f"conda.virtual.{platform}: is missing"
        for name, framework in self.conda.frameworks.items():
            if name not in self.framework_names:
                yield f"conda.framework.{name}: unknown framework"
            for position, build in enumerate(framework.builds):
                where = f"conda.framework.{name}.build[{position}]"
                for platform in set(build.platforms) - set(self.platforms):
                    yield f"{where}.platforms: unknown platform {platform}"
                for fault in self._unknown_major(build.accelerator):
                    yield f"{where}.{fault}"

    def _unknown_major(self, accelerator: Accelerator) -> Iterator[str]:
        if accelerator.major is not None and self.major_of(accelerator) is None:
            whole = accelerators.title(accelerator.whole)
            yield f"{accelerator.kind}: no {whole} in {_ACCELERATORS}"

    def _build_faults(self, build: Build, known: set[str]) -> list[str]:
        faults = [f"platforms.{name}: unknown platform" for name in build.platforms if name not in self.platforms]
        faults += self._unknown_major(build.accelerator)
        for text in (*build.install, *build.requires, *build.adds):
            try:
                requirement = parse_requirement(text)
            except ValueError as error:
                faults.append(f"requires: {error}")
                continue
            # an undeclared requirement may be on a package without rows
            if requirement.name not in known and text not in {*build.install, *build.adds}:
                faults.append(f"requires: `{requirement.name}` is in no matrix file")
        return faults

    def _text(self, name: str) -> str:
        try:
            return self._files[name]
        except KeyError:
            raise MatrixError([f"{name}: the file is missing"]) from None
        except OSError as error:
            raise MatrixError([f"{name}: cannot be read: {error.strerror or error}"]) from None
        except UnicodeDecodeError:
            raise MatrixError([f"{name}: is not UTF-8 text"]) from None

    def _parse(self, name: str, faults: list[str]) -> Mapping[str, Any]:
        text = self._text(name)
        try:
            return tomli.loads(text)
        except (ValueError, RecursionError) as error:  # besides what is not TOML: endless numbers, deep nesting
            faults.append(f"{name}: {shown(str(error))}")
            return {}

    def _read(self, name: str, read: Callable[[Table], T]) -> T:
        text = self._text(name)
        found = None if self._compiled is None else self._compiled.load(name, text)
        if found is not None:
            return cast("T", found)
        faults: list[str] = []
        records = read(Table(self._parse(name, faults), _path(name), faults))
        if faults:
            self.check()
        if self._compiled is not None:
            self._compiled.save(name, text, records)
        return records


def _path(file: str) -> str:
    """The prefix of the dotted paths of a file's keys."""
    return file.removesuffix(".toml").replace("/", ".")


class Folder(Mapping[str, str]):
    """The TOML files below a folder, each read when it is requested."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> str:
        try:
            return files.read_text(self._folder / name)
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(name) from None

    def __contains__(self, name: object) -> bool:
        replay.looked(self._folder / str(name))
        try:
            return files.is_file(self._folder / str(name))
        except OSError:  # such as a name that is too long for a file
            return False

    def __iter__(self) -> Iterator[str]:
        found = []
        for folder, _, names in os.walk(self._folder):  # much faster than `rglob`, and every lock takes this path
            replay.looked(folder)
            below = Path(folder).relative_to(self._folder).as_posix()
            prefix = "" if below == "." else f"{below}/"
            found += [prefix + name for name in names if name.endswith(".toml")]
        return iter(sorted(found))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def load(folder: Path) -> CompatibilityMatrix:
    """The matrix in a folder of TOML files."""
    return CompatibilityMatrix(Folder(folder))
