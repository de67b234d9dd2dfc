"""The records of the matrix. Each row says where it is from and the day it was checked.

Named tuples, because a module of them is imported five times as fast as one of frozen data classes, and a question to
the solver should cost milliseconds. They are always made by keyword.
"""

import datetime
from collections.abc import Mapping
from typing import NamedTuple

from packaging.version import Version

from kgen.model.accelerator import CPU, Accelerator
from kgen.model.architecture import Architectures, DeviceCode
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange


class Provenance(NamedTuple):
    """Where a row is from and the day it was checked."""

    source: str
    checked: datetime.date


class AcceleratorMajor(NamedTuple):
    """A major of a kind of accelerator.

    Attributes:
        accelerator: the kind with this major; without one where the kind has no versions.
        driver: the oldest driver that any build for this major runs on; None where no such driver is known.
        drivers: the same on platforms whose drivers are numbered otherwise.
        architectures: those that it compiles for.
        provenance: where the row is from.
    """

    accelerator: Accelerator
    driver: DriverVersion | None
    drivers: Mapping[str, DriverVersion]
    architectures: Architectures
    provenance: Provenance

    def driver_on(self, platform: str) -> DriverVersion | None:
        """The oldest driver that any build for this major runs on, as a platform numbers it."""
        return self.drivers.get(platform, self.driver)


class ForwardPackage(NamedTuple):
    """A package of the maker's that has an older driver run what needs a newer one, on some GPUs.

    Attributes:
        name: what the maker calls it: `cuda-compat-12-9`.
        accelerator: what it runs: a kind with a minor.
        platforms: where there is such a package.
        driver: the branch of the driver whose libraries it holds.
        bases: the branches of the drivers that it works on.
        provenance: where the row is from.
    """

    name: str
    accelerator: Accelerator
    platforms: tuple[str, ...]
    driver: DriverVersion
    bases: tuple[DriverVersion, ...]
    provenance: Provenance


class AcceleratorKind(NamedTuple):
    """A kind of accelerator.

    Attributes:
        name: what it is called in all files of the matrix, and what its module is called.
        majors: its majors, oldest first; of a kind without versions the one row that it has, as 0.
        platforms: where it can be used at all.
        glibc: the floor that is assumed for it where the request names none; None for that of the platform.
        runtime: the role of the library that is its runtime, whose version is that of the environment; None where no
            package is.
        unique: the roles of libraries that an environment has at most once -> what people call them.
        versioned: the roles of packages whose own version is that of the kind.
        toolkit: the meta package whose extras stand for libraries; None if there is none.
        packages: pattern of the names of packages that belong to a major, which the group `major` holds; None if no
            name tells.
        architectures: how people call a device -> its architecture.
        exact: architectures that run no machine code but their own, where others also run that of older siblings.
        built_in: platform -> architectures of which there are devices in machines of this platform alone.
        data_center: those of `architectures` that packages for an older driver are for.
        forward: those packages.
        hiding: variables that hide devices from a process; the first also gives it some, by their numbers among those
            that the others leave, the last by their names.
        environment: variables that a process must find.
        devices: the framework's module -> how it calls a device of this kind.
        provenance: where the row is from.
    """

    name: str
    majors: Mapping[int, AcceleratorMajor]
    platforms: tuple[str, ...]
    glibc: Version | None
    runtime: str | None
    unique: Mapping[str, str]
    versioned: tuple[str, ...]
    toolkit: str | None
    packages: str | None
    architectures: Mapping[str, str]
    exact: tuple[str, ...]
    built_in: Mapping[str, tuple[str, ...]]
    data_center: tuple[str, ...]
    forward: tuple[ForwardPackage, ...]
    hiding: tuple[str, ...]
    environment: Mapping[str, str]
    devices: Mapping[str, str]
    provenance: Provenance

    def only_platform(self, architecture: str) -> str | None:
        """The one platform whose machines have devices of an architecture; None where they may be anywhere."""
        return next((platform for platform, several in self.built_in.items() if architecture in several), None)


