"""Why the solver answers as it does: facts, wishes and changes as values. `kgen.explain` puts them into words."""

import datetime
import enum
from typing import NamedTuple

from packaging.version import Version

from kgen.model.accelerator import CPU, Accelerator
from kgen.model.architecture import Architectures, DeviceCode
from kgen.model.driver import DriverVersion
from kgen.model.requestfield import RequestField

REQUEST = "request"
"""The owner of terms that come from the user's request; every other owner is a package."""


class TermKind(str, enum.Enum):
    """What a term is about. Also a string, which hashes fast: hashing terms is most of what the search does."""

    CUTOFF = "cutoff"
    DEPENDENCY = "needs"
    DRIVER = "driver"
    GLIBC = "glibc"
    GPU = "gpu"
    REQUIREMENT = "requirement"


class Term(NamedTuple):
    """A fact or a wish that an incompatibility rests on.

    Attributes:
        owner: the package that the fact belongs to; :data:`REQUEST` for a wish of the user.
        kind: the kind of fact or wish.
        argument: the compute capability, the requirement, or the package depended on; empty for other kinds.
        machine: the target in the settings that the wish belongs to; empty for a fact, or if targets have no names.
    """

    owner: str
    kind: TermKind
    argument: str = ""
    machine: str = ""

    @property
    def sort_key(self) -> str:
        """Groups terms by kind, and requirements by the package that they name."""
        return (
            self.argument
            if self.kind is TermKind.REQUIREMENT
            else f"{self.kind.value} {self.argument} {self.machine}".rstrip()
        )


class Origin(enum.Enum):
    """The origin of a fact that neither a matrix row nor a request field states."""

    CONDA_BASE = "conda-base"
    LOCK = "lock"
    PLATFORM_FLOOR = "platform-floor"
    RESOLVER = "resolver"
    UV = "uv"
    WHEELS = "wheels"


Source = str | RequestField | Origin
"""The source of a fact: the name of a matrix row, a field of the request, or another origin."""

Runs = tuple[tuple[Version, Version], ...]
"""Runs of consecutive releases, each as its first and last release."""


# -- facts -------------------------------------------------------------------------------------------------------------


class Wish(NamedTuple):
    """One thing that the user requests.

    Attributes:
        kind: what it is about.
        value: its value, as text.
        machine: the target in the settings that it belongs to; empty if it belongs to none.
    """

    kind: TermKind
    value: str
    machine: str = ""


class DriverRuns(NamedTuple):
    """A driver supports at least this accelerator; conda's solver assumes that."""

    accelerator: Accelerator


class Spec(NamedTuple):
    """A conda match spec.

    Attributes:
        spec: the match spec, in conda's syntax.
        project: the project of the Python index that it stands for, if its name differs; else empty.
    """

    spec: str
    project: str = ""


class Undated(NamedTuple):
    """Conda packages whose channel does not state when they were published; a cut-off date excludes them all."""

    packages: tuple[str, ...]


class OtherThing(NamedTuple):
    """A conda package that has the name of a Python project but is not a Python package."""

    package: str


class Pythons(NamedTuple):
    """The oldest and the newest CPython minor that has builds."""

    first: str
    last: str


class DoubtKind(enum.Enum):
    """Why kgen avoids a release that is not pinned."""

    YANKED = "yanked"
    KNOWN_BAD = "known-bad"
    PRERELEASE = "pre-release"


class Doubt(NamedTuple):
    """A reason to avoid a release, with the text of its matrix row."""

    kind: DoubtKind
    text: str = ""


class OtherPlatform(NamedTuple):
    """A package has nothing for a platform.

    Attributes:
        platform: the platform.
        known: the platforms that have builds, if they are named.
        without_rows: whether no release at all has a row for the platform.
    """

    platform: str
    known: tuple[str, ...] = ()
    without_rows: bool = False


class BuildPurpose(NamedTuple):
    """What a build computes on.

    Attributes:
        accelerator: the accelerator and version that it was built for; or the CPU.
        own_index: whether only the framework's own index has it.
    """

    accelerator: Accelerator
    own_index: bool = False


class BuiltFor(NamedTuple):
    """What the builds of a release are for.

    Attributes:
        purposes: the purpose of each build.
        platform: the platform, if builds differ between platforms, as on a conda channel.
    """

    purposes: tuple[BuildPurpose, ...]
    platform: str = ""


class CutoffFloor(NamedTuple):
    """The day of the first publication; an earlier cut-off date leaves nothing."""

    day: datetime.date


