"""Why the solver answers as it does: facts, wishes and changes as values. The words for them are in `kgen.explain`."""

import datetime
import enum
from typing import NamedTuple

from packaging.version import Version

from kgen.model.accelerator import CPU, Accelerator
from kgen.model.architecture import Architectures, DeviceCode
from kgen.model.driver import DriverVersion
from kgen.model.requestfield import RequestField

REQUEST = "request"
"""What owns a term that the user asked for; every other owner is a package."""


class TermKind(str, enum.Enum):
    """What a term is about. A string as well, so that it is hashed as fast as one: the search does little else."""

    CUTOFF = "cutoff"
    DEPENDENCY = "needs"
    DRIVER = "driver"
    GLIBC = "glibc"
    GPU = "gpu"
    REQUIREMENT = "requirement"


class Term(NamedTuple):
    """A fact or a wish that an incompatibility rests on.

    Attributes:
        owner: the package whose fact it is; :data:`REQUEST` for what the user asked.
        kind: which of its facts or wishes.
        argument: the compute capability, the requirement, or the package that is depended on; empty elsewhere.
        machine: the target of the settings that is wished for; empty for a fact, and where targets are not named.
    """

    owner: str
    kind: TermKind
    argument: str = ""
    machine: str = ""

    @property
    def sort_key(self) -> str:
        """Terms of one kind stand together, requirements by what they are about."""
        return (
            self.argument
            if self.kind is TermKind.REQUIREMENT
            else f"{self.kind.value} {self.argument} {self.machine}".rstrip()
        )


class Origin(enum.Enum):
    """Where something is from that no row of the matrix says and no field of the request."""

    CONDA_BASE = "conda-base"
    LOCK = "lock"
    PLATFORM_FLOOR = "platform-floor"
    RESOLVER = "resolver"
    UV = "uv"
    WHEELS = "wheels"


Source = str | RequestField | Origin
"""Where a fact is from: the name of a row of the matrix, a field of the request, or another origin."""

Runs = tuple[tuple[Version, Version], ...]
"""Releases as runs of neighbours, each by its first and last."""


# -- facts -------------------------------------------------------------------------------------------------------------


class Wish(NamedTuple):
    """What the user asks for.

    Attributes:
        kind: of what.
        value: its value, as text.
        machine: the target of the settings that has it; empty where it is none of theirs.
    """

    kind: TermKind
    value: str
    machine: str = ""


class DriverRuns(NamedTuple):
    """A driver that runs at least this accelerator, which conda's solver takes for granted."""

    accelerator: Accelerator


class Spec(NamedTuple):
    """A match spec of conda.

    Attributes:
        spec: as conda writes it.
        project: the project of the Python index that it stands for, where that has another name; empty for none.
    """

    spec: str
    project: str = ""


class Undated(NamedTuple):
    """Packages of conda whose channel does not say when they were published: no cut-off lets them in."""

    packages: tuple[str, ...]


class OtherThing(NamedTuple):
    """A package of conda that has the name of a project of the Python index, and is nothing for Python."""

    package: str


class Pythons(NamedTuple):
    """The oldest and the newest CPython that there are builds for."""

    first: str
    last: str


class DoubtKind(enum.Enum):
    """Why a release that was not pinned is avoided."""

    YANKED = "yanked"
    KNOWN_BAD = "known-bad"
    PRERELEASE = "pre-release"


class Doubt(NamedTuple):
    """That a release is to be avoided, and what its row says about it."""

    kind: DoubtKind
    text: str = ""


class OtherPlatform(NamedTuple):
    """That there is nothing for a platform.

    Attributes:
        platform: the platform.
        known: the platforms that there are builds for, where they are named.
        without_rows: whether no release at all has a row for it.
    """

    platform: str
    known: tuple[str, ...] = ()
    without_rows: bool = False


class BuildPurpose(NamedTuple):
    """What a build computes on.

    Attributes:
        accelerator: with the version that it was built for; or the CPU.
        own_index: whether only the framework's own index has it.
    """

    accelerator: Accelerator
    own_index: bool = False


class BuiltFor(NamedTuple):
    """What the builds of a release are for.

    Attributes:
        purposes: of each build.
        platform: the platform, where it matters: a conda channel has other builds on others.
    """

    purposes: tuple[BuildPurpose, ...]
    platform: str = ""


class CutoffFloor(NamedTuple):
    """The first day on which something had been published."""

    day: datetime.date


class GlibcFloor(NamedTuple):
    """The oldest glibc that a build runs on; None for any."""

    glibc: Version | None


class DriverNeeded(NamedTuple):
    """The oldest driver of a major of an accelerator."""

    driver: DriverVersion
    accelerator: Accelerator


class GpusOfMajor(NamedTuple):
    """The architectures that a major of an accelerator is for."""

    gpus: Architectures
    accelerator: Accelerator