class PythonMinor(NamedTuple):
    """A CPython minor and the day of its final release."""

    version: str
    released: datetime.date
    provenance: Provenance


class Platform(NamedTuple):
    """A target platform.

    Attributes:
        name: conda's name of it, `linux-64`.
        markers: values of the PEP 508 markers that depend on the platform.
        glibc: the floor that is assumed where the request names none; None where there is no glibc.
        macos: the same of macOS; None for other systems.
        uv: uv's name of it; `{glibc}` in it is the floor, written with an underscore.
        uv_glibc: the floors that uv can be asked for.
        provenance: where the row is from.
    """

    name: str
    markers: Mapping[str, str]
    glibc: Version | None
    macos: Version | None
    uv: str
    uv_glibc: tuple[Version, ...]
    provenance: Provenance

    def marker_environment(self, python: str, extra: str = "") -> dict[str, str]:
        """A value for every variable of a marker (PEP 508), for CPython on this platform.

        `packaging` takes a variable that is missing from the machine it runs on, which decides nothing here. Of the
        target's kernel nothing is known: uv reads its release and version as empty too.

        Args:
            python: the minor, `3.12`; its first patch release stands for all.
            extra: the extra that is asked for; empty for none.
        """
        return {
            **self.markers,
            "platform_release": "",
            "platform_version": "",
            "implementation_name": "cpython",
            "implementation_version": f"{python}.0",
            "platform_python_implementation": "CPython",
            "python_version": python,
            "python_full_version": f"{python}.0",
            "extra": extra,
        }


class Ended(NamedTuple):
    """That something is no longer supported upstream.

    Attributes:
        day: the last day it was.
        why: what was said of it then, and what took its place.
    """

    day: datetime.date
    why: str


class SourceDistribution(NamedTuple):
    """A release that is built from source, as it has no wheel.

    Attributes:
        name: the project's normalised name.
        version: its version.
        requires: its run-time requirements, which its metadata tells only to who builds it.
        build: what it is built with, exact.
        provenance: where the row is from.
    """

    name: str
    version: Version
    requires: tuple[str, ...]
    build: tuple[str, ...]
    provenance: Provenance


class ModelLibrary(NamedTuple):
    """A library of models beside Keras, and what it imports without declaring it.

    Attributes:
        name: its normalised name.
        needs: the requirements.
        provenance: where the row is from.
    """

    name: str
    needs: tuple[str, ...]
    provenance: Provenance


class Generation(NamedTuple):
    """A generation of Keras: a project, a range of its releases, and what its backends have in common.

    Attributes:
        name: as in `--generation`.
        title: how people call it.
        package: the project, which has a matrix file of its own.
        module: what is imported.
        range: its releases.
        pythons: the CPython minors that it runs on.
        since: the day of its first release.
        ended: that it is no longer supported; None if it is.
        home: the variable that says where Keras's folder is.
        configuration: name of a file in Keras's folder -> its text, where `{backend}` stands for the backend.
        shared: folders beside these files that hold what was downloaded, which environments share.
        hubs: what it is for, as `cv` -> the requirements that bring the library of models of this generation.
        libraries: the libraries of models that import more than they declare.
        sources: what may be built from source in its environments, and nowhere else.
        provenance: where the row is from.
    """

    name: str
    title: str
    package: str
    module: str
    range: VersionRange
    pythons: VersionRange
    since: datetime.date
    ended: Ended | None
    home: str
    configuration: Mapping[str, str]
    shared: tuple[str, ...]
    hubs: Mapping[str, tuple[str, ...]]
    libraries: tuple[ModelLibrary, ...]
    sources: tuple[SourceDistribution, ...]
    provenance: Provenance