class GlibcFloor(NamedTuple):
    """The oldest glibc that a build runs on; None for any."""

    glibc: Version | None


class DriverNeeded(NamedTuple):
    """The oldest driver of an accelerator major that something needs."""

    driver: DriverVersion
    accelerator: Accelerator


class GpusOfMajor(NamedTuple):
    """The architectures that an accelerator major supports."""

    gpus: Architectures
    accelerator: Accelerator


class GpusOfBuild(NamedTuple):
    """The architectures that a build has code for.

    Attributes:
        accelerator: the accelerator that it was built for.
        code: the code that it contains.
        failing: architectures on which it fails although it has code for them.
        compiling_driver: the driver that compiles its portable code, where that matters.
    """

    accelerator: Accelerator
    code: DeviceCode
    failing: tuple[Architectures, ...] = ()
    compiling_driver: DriverVersion | None = None


class Bound(NamedTuple):
    """A version range, and the library of models that requires it, if one does."""

    range: str
    library: str = ""


class DependsOn(NamedTuple):
    """A dependency.

    Attributes:
        role: the role of the dependency, such as `cudnn`.
        bounds: the required ranges.
        absent: the Python and the platform for which none of the releases in range exists; None if some exist.
    """

    role: str
    bounds: tuple[Bound, ...]
    absent: tuple[str, str] | None = None


class CudnnServes(NamedTuple):
    """The GPUs that a range of cuDNN supports, and the driver that it needs."""

    cudnn: str
    gpus: str
    driver: DriverVersion


class CudnnServing(NamedTuple):
    """All known ranges of cuDNN for an accelerator."""

    role: str
    rows: tuple[CudnnServes, ...]
    accelerator: Accelerator


class NewestFitting(NamedTuple):
    """The newest release of a library that a requested bound allows; None if it allows none."""

    kind: TermKind
    argument: str
    version: Version | None


class NoRelease(NamedTuple):
    """The matrix has no row for any release in a range.

    Attributes:
        bound: the range.
        nearest: the known releases just below and above the version that the range names; () if it does not name one
            version.
        newest: the newest known release.
        nightly: whether the range names a nightly build; the matrix has no rows for those.
    """

    bound: str
    nearest: tuple[Version, ...]
    newest: Version
    nightly: bool = False


class LabelledBuilds(NamedTuple):
    """A release has no build with the requested local version label, or has it for something else.

    Attributes:
        version: the release, without a label.
        label: the requested label.
        built_for: what the build with this label is for; None if the matrix has no row for it on the platform.
        platform: the platform.
        others: the labels of the builds there, each with what it is for; the empty label is the package index's build.
    """

    version: Version
    label: str
    built_for: Accelerator | None
    platform: str
    others: tuple[tuple[str, Accelerator], ...]


class GoesWith(NamedTuple):
    """The framework releases that a requested package belongs to, which its metadata does not declare."""

    framework: str
    releases: Runs


class NotFound(NamedTuple):
    """The resolver did not find the package."""

    packages: tuple[tuple[str, Version], ...]


Fact = (
    Wish
    | DriverRuns
    | Spec
    | OtherThing
    | Undated
    | Pythons
    | Doubt
    | OtherPlatform
    | BuiltFor
    | CutoffFloor
    | GlibcFloor
    | DriverNeeded
    | GpusOfMajor
    | GpusOfBuild
    | DependsOn
    | CudnnServing
    | NewestFitting
    | NoRelease
    | LabelledBuilds
    | GoesWith
    | NotFound
)


class Stated(NamedTuple):
    """A fact, and the releases that it holds for."""

    fact: Fact
    releases: Runs = ()


class Cause(NamedTuple):
    """One of the facts or wishes that exclude each other.

    Attributes:
        subject: a package, an environment, or :data:`REQUEST` for a wish of the user.
        facts: the facts or wishes, those of the newest releases first; at least one.
        source: the source of the first one.
        releases: the releases of the subject that they are about.
    """

    subject: str
    facts: tuple[Stated, ...]
    source: Source
    releases: Runs = ()


# -- why this version --------------------------------------------------------------------------------------------------


class HindranceKind(enum.Enum):
    """What excludes a newer release."""

    AVOIDED = "avoided"
    BUILT_FOR = "built-for"
    DEPENDENCY = "dependency"
    KEPT_LOCK = "kept-lock"
    PLATFORM = "platform"
    PYTHON = "python"
    REQUEST = "request"