class GpusOfBuild(NamedTuple):
    """The architectures that a build has code for.

    Attributes:
        accelerator: what it was built for.
        code: what it has.
        failing: those on which it fails all the same.
        compiling_driver: the driver that compiles its portable code, where that matters.
    """

    accelerator: Accelerator
    code: DeviceCode
    failing: tuple[Architectures, ...] = ()
    compiling_driver: DriverVersion | None = None


class Bound(NamedTuple):
    """A range of a package, and the library of models that asks for it, if one does."""

    range: str
    library: str = ""


class DependsOn(NamedTuple):
    """A dependency.

    Attributes:
        role: what it is, as `cudnn`.
        bounds: the ranges that are asked of it.
        absent: the Python and the platform that none of these releases is for; None where there are some.
    """

    role: str
    bounds: tuple[Bound, ...]
    absent: tuple[str, str] | None = None


class CudnnServes(NamedTuple):
    """Which GPUs a range of cuDNN serves, and from which driver."""

    cudnn: str
    gpus: str
    driver: DriverVersion


class CudnnServing(NamedTuple):
    """All that is known of the cuDNN for an accelerator."""

    role: str
    rows: tuple[CudnnServes, ...]
    accelerator: Accelerator


class NewestFitting(NamedTuple):
    """The newest release of a library that something asked for leaves; None where it leaves none."""

    kind: TermKind
    argument: str
    version: Version | None


class NoRelease(NamedTuple):
    """That the matrix knows no release of a package that a range holds.

    Attributes:
        bound: the range.
        nearest: the releases next to what the range names, the older one first; () where that is not one version.
        newest: the newest release that is known.
        nightly: whether the range names a nightly build, of which the matrix has no rows.
    """

    bound: str
    nearest: tuple[Version, ...]
    newest: Version
    nightly: bool = False


class LabelledBuilds(NamedTuple):
    """That a release has no build of the label that is asked for, or has it for something else.

    Attributes:
        version: the release, without a label.
        label: the label that is asked for.
        built_for: what the build of this label is for; None where the matrix has no row of it on the platform.
        platform: the platform.
        others: the labels of the builds there, each with what it is for; an empty one is of the package index.
    """

    version: Version
    label: str
    built_for: Accelerator | None
    platform: str
    others: tuple[tuple[str, Accelerator], ...]


class GoesWith(NamedTuple):
    """The releases of a framework that a package which is asked for belongs to, and does not say so itself."""

    framework: str
    releases: Runs


class NotFound(NamedTuple):
    """That the resolver did not find it."""

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
    """A fact, and the releases that it is one of."""

    fact: Fact
    releases: Runs = ()


class Cause(NamedTuple):
    """One of the facts or wishes that exclude each other.

    Attributes:
        subject: whose: a package, an environment, or :data:`REQUEST` for what the user asked.
        facts: what it is or wants, the newest releases first; at least one.
        source: where the newest of them is from.
        releases: the releases of the subject that are spoken of.
    """

    subject: str
    facts: tuple[Stated, ...]
    source: Source
    releases: Runs = ()


# -- why this version --------------------------------------------------------------------------------------------------


class HindranceKind(enum.Enum):
    """What keeps a newer release out."""

    AVOIDED = "avoided"
    BUILT_FOR = "built-for"
    DEPENDENCY = "dependency"
    KEPT_LOCK = "kept-lock"
    PLATFORM = "platform"
    PYTHON = "python"
    REQUEST = "request"


class Hindrance(NamedTuple):
    """What keeps a newer release out, by itself.

    Attributes:
        kind: what.
        fact: the fact or wish behind it; None where the kind says all.
        wish: what the user asked for that alone leaves no release of a dependency; None where none does.
    """

    kind: HindranceKind
    fact: Fact | None = None
    wish: Wish | None = None


class Newer(NamedTuple):
    """The next newer release, and what keeps it out; None where only its company does."""

    version: Version
    hindrance: Hindrance | None = None
    accelerator: Accelerator | None = None


class Company(NamedTuple):
    """What stands beside a framework and keeps its next release out.

    Attributes:
        package: the other framework.
        version: its release.
        role: what both depend on; the framework's own name where the other one asks for it.
        theirs: what the other one asks of it.
        ours: what the next release asks of it; None where the other one asks for the framework itself.
        newer: the next release.
    """

    package: str
    version: Version
    role: str
    theirs: Bound
    ours: Bound | None
    newer: Version


class Unstated(NamedTuple):
    """Who depends on a package without stating it, and on which of it; no version where all of its versions do."""

    owner: str
    version: Version | None
    requirement: str


class Replacement(NamedTuple):
    """A project that comes in the place of another, and the module that both are."""

    other: str
    module: str


class ComputesOn(enum.Enum):
    """What a framework that is only imported computes on."""

    CPU_BUILD = "cpu-build"
    FOREIGN = "foreign"
    CPU_FOR_LACK = "cpu-for-lack"