class Backend(NamedTuple):
    """A backend of Keras.

    Attributes:
        name: what kgen calls it: what `KERAS_BACKEND` does, behind the generation where that is not the default one.
        generation: the generation of Keras that it is a backend of.
        framework: the project that implements it, which has a matrix file of its own.
        instead_of: the backend in whose place it comes where a requirement names its framework; None for most.
        releases: the releases of that project that it is for.
        default: whether it is locked when no backend is named.
        accelerated: whether it can use an accelerator.
        elsewhere: where a build for a GPU is to be had, if the index has none of its time.
        keras: the range of Keras that has this backend.
        needs: what Keras imports for it without declaring it.
        programs: what a compiled step runs that no package brings, by the names of Debian's packages.
        environment: variables that select it.
        places: further variables, in which `{prefix}` stands for the folder of the environment.
        step: which of the validation's programs trains on it.
        provenance: where the row is from.
    """

    name: str
    generation: str
    framework: str
    instead_of: str | None
    releases: VersionRange
    default: bool
    accelerated: bool
    elsewhere: str | None
    keras: VersionRange
    needs: tuple[str, ...]
    programs: tuple[str, ...]
    environment: Mapping[str, str]
    places: Mapping[str, str]
    step: str
    provenance: Provenance

    @property
    def selected(self) -> str:
        """What `KERAS_BACKEND` calls it."""
        return self.environment.get("KERAS_BACKEND", self.name)

    @property
    def short(self) -> str:
        """What people call it within its generation."""
        return self.selected if self.instead_of is None else self.name.removeprefix(f"{self.generation}-")


class GpuFailure(NamedTuple):
    """GPUs that a build seems to serve and does not."""

    gpus: Architectures
    reason: str
    source: str


class Build(NamedTuple):
    """One build of a release: what it was built for, what it needs, what it serves.

    Attributes:
        accelerator: what it was built for, with the version of the toolkit; :data:`CPU` for a CPU build.
        pythons: CPython minors that have a wheel.
        platforms: platform -> the glibc its wheels need; None where no glibc applies.
        install: requirements that make an installer take exactly this build.
        requires: its requirements on what the matrix follows, as the wheel states them.
        adds: requirements that the wheel should state and does not: requirement -> source.
        code: the architectures that it has code for.
        gpu_failures: GPUs that its code promises wrongly.
        local: the local version label of a build that only the framework's own index has.
        beside: projects that it needs and that are taken from that index too; the package index has others by the name.
        known_bad: why this build is avoided though others of its release are not.
        republished: project -> the day from which on the index has the files that are installed; where they had been
            deleted, and were put there again.
        provenance: where the row is from.
    """

    accelerator: Accelerator
    pythons: tuple[str, ...]
    platforms: Mapping[str, Version | None]
    install: tuple[str, ...]
    requires: tuple[str, ...]
    adds: Mapping[str, str]
    code: DeviceCode
    gpu_failures: tuple[GpuFailure, ...]
    local: str | None
    beside: tuple[str, ...]
    known_bad: str | None
    republished: Mapping[str, datetime.date]
    provenance: Provenance

    @property
    def accelerated(self) -> bool:
        """Whether it computes on an accelerator."""
        return self.accelerator != CPU


class Release(NamedTuple):
    """A stable release of a framework.

    Attributes:
        version: its version.
        released: the day its first file was published.
        yanked: why it was yanked; None if it was not.
        known_bad: why it is avoided though it was not yanked.
        builds: its builds.
    """

    version: Version
    released: datetime.date
    yanked: str | None
    known_bad: str | None
    builds: tuple[Build, ...]


class Elsewhere(NamedTuple):
    """Where to get builds for a GPU of releases for which the index has none that works.

    Attributes:
        releases: the releases.
        text: where, as a sentence.
        accelerator: the kind of accelerator that is asked for; None for any.
        major: the major of it that is asked for; None for any.
        platforms: where it is asked for; () for anywhere.
        gpus: what is to be served, one of them at least; None where that does not matter.
        own_index: whether it says no more than that the framework's own index has them, for who did not ask for that.
        written_for: project that it speaks of -> the newest release of it that was looked at.
        provenance: where the row is from.
    """

    releases: VersionRange
    text: str
    accelerator: str | None
    major: int | None
    platforms: tuple[str, ...]
    gpus: Architectures | None
    own_index: bool
    written_for: Mapping[str, Version]
    provenance: Provenance

    def concerns(self, version: Version, accelerator: Accelerator, platform: str) -> bool:
        """Whether it is about a release, for an accelerator on a platform; whatever the GPUs are."""
        return (
            version in self.releases
            and self.accelerator in {None, accelerator.kind}
            and self.major in {None, accelerator.major}
            and (not self.platforms or platform in self.platforms)
        )


