"""The records of the matrix. Each row states its source and the day on which somebody checked it.

They are named tuples because importing a module of named tuples is five times as fast as importing one of frozen data
classes, and a question to the solver should take milliseconds. Always create them by keyword.
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
    """The source of a row and the day on which somebody checked it."""

    source: str
    checked: datetime.date


class AcceleratorMajor(NamedTuple):
    """A major version of an accelerator kind, such as CUDA 12.

    Attributes:
        accelerator: the kind with this major; without a version where the kind has none.
        driver: the oldest driver that any build for this major runs on; None if no such driver is known.
        drivers: the same for platforms that number their drivers differently.
        architectures: the architectures that its compiler targets.
        provenance: the source of the row.
    """

    accelerator: Accelerator
    driver: DriverVersion | None
    drivers: Mapping[str, DriverVersion]
    architectures: Architectures
    provenance: Provenance

    def driver_on(self, platform: str) -> DriverVersion | None:
        """The oldest driver that any build for this major runs on, in the platform's numbering."""
        return self.drivers.get(platform, self.driver)


class ForwardPackage(NamedTuple):
    """A vendor's package that lets an older driver run code for a newer one, on some GPUs (CUDA forward compatibility).

    Attributes:
        name: the vendor's name for it: `cuda-compat-12-9`.
        accelerator: the kind and minor version that it runs.
        platforms: the platforms that have the package.
        driver: the driver branch whose libraries it contains.
        bases: the driver branches that it works on.
        provenance: the source of the row.
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
        name: its name in all matrix files, and the name of its module.
        majors: its majors, oldest first; a kind without versions has one row, with major 0.
        platforms: the platforms on which it can be used.
        glibc: the assumed glibc floor if the request names none; None for the platform's floor.
        runtime: the role of its runtime library, whose version is that of the environment; None if no package provides
            it.
        unique: the roles of libraries that an environment can contain only once -> the name that people use for them.
        versioned: the roles of packages whose own version is that of the kind.
        toolkit: the meta package whose extras stand for libraries; None if there is none.
        packages: a pattern for names of packages that belong to one major, in its group `major`; None if names do not
            tell.
        architectures: device name -> its architecture.
        exact: architectures that run only their own machine code, where others also run that of older ones of the same
            family.
        built_in: platform -> architectures whose devices exist only in machines of this platform.
        data_center: the `architectures` for which the vendor supports forward-compatibility packages.
        forward: the forward-compatibility packages.
        hiding: variables that hide devices from a process. The first selects devices by their index among those that
            the others leave visible, the last selects them by name.
        environment: variables that a process must have.
        devices: module of a framework -> that framework's name for a device of this kind.
        provenance: the source of the row.
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
        """The only platform whose machines have devices of this architecture; None if they may be in any machine."""
        return next((platform for platform, several in self.built_in.items() if architecture in several), None)


class PythonMinor(NamedTuple):
    """A CPython minor version and the day of its final release."""

    version: str
    released: datetime.date
    provenance: Provenance


class Platform(NamedTuple):
    """A target platform.

    Attributes:
        name: the conda subdir, such as `linux-64`.
        markers: values of the environment markers (PEP 508) that depend on the platform.
        glibc: the assumed floor if the request names none; None on a platform without glibc.
        macos: the assumed macOS floor; None on other systems.
        uv: uv's name for the platform, in which `{glibc}` stands for the floor, written with an underscore.
        uv_glibc: the glibc floors that uv accepts.
        provenance: the source of the row.
    """

    name: str
    markers: Mapping[str, str]
    glibc: Version | None
    macos: Version | None
    uv: str
    uv_glibc: tuple[Version, ...]
    provenance: Provenance

    def marker_environment(self, python: str, extra: str = "") -> dict[str, str]:
        """A value for every environment marker (PEP 508) of CPython on this platform.

        `packaging` fills in a missing marker from the machine that it runs on, which is the wrong one here. The release
        and version of the target's kernel are unknown and left empty, as uv does.

        Args:
            python: the minor version, such as `3.12`; its first patch release stands for all.
            extra: the requested extra; empty for none.
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
    """The end of upstream support.

    Attributes:
        day: the last day of support.
        why: what upstream announced, and what replaces it.
    """

    day: datetime.date
    why: str