class Hindrance(NamedTuple):
    """One thing that is enough to exclude a newer release.

    Attributes:
        kind: what it is.
        fact: the fact or wish behind it; None if the kind says everything.
        wish: the user's wish that alone leaves no release of a dependency; None if there is none.
    """

    kind: HindranceKind
    fact: Fact | None = None
    wish: Wish | None = None


class Newer(NamedTuple):
    """The next newer release, and what excludes it; None if only another framework in the environment does."""

    version: Version
    hindrance: Hindrance | None = None
    accelerator: Accelerator | None = None


class Company(NamedTuple):
    """Another framework in the environment that excludes the next release of a framework.

    Attributes:
        package: the other framework.
        version: its release.
        role: the package that both depend on; the framework's own name if the other one requires it directly.
        theirs: the other framework's requirement for it.
        ours: the next release's requirement for it; None if the other one requires the framework itself.
        newer: the next release.
    """

    package: str
    version: Version
    role: str
    theirs: Bound
    ours: Bound | None
    newer: Version


class Unstated(NamedTuple):
    """A package that depends on another without declaring it, and its version; no version if all of its versions do."""

    owner: str
    version: Version | None
    requirement: str


class Replacement(NamedTuple):
    """A project that replaces another, and the module that both provide."""

    other: str
    module: str


class ComputesOn(enum.Enum):
    """What a framework that is only imported computes on."""

    CPU_BUILD = "cpu-build"
    FOREIGN = "foreign"
    CPU_FOR_LACK = "cpu-for-lack"


class Computing(NamedTuple):
    """What a framework that is only imported computes on, and whose libraries it uses.

    Attributes:
        on: the device.
        accelerator: the accelerator that it is built for, if it may compute on one; else the environment's.
        frameworks: the frameworks whose accelerator libraries are in the environment; () on the CPU.
        cudnn: the cuDNN that they then share.
    """

    on: ComputesOn
    accelerator: Accelerator = CPU
    frameworks: tuple[str, ...] = ()
    cudnn: Version | None = None


class Import(NamedTuple):
    """The packages that import a framework which is no backend of the environment.

    Attributes:
        importers: the packages.
        whole: whether they require the framework under its own name.
        computing: what it computes on.
    """

    importers: tuple[str, ...]
    whole: bool
    computing: Computing


class SeenTraining(NamedTuple):
    """Receipts saw this version train, and the request takes them into account.

    Attributes:
        receipts: the number of independent receipts.
        devices: the devices, such as `NVIDIA H200 (driver 570.1)`.
        otherwise: the version that the solver would choose without receipts.
    """

    receipts: int
    devices: tuple[str, ...]
    otherwise: Version


class SetAside(NamedTuple):
    """The resolver found no solution with a newer release.

    Attributes:
        newer: the newest release that was tried.
        why: the conflicting requirements, or the resolver's other facts.
    """

    newer: Version
    why: str


class SharedRelease(NamedTuple):
    """Several environments use the same version, so that its files are on disk only once.

    Attributes:
        environments: the other environments that use it.
    """

    environments: tuple[str, ...]


class NewestRelease(enum.Enum):
    """There is no newer release."""

    NEWEST = "newest"


Ground = (
    NewestRelease
    | Newer
    | Company
    | Unstated
    | Replacement
    | Import
    | DependsOn
    | SeenTraining
    | SetAside
    | SharedRelease
)


class Reason(NamedTuple):
    """Why a package is locked, and why in this version.

    Attributes:
        package: the package.
        version: its version; None if the reason holds for any version.
        ground: the reason itself.
        sources: its sources: names of matrix rows, or receipts.
        replaces: the partial distribution of the framework that is left out, because a dependency requires the whole
            one.
    """

    package: str
    version: Version | None
    ground: Ground
    sources: tuple[str, ...]
    replaces: str = ""


# -- what to mention ---------------------------------------------------------------------------------------------------


class WarningKind(enum.Enum):
    """What a careful colleague would mention."""

    END_OF_SUPPORT = "end-of-support"
    EXTRA_LEFT_OUT = "extra-left-out"
    GPUS_UNKNOWN = "gpus-unknown"
    KNOWN_BAD = "known-bad"
    OWN_KERAS = "own-keras"
    PRERELEASE = "pre-release"
    REPUBLISHED = "republished"
    YANKED = "yanked"


class Warning(NamedTuple):  # noqa: A001 - what it is called everywhere
    """Something worth mentioning about a resolution.

    Attributes:
        kind: what it is about.
        name: the package, or the title that people use for it.
        version: the release, if it is about one.
        text: the text of the matrix row.
        day: the day from which it holds.
        cutoff: the requested cut-off date, if that plays a part.
        accelerator: the accelerator, if it is about one.
    """

    kind: WarningKind
    name: str
    version: Version | None = None
    text: str = ""
    day: datetime.date | None = None
    cutoff: datetime.date | None = None
    accelerator: Accelerator | None = None