class Framework(NamedTuple):
    """A project with a matrix file of its own: a framework, or Keras.

    Attributes:
        name: the project's normalised name.
        title: how people call it.
        releases: oldest first.
        ended: that it is no longer supported; None if it is.
        module: what is imported; two projects that are one module cannot be in one environment.
        elsewhere: where builds for a GPU are to be had that the index lacks.
    """

    name: str
    title: str
    releases: tuple[Release, ...]
    ended: Ended | None = None
    module: str = ""
    elsewhere: tuple[Elsewhere, ...] = ()


class LibraryRelease(NamedTuple):
    """A release of a library: the day it was published and what its wheels fit."""

    version: Version
    released: datetime.date
    platforms: Mapping[str, Version | None]
    pythons: tuple[str, ...]


class Library(NamedTuple):
    """A library that builds pin: cuDNN, NCCL, the parts of the toolkit, triton.

    Attributes:
        name: the project's normalised name.
        role: what it is whatever its name says about accelerators: `cudnn`, `nccl`, `nvcc`.
        accelerator: the kind and the major that its name states; None if it states none.
        releases: stable, not yanked, oldest first.
        yanked: version -> why it was yanked.
        known_bad: version -> what is wrong with it though it was not yanked; builds that pin it have no other.
        provenance: where the rows are from.
    """

    name: str
    role: str
    accelerator: Accelerator | None
    releases: tuple[LibraryRelease, ...]
    yanked: Mapping[str, str]
    known_bad: Mapping[Version, str]
    provenance: Provenance


class Toolkit(NamedTuple):
    """A release of the CUDA toolkit.

    Attributes:
        version: as `12.8.1`.
        released: the day its meta package was published; None if there is none.
        driver: the driver that came with it, which its PTX needs; None where it is not known.
        drivers: the same on platforms whose drivers are numbered otherwise.
        extras: extra of the meta package -> the requirements behind it.
        provenance: where the row is from.
    """

    version: Version
    released: datetime.date | None
    driver: DriverVersion | None
    drivers: Mapping[str, DriverVersion]
    extras: Mapping[str, tuple[str, ...]]
    provenance: Provenance

    def driver_on(self, platform: str) -> DriverVersion | None:
        """The driver that its PTX needs, as a platform numbers it."""
        return self.drivers.get(platform, self.driver)


class CudnnSupport(NamedTuple):
    """A range of cuDNN for a major of an accelerator: the GPUs that it serves and the driver it asks for.

    Attributes:
        accelerator: the major.
        cudnn: the range.
        gpus: the GPUs that it serves.
        driver: the oldest driver that it runs on.
        drivers: the same on platforms whose drivers are numbered otherwise.
        provenance: where the row is from.
    """

    accelerator: Accelerator
    cudnn: VersionRange
    gpus: Architectures
    driver: DriverVersion
    drivers: Mapping[str, DriverVersion]
    provenance: Provenance

    def driver_on(self, platform: str) -> DriverVersion:
        """The oldest driver that it runs on, as a platform numbers it."""
        return self.drivers.get(platform, self.driver)


class SonameProvider(NamedTuple):
    """A project that gives shared libraries.

    Attributes:
        accelerator: the major that they are for.
        project: its normalised name.
        versions: its releases that were read, the newest of each major; none if the matrix does not record them.
        sonames: what compiled files ask the loader for, on Linux and on Windows.
        provenance: where the row is from.
    """

    accelerator: Accelerator
    project: str
    versions: tuple[Version, ...]
    sonames: tuple[str, ...]
    provenance: Provenance