class SourceDistribution(NamedTuple):
    """A release without wheels, which has to be built from source.

    Attributes:
        name: the project's normalised name.
        version: its version.
        requires: its run-time requirements; its metadata reveals them only when it is built.
        build: the exact requirements of its build.
        provenance: the source of the row.
    """

    name: str
    version: Version
    requires: tuple[str, ...]
    build: tuple[str, ...]
    provenance: Provenance


class ModelLibrary(NamedTuple):
    """A library of models for Keras, and what it imports without declaring it.

    Attributes:
        name: its normalised name.
        needs: the undeclared requirements.
        provenance: the source of the row.
    """

    name: str
    needs: tuple[str, ...]
    provenance: Provenance


class Generation(NamedTuple):
    """A generation of Keras: a project, a range of its releases, and what its backends have in common.

    Attributes:
        name: its name in `--generation`.
        title: the name that people use.
        package: the project; it has a matrix file of its own.
        module: the module that programs import.
        range: the releases that belong to the generation.
        pythons: the CPython minors that it supports.
        since: the day of its first release.
        ended: the end of its support; None while it is supported.
        home: the variable that names Keras's folder.
        configuration: file name in Keras's folder -> its text, in which `{backend}` stands for the backend.
        shared: folders beside these files for downloads, which environments share.
        hubs: field, such as `cv` -> the requirements that add this generation's library of models for it.
        libraries: the libraries of models that import more than they declare.
        sources: what may be built from source in environments of this generation only.
        provenance: the source of the row.
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
        name: kgen's name for it: the value of `KERAS_BACKEND`, after the generation's name unless that is the default.
        generation: the generation of Keras that it belongs to.
        framework: the project that implements it; it has a matrix file of its own.
        instead_of: the backend that this one replaces if a requirement names its framework; None for most.
        releases: the range of the framework's releases that it works with.
        default: whether kgen locks it if the request names no backend.
        accelerated: whether it can use an accelerator.
        elsewhere: where to get a build for a GPU, if the index has none from its time.
        keras: the range of Keras releases that have this backend.
        needs: what Keras imports for it without declaring it.
        programs: Debian packages with the programs that a compiled step runs and no Python package provides.
        environment: variables that select the backend.
        places: further variables, in which `{prefix}` stands for the environment's folder.
        step: the validation program that trains on it.
        provenance: the source of the row.
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
        """The value of `KERAS_BACKEND` for it."""
        return self.environment.get("KERAS_BACKEND", self.name)

    @property
    def short(self) -> str:
        """The name that people use for it within its generation."""
        return self.selected if self.instead_of is None else self.name.removeprefix(f"{self.generation}-")


class GpuFailure(NamedTuple):
    """GPUs that a build seems to support but does not."""

    gpus: Architectures
    reason: str
    source: str


class Build(NamedTuple):
    """One build of a release: what it was built for, what it needs, what it supports.

    Attributes:
        accelerator: the accelerator and toolkit version that it was built for; :data:`CPU` for a CPU build.
        pythons: the CPython minors that have a wheel.
        platforms: platform -> the glibc that its wheels need; None where glibc does not apply.
        install: requirements with which an installer selects exactly this build.
        requires: its requirements for packages that the matrix covers, as the wheel states them.
        adds: requirements that the wheel should state but does not -> source.
        code: the architectures that it contains code for.
        gpu_failures: GPUs that its code seems to support but does not.
        local: the local version label of a build that only the framework's own index has.
        beside: projects that it needs and that must also come from that index, because the package index has unrelated
            files under their names.
        known_bad: why kgen avoids this build but not others of its release.
        republished: project -> the day from which the index has the files that are installed, if they had been deleted
            and uploaded again.
        provenance: the source of the row.
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
        released: the day on which its first file was published.
        yanked: the reason why it was yanked; None if it was not.
        known_bad: why kgen avoids it although it was not yanked.
        builds: its builds.
    """

    version: Version
    released: datetime.date
    yanked: str | None
    known_bad: str | None
    builds: tuple[Build, ...]


class Elsewhere(NamedTuple):
    """Where to get GPU builds of releases for which the index has none that works.

    Attributes:
        releases: the releases.
        text: the place, as a sentence.
        accelerator: the requested accelerator kind that it applies to; None for any.
        major: the requested major that it applies to; None for any.
        platforms: the requested platforms that it applies to; () for any.
        gpus: it applies if the request names one of these GPUs; None if GPUs do not matter.
        own_index: whether it only says that the framework's own index has them, for users who did not request that
            index.
        written_for: project that the text mentions -> its newest release when the text was written.
        provenance: the source of the row.
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
        """Whether it applies to a release, an accelerator and a platform, regardless of GPUs."""
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
        title: the name that people use.
        releases: its releases, oldest first.
        ended: the end of its support; None while it is supported.
        module: the module that it provides; two projects that provide the same one cannot share an environment.
        elsewhere: where to get GPU builds that the index lacks.
    """

    name: str
    title: str
    releases: tuple[Release, ...]
    ended: Ended | None = None
    module: str = ""
    elsewhere: tuple[Elsewhere, ...] = ()


class LibraryRelease(NamedTuple):
    """A release of a library: the day of its publication, and what its wheels are compatible with."""

    version: Version
    released: datetime.date
    platforms: Mapping[str, Version | None]
    pythons: tuple[str, ...]


class Library(NamedTuple):
    """A library that builds pin: cuDNN, NCCL, the parts of the toolkit, triton.

    Attributes:
        name: the project's normalised name.
        role: what it is, independent of accelerator suffixes in its name: `cudnn`, `nccl`, `nvcc`.
        accelerator: the kind and major that its name states; None if it states none.
        releases: its stable releases that were not yanked, oldest first.
        yanked: version -> the reason why it was yanked.
        known_bad: version -> what is wrong with it although it was not yanked; builds that pin it have no alternative.
        provenance: the source of the rows.
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
        version: its version, such as `12.8.1`.
        released: the day on which its meta package was published; None if there is none.
        driver: the driver that was released with it, which its PTX code needs; None if unknown.
        drivers: the same for platforms that number their drivers differently.
        extras: extra of the meta package -> the requirements that it stands for.
        provenance: the source of the row.
    """

    version: Version
    released: datetime.date | None
    driver: DriverVersion | None
    drivers: Mapping[str, DriverVersion]
    extras: Mapping[str, tuple[str, ...]]
    provenance: Provenance

    def driver_on(self, platform: str) -> DriverVersion | None:
        """The driver that its PTX code needs, in the platform's numbering."""
        return self.drivers.get(platform, self.driver)