# -- refusals and ways out ---------------------------------------------------------------------------------------------


class RefusalKind(enum.Enum):
    """Why there is no solution."""

    CHANNEL_LACKS_BUILD = "channel-lacks-build"
    CHANNELS_LACK_PACKAGES = "channels-lack-packages"
    ELSEWHERE = "elsewhere"
    EXHAUSTED = "exhausted"
    FORWARD = "forward"
    INCOMPATIBLE = "incompatible"
    NO_PYTHON = "no-python"
    NO_ROW = "no-row"
    NOT_YET_RELEASED = "not-yet-released"
    WHEELS_ONLY = "wheels-only"


class ForwardRun(NamedTuple):
    """An older driver works all the same, with a package of its vendor.

    Attributes:
        driver: the installed driver.
        package: the package.
        brings: the driver branch that the package provides.
        devices: the devices that it supports.
    """

    driver: DriverVersion
    package: str
    brings: DriverVersion
    devices: tuple[str, ...]


class Refusal(NamedTuple):
    """Something that is not available, or a remark about where it is.

    Attributes:
        kind: why.
        names: the titles of the frameworks, of the generation, or of the channels.
        text: the text of the matrix row, or the channel that lacks it.
        day: the day of the first release, if that is the reason.
        forward: how an older driver works all the same, if that is known.
    """

    kind: RefusalKind
    names: tuple[str, ...] = ()
    text: str = ""
    day: datetime.date | None = None
    forward: ForwardRun | None = None


class Change(NamedTuple):
    """A change of one field of a request.

    Attributes:
        field: the field.
        value: its new value, an accelerator or text; None to remove it.
        dropped: the value that is removed, if the field holds one or several.
    """

    field: RequestField
    value: str | Accelerator | None
    dropped: str = ""


# -- what makes a closed lock unfit ------------------------------------------------------------------------------------


class WrongVersion(NamedTuple):
    """A package is missing, or has another version than the solver decided.

    Attributes:
        package: the package.
        decided: the solver's version.
        locked: the version in the lock; None if it is missing.
    """

    package: str
    decided: Version
    locked: Version | None


class LacksLibrary(NamedTuple):
    """A library that the chosen builds need is missing."""

    package: str


class OtherAccelerator(NamedTuple):
    """A package is for another accelerator kind or major than its environment.

    Attributes:
        package: the package.
        version: its version.
        own: what the package is for.
        wanted: what the environment is for.
    """

    package: str
    version: Version
    own: Accelerator
    wanted: Accelerator


class SeveralLibraries(NamedTuple):
    """A library that a process can load only once is present under several names.

    Attributes:
        title: the name that people use for the library.
        packages: the packages and their versions.
    """

    title: str
    packages: tuple[tuple[str, Version], ...]


class CpuBuild(NamedTuple):
    """A framework is built for the CPU only.

    Attributes:
        package: the package.
        version: its version.
        wanted: what the environment is for.
    """

    package: str
    version: Version
    wanted: Accelerator


class OneModule(NamedTuple):
    """Two projects provide the same module."""

    first: str
    second: str
    module: str


class OverlappingFiles(NamedTuple):
    """Two wheels own the same paths with different content; `paths` is sorted."""

    first: str
    second: str
    paths: tuple[str, ...]


class NeedsOtherMajor(NamedTuple):
    """A compiled file needs a library of another major than its environment's.

    Attributes:
        package: the package that contains the file.
        version: its version.
        file: the path inside its wheel.
        sonames: the libraries that it needs; sorted.
        wanted: what the environment is for.
    """

    package: str
    version: Version
    file: str
    sonames: tuple[str, ...]
    wanted: Accelerator


class NeedsMissing(NamedTuple):
    """Compiled files need libraries that no package in the lock provides.

    Attributes:
        package: the package that contains the files.
        version: its version.
        file: the path inside its wheel of the file that needs the first of them.
        sonames: the libraries -> the project that provides each; sorted.
    """

    package: str
    version: Version
    file: str
    sonames: tuple[tuple[str, str], ...]


LockFault = (
    WrongVersion
    | LacksLibrary
    | OtherAccelerator
    | SeveralLibraries
    | CpuBuild
    | OneModule
    | OverlappingFiles
    | NeedsOtherMajor
    | NeedsMissing
)