class Companion(NamedTuple):
    """A project that belongs to releases of a framework, and does not say so in its metadata.

    Attributes:
        project: its normalised name.
        framework: the framework.
        releases: the range of the framework, and that of the project for it; beside other releases it does not work.
        needs: what it imports beside the framework without declaring it.
        provenance: where the row is from.
    """

    project: str
    framework: str
    releases: tuple[tuple[VersionRange, VersionRange], ...]
    needs: tuple[str, ...]
    provenance: Provenance


class Image(NamedTuple):
    """What an image that many people use has installed together.

    Attributes:
        name: as in `--like`.
        title: how people call it.
        python: its CPython minor.
        platform: conda's name of its platform.
        accelerator: the kind and the major that it computes on.
        packages: normalised name -> the version that is installed, with its local label.
        lacks: what is in it that no lock can have, or is not in it though people expect it, each in words.
        provenance: where the row is from.
    """

    name: str
    title: str
    python: str
    platform: str
    accelerator: Accelerator
    packages: Mapping[str, Version]
    lacks: tuple[str, ...]
    provenance: Provenance


class CondaBuild(NamedTuple):
    """One kind of build of a framework on conda's channel.

    Attributes:
        accelerator: the kind and the major it is built for; :data:`CPU` for the CPU.
        platforms: where it is built.
        pythons: the CPython minors it is built for; () where that sets no limit worth knowing.
        provenance: where the row is from.
    """

    accelerator: Accelerator
    platforms: tuple[str, ...]
    pythons: tuple[str, ...]
    provenance: Provenance


class CondaFramework(NamedTuple):
    """A framework as conda's channel has it.

    Attributes:
        packages: the packages to ask for.
        carrier: the one whose build says what it is built for; None if there is nothing to tell apart.
        range: what its version must be in any case.
        builds: what there is of it; () where it is the same everywhere.
        provenance: where the row is from.
    """

    packages: tuple[str, ...]
    carrier: str | None
    range: VersionRange
    builds: tuple[CondaBuild, ...]
    provenance: Provenance


class CondaLimit(NamedTuple):
    """A range in which packages stay on a major of an accelerator."""

    accelerator: Accelerator
    packages: tuple[str, ...]
    range: VersionRange
    provenance: Provenance


class CondaNames(NamedTuple):
    """What conda's main channel calls projects of the Python index, where that is not their normalised name.

    Attributes:
        packages: project -> package.
        provenance: where they are from.
    """

    packages: Mapping[str, str]
    provenance: Provenance


class ProjectNames(NamedTuple):
    """What people write for projects of the package index.

    Attributes:
        projects: what they write, normalised -> the project that is meant.
        usual: projects that stand beside Keras in many places.
        variants: what the names of GPUs may end with -> the names that there are so.
        provenance: where they are from.
    """

    projects: Mapping[str, str]
    usual: tuple[str, ...]
    variants: Mapping[str, tuple[str, ...]]
    provenance: Provenance


class Conda(NamedTuple):
    """What conda's main channel builds.

    Attributes:
        channel: its name.
        kind: the kind of accelerator that it builds for.
        version: the package whose version is that of this accelerator.
        virtual: the virtual package that stands for the newest version that the driver runs.
        architecture: the one that stands for the GPU's compute capability.
        cudnn: the packages that are cuDNN; an environment may have either.
        build: the pattern of build strings for a `{major}` of it.
        cpu_build: that for the CPU.
        virtuals: platform -> virtual packages that a machine is assumed to have: name -> version, with a build or not.
        names: projects of the Python index that are called otherwise: name -> package.
        frameworks: by the name of the project.
        limits: what must be kept in mind about majors of accelerators.
        provenances: where the rows without a record of their own are from.
    """

    channel: str
    kind: str
    version: str
    virtual: str
    architecture: str
    cudnn: tuple[str, ...]
    build: str
    cpu_build: str
    virtuals: Mapping[str, Mapping[str, str]]
    names: Mapping[str, str]
    frameworks: Mapping[str, CondaFramework]
    limits: tuple[CondaLimit, ...]
    provenances: tuple[Provenance, ...]