class CudnnSupport(NamedTuple):
    """A range of cuDNN releases for an accelerator major: the GPUs that it supports and the driver that it needs.

    Attributes:
        accelerator: the kind and major.
        cudnn: the range.
        gpus: the GPUs that it supports.
        driver: the oldest driver that it runs on.
        drivers: the same for platforms that number their drivers differently.
        provenance: the source of the row.
    """

    accelerator: Accelerator
    cudnn: VersionRange
    gpus: Architectures
    driver: DriverVersion
    drivers: Mapping[str, DriverVersion]
    provenance: Provenance

    def driver_on(self, platform: str) -> DriverVersion:
        """The oldest driver that it runs on, in the platform's numbering."""
        return self.drivers.get(platform, self.driver)


class SonameProvider(NamedTuple):
    """A project that provides shared libraries.

    Attributes:
        accelerator: the kind and major that they are for.
        project: its normalised name.
        versions: the releases that were inspected, the newest of each major; empty if the matrix does not record them.
        sonames: the names under which compiled files request these libraries, on Linux and on Windows.
        provenance: the source of the row.
    """

    accelerator: Accelerator
    project: str
    versions: tuple[Version, ...]
    sonames: tuple[str, ...]
    provenance: Provenance


class Companion(NamedTuple):
    """A project that belongs to certain releases of a framework but does not declare that.

    Attributes:
        project: its normalised name.
        framework: the framework.
        releases: range of the framework -> the range of the project that works with it; other pairs do not work.
        needs: what it imports besides the framework without declaring it.
        provenance: the source of the row.
    """

    project: str
    framework: str
    releases: tuple[tuple[VersionRange, VersionRange], ...]
    needs: tuple[str, ...]
    provenance: Provenance