class Computing(NamedTuple):
    """What a framework that is only imported computes on, and with whose libraries.

    Attributes:
        on: what.
        accelerator: the accelerator that it is built for, where it may compute with that; else that of the environment.
        frameworks: whose accelerator's libraries there are; () on the CPU.
        cudnn: the cuDNN that both have then.
    """

    on: ComputesOn
    accelerator: Accelerator = CPU
    frameworks: tuple[str, ...] = ()
    cudnn: Version | None = None


class Import(NamedTuple):
    """Who imports a framework that no backend is of.

    Attributes:
        importers: who.
        whole: whether they require it by its own name.
        computing: what it computes on.
    """

    importers: tuple[str, ...]
    whole: bool
    computing: Computing


class SeenTraining(NamedTuple):
    """That receipts saw a version train, and were to count.

    Attributes:
        receipts: how many independent ones.
        devices: where, as `NVIDIA H200 (driver 570.1)`.
        otherwise: the version that would have been taken without them.
    """

    receipts: int
    devices: tuple[str, ...]
    otherwise: Version


class SetAside(NamedTuple):
    """That the resolver could not close a newer release with what is asked for.

    Attributes:
        newer: the newest release that was tried.
        why: who requires what of it, or the resolver's other facts.
    """

    newer: Version
    why: str


class SharedRelease(NamedTuple):
    """That environments which stand side by side have one version of it, whose files are on disk once.

    Attributes:
        environments: the others that have it.
    """

    environments: tuple[str, ...]


class NewestRelease(enum.Enum):
    """That nothing is newer."""

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
    """Why a package is there, in the version that it has.

    Attributes:
        package: what it is about.
        version: which of it; None where any would be there.
        ground: why.
        sources: where that is from: names of rows of the matrix, or receipts.
        replaces: the part of the framework that is not there, as a dependency requires the whole.
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
    """Something to mention about a resolution.

    Attributes:
        kind: what.
        name: the package or, for people, the title of what it is about.
        version: its release, where it is about one.
        text: what a row of the matrix says about it.
        day: since when.
        cutoff: the day that was asked for, where that plays a part.
        accelerator: the accelerator that it is about, if it is about one.
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
    """What cannot be had."""

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
    """That an older driver runs it all the same, with a package of the maker's.

    Attributes:
        driver: the driver that is there.
        package: the package.
        brings: the branch of the driver that then counts.
        devices: the devices that it is for.
    """

    driver: DriverVersion
    package: str
    brings: DriverVersion
    devices: tuple[str, ...]


class Refusal(NamedTuple):
    """What cannot be had, or a remark about where it could be.

    Attributes:
        kind: what.
        names: the titles of the frameworks or of the generation, or the channels, that it is about.
        text: what a row of the matrix says about it; the channel that lacks it.
        day: the day of the first release, where that is why.
        forward: how an older driver runs it, where that is known.
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
        value: its new value, an accelerator or text; None to drop it.
        dropped: the value that goes, where the field holds one or several.
    """

    field: RequestField
    value: str | Accelerator | None
    dropped: str = ""


# -- what makes a closed lock unfit ------------------------------------------------------------------------------------


class WrongVersion(NamedTuple):
    """A package has another version than the solver decided on, or is not there.

    Attributes:
        package: the package.
        decided: what was decided on.
        locked: what the lock has; None if it has none.
    """

    package: str
    decided: Version
    locked: Version | None


class LacksLibrary(NamedTuple):
    """A library that the chosen builds need is not there."""

    package: str


class OtherAccelerator(NamedTuple):
    """A package is for another major or kind of accelerator than its environment.

    Attributes:
        package: the package.
        version: its version.
        own: what it is for.
        wanted: what the environment is for.
    """

    package: str
    version: Version
    own: Accelerator
    wanted: Accelerator


class SeveralLibraries(NamedTuple):
    """Libraries that a process can load at most once are there under several names.

    Attributes:
        title: what people call it.
        packages: the packages and their versions.
    """

    title: str
    packages: tuple[tuple[str, Version], ...]


class CpuBuild(NamedTuple):
    """A framework is built for the CPU alone.

    Attributes:
        package: the package.
        version: its version.
        wanted: what the environment is for.
    """

    package: str
    version: Version
    wanted: Accelerator


class OneModule(NamedTuple):
    """Two projects are one module."""

    first: str
    second: str
    module: str


class OverlappingFiles(NamedTuple):
    """Two wheels own the same paths with different content; `paths` is sorted."""

    first: str
    second: str
    paths: tuple[str, ...]


class NeedsOtherMajor(NamedTuple):
    """A compiled file asks the loader for a library of another major than its environment's.

    Attributes:
        package: the package that has the file.
        version: its version.
        file: the path inside its wheel.
        sonames: what it asks for; sorted.
        wanted: what the environment is for.
    """

    package: str
    version: Version
    file: str
    sonames: tuple[str, ...]
    wanted: Accelerator


class NeedsMissing(NamedTuple):
    """Compiled files ask the loader for libraries that nothing in the lock gives.

    Attributes:
        package: the package that has the files.
        version: its version.
        file: the path inside its wheel of that which asks for the first of them.
        sonames: what they ask for -> the project that has it; sorted.
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