class Image(NamedTuple):
    """The packages that a widely used image has installed.

    Attributes:
        name: its name in `--like`.
        title: the name that people use.
        python: its CPython minor.
        platform: its platform, as a conda subdir.
        accelerator: the kind and major that it computes on.
        packages: normalised name -> the installed version, with its local label.
        lacks: what the image contains and no lock can, or lacks although people expect it, each in words.
        provenance: the source of the row.
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
    """A kind of build of a framework on the conda channel.

    Attributes:
        accelerator: the kind and major that it is built for; :data:`CPU` for the CPU.
        platforms: the platforms that have it.
        pythons: the CPython minors that have it; () if that sets no practical limit.
        provenance: the source of the row.
    """

    accelerator: Accelerator
    platforms: tuple[str, ...]
    pythons: tuple[str, ...]
    provenance: Provenance


class CondaFramework(NamedTuple):
    """A framework on the conda channel.

    Attributes:
        packages: the packages to request.
        carrier: the package whose build string tells what it is built for; None if there is only one kind of build.
        range: the range that its version must be in.
        builds: its kinds of builds; () if the build is the same everywhere.
        provenance: the source of the row.
    """

    packages: tuple[str, ...]
    carrier: str | None
    range: VersionRange
    builds: tuple[CondaBuild, ...]
    provenance: Provenance


class CondaLimit(NamedTuple):
    """A range that keeps packages on a major of an accelerator."""

    accelerator: Accelerator
    packages: tuple[str, ...]
    range: VersionRange
    provenance: Provenance


class CondaNames(NamedTuple):
    """The conda names of projects whose name on the main channel differs from their normalised name.

    Attributes:
        packages: project -> package.
        provenance: the source of the rows.
    """

    packages: Mapping[str, str]
    provenance: Provenance


class ProjectNames(NamedTuple):
    """Common names that people type for projects of the package index.

    Attributes:
        projects: what people type, normalised -> the project that they mean.
        usual: projects that are often installed together with Keras.
        variants: suffix of a GPU name -> the GPUs that exist with it.
        provenance: the source of the rows.
    """

    projects: Mapping[str, str]
    usual: tuple[str, ...]
    variants: Mapping[str, tuple[str, ...]]
    provenance: Provenance


class Conda(NamedTuple):
    """What conda's main channel builds.

    Attributes:
        channel: its name.
        kind: the accelerator kind that it builds for.
        version: the package whose version is that of this accelerator.
        virtual: the virtual package for the newest accelerator version that the driver supports.
        architecture: the virtual package for the GPU's compute capability.
        cudnn: the packages that provide cuDNN; an environment may have either.
        build: the pattern of build strings for a `{major}` of the accelerator.
        cpu_build: the pattern of build strings for the CPU.
        virtuals: platform -> the virtual packages that kgen assumes for a machine: name -> version, optionally with a
            build.
        names: project of the Python index -> its package, where the names differ.
        frameworks: the frameworks, by project name.
        limits: the ranges that keep packages on an accelerator major.
        provenances: the sources of the rows that have no record of their own.
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
