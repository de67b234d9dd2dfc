"""Facts, wishes and causes in words, for wheels and for conda."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kgen.accelerators import kind, title
from kgen.explain.commands import flag_of
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import (
    REQUEST,
    Bound,
    BuildPurpose,
    BuiltFor,
    Cause,
    CudnnServing,
    CutoffFloor,
    DependsOn,
    Doubt,
    DoubtKind,
    DriverNeeded,
    DriverRuns,
    Fact,
    GlibcFloor,
    GoesWith,
    GpusOfBuild,
    GpusOfMajor,
    LabelledBuilds,
    NewestFitting,
    NoRelease,
    NotFound,
    Origin,
    OtherPlatform,
    OtherThing,
    Pythons,
    Runs,
    Source,
    Spec,
    Stated,
    TermKind,
    Undated,
    Wish,
)
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField

_MOST = 4
"""The number of values of a fact that are listed."""

_KINDS: Mapping[type, str] = {
    BuiltFor: "built-for",
    CudnnServing: "cudnn-support",
    CutoffFloor: "published",
    DependsOn: "dependency",
    DriverNeeded: "driver",
    DriverRuns: "driver-runs",
    GlibcFloor: "glibc",
    GoesWith: "companion",
    GpusOfBuild: "gpu",
    GpusOfMajor: "gpu",
    LabelledBuilds: "no-release",
    NoRelease: "no-release",
    NotFound: "not-found",
    OtherPlatform: "platform",
    OtherThing: "not-for-python",
    Undated: "undated",
    Pythons: "python",
    Spec: "spec",
}


def fact_kind(fact: Fact) -> str:
    """The kind of a fact, for programs; these words never change."""
    if isinstance(fact, Doubt):
        return str(fact.kind.value)
    if isinstance(fact, (Wish, NewestFitting)):
        return fact.kind.value
    return _KINDS[type(fact)]


def fact_text(fact: Fact) -> str:  # noqa: C901, PLR0911, PLR0912 - one line for each
    """A fact in words, to follow its subject."""
    match fact:
        case Wish():
            return wish_text(fact)
        case DriverRuns():
            return f"a driver for {title(fact.accelerator)}"
        case Spec():
            return f"{fact.spec}, which is {fact.project} of the Python index" if fact.project else fact.spec
        case OtherThing():
            return "not a Python package"
        case Undated():
            return f"no date of publication for {_listed(fact.packages)}"
        case Pythons():
            return f"python {pythons_text(fact)}"
        case Doubt():
            return f"to be avoided: {_doubt_text(fact)}"
        case OtherPlatform():
            return _platform_text(fact)
        case BuiltFor():
            return purposes_text(fact)
        case CutoffFloor():
            return f"a cut-off of {fact.day} or later"
        case GlibcFloor():
            return "any glibc" if fact.glibc is None else f"glibc >={fact.glibc}"
        case DriverNeeded():
            return f"driver >={fact.driver} ({title(fact.accelerator)})"
        case GpusOfMajor():
            return f"a GPU of {architecture_noun(fact.accelerator)} {fact.gpus} ({title(fact.accelerator)})"
        case GpusOfBuild():
            floor = f" (PTX from driver {fact.compiling_driver})" if fact.compiling_driver else ""
            return f"a GPU of {architecture_noun(fact.accelerator)} {gpus_text(fact)}{floor}"
        case DependsOn():
            return dependency_text(fact)
        case CudnnServing():
            rows = [f"{row.cudnn} serves GPUs {row.gpus} from driver {row.driver}" for row in fact.rows]
            return f"{fact.role}: {'; '.join(rows) or f'none is known to serve {title(fact.accelerator)}'}"
        case NewestFitting():
            subject = f"{fact.kind.value} {fact.argument}".strip()
            return f"{subject}: {'no release' if fact.version is None else f'at most {fact.version}'} fits"
        case NoRelease():
            near = " and ".join(map(str, fact.nearest)) or f"{fact.newest} is the newest"
            there = {0: "", 1: " is the nearest", 2: " are the nearest"}[len(fact.nearest)]
            nightly = "; it has no rows of nightly builds" if fact.nightly else ""
            return f"no release {fact.bound} that the matrix knows: {near}{there}{nightly}"
        case LabelledBuilds():
            return _labels_text(fact)
        case GoesWith():
            return f"{fact.framework} {span(fact.releases)}"
        case NotFound():
            return "what the resolver did not find"


def _labels_text(fact: LabelledBuilds) -> str:
    """What the builds of a release are for, next to the requested label."""
    if fact.built_for is not None:
        own = "" if fact.built_for == CPU else ", in its own index"
        return f"{fact.version}+{fact.label} for {title(fact.built_for)}{own}"
    others = [f"+{label} ({title(one)})" if label else f"{title(one)} without a label" for label, one in fact.others]
    listed = f"{', '.join(others[:-1])} and {others[-1]}" if others[1:] else others[0]
    return f"no build {fact.version}+{fact.label} that the matrix knows: {fact.version} on {fact.platform} is {listed}"


def architecture_noun(accelerator: Accelerator) -> str:
    """The word for an architecture of this kind: `compute capability`."""
    return kind(accelerator.kind).architecture


def pythons_text(pythons: Pythons) -> str:
    """The Pythons that have builds: `3.9-3.13`."""
    return "-".join(dict.fromkeys(pythons))


def wish_text(wish: Wish) -> str:
    """A wish of the user in words."""
    if wish.kind is TermKind.CUTOFF:
        return f"nothing published after {wish.value}"
    of = f" of {wish.machine}" if wish.machine else ""
    return wish.value if wish.kind is TermKind.REQUIREMENT else f"{wish.kind.value} {wish.value}{of}"


def _doubt_text(doubt: Doubt) -> str:
    if doubt.kind is DoubtKind.YANKED:
        return f"yanked ({doubt.text})"
    return "a pre-release" if doubt.kind is DoubtKind.PRERELEASE else doubt.text


def _platform_text(fact: OtherPlatform) -> str:
    if fact.known:
        return f"another platform: it is there for {', '.join(fact.known)}"
    why = ": the matrix has no row for it" if fact.without_rows else ""
    return f"a platform other than {fact.platform}{why}"


def purposes_text(fact: BuiltFor) -> str:
    """What builds are for: `CUDA 12.8 and the CPU only`; on a channel `CUDA 12, CUDA 11 or the CPU on linux-64`."""
    if not fact.platform:
        return " and ".join(map(purpose_text, fact.purposes))
    names = [title(one.accelerator) for one in fact.purposes]
    listed = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{listed} on {fact.platform}"


def purpose_text(purpose: BuildPurpose) -> str:
    """What a build is for: `CUDA 12.8`, `the CPU only`."""
    if purpose.accelerator == CPU:
        return "the CPU only"
    return title(purpose.accelerator) + (" in its own index" if purpose.own_index else "")


def gpus_text(fact: GpusOfBuild) -> str:
    """The compute capabilities that a build supports: `7.0, 7.5, 8.0, 9.0+PTX`, or `PTX 9.0` without machine code."""
    machine, portable = fact.code
    names = [f"{one}+PTX" if one in portable else one for one in machine]
    names += [f"PTX {one}" for one in portable if one not in machine]
    failing = "".join(f", not {gpus}" for gpus in fact.failing)
    return f"{', '.join(names) or 'unknown architectures'}{failing}"


def dependency_text(fact: DependsOn) -> str:
    """A dependency in words: `cudnn ==9.10.2.21`."""
    bounds = ",".join(filter(None, map(bound_text, fact.bounds)))
    absent = "" if fact.absent is None else ", of which none fits Python {} on {}".format(*fact.absent)
    return f"{fact.role} {bounds}".strip() + absent


def bound_text(bound: Bound) -> str:
    """A range, and the library of models that requires it."""
    return f"{bound.range} for {bound.library}" if bound.library else bound.range


def span(runs: Runs) -> str:
    """Releases as runs: `2.1.0-2.4.1, 2.6.0`."""
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


# -- causes ------------------------------------------------------------------------------------------------------------


def subject_text(cause: Cause) -> str:
    """The subject of a cause: `torch 2.6.0-2.8.0`; `request` for the user's."""
    fact = cause.facts[0].fact
    if isinstance(fact, NotFound):
        return " with ".join(f"{name} {version}" for name, version in fact.packages)
    return f"{cause.subject} {span(cause.releases)}" if cause.releases else cause.subject


def requires_text(cause: Cause) -> str:
    """The facts of a cause, newest first: `CUDA 13.0 (2.11.0-2.14.1), the CPU only (2.1.0-2.10.0)`."""
    return _stated(cause.facts)


def _stated(facts: Sequence[Stated]) -> str:
    if len(facts) == 1:
        return fact_text(facts[0].fact)
    of_python = [(one.fact, one.releases) for one in facts if isinstance(one.fact, Pythons)]
    if len(of_python) == len(facts):
        return f"python {_listed([f'{pythons_text(pythons)} ({span(releases)})' for pythons, releases in of_python])}"
    return _listed([f"{fact_text(one.fact)} ({span(one.releases)})" for one in facts])


def _listed(parts: Sequence[str]) -> str:
    shown = parts if len(parts) <= _MOST else [*parts[: _MOST - 1], "…", parts[-1]]
    return ", ".join(shown)


def source_text(source: Source, request: EnvironmentRequest) -> str:
    """The source of a fact: a row of the matrix, the flag or setting of a wish, or another origin."""
    if isinstance(source, RequestField):
        return flag_of(source, request)
    if isinstance(source, Origin):
        return {
            Origin.CONDA_BASE: 'conda = "base"',
            Origin.LOCK: "the lock that is there",
            Origin.PLATFORM_FLOOR: f"the floor of {request.platform}",
            Origin.RESOLVER: "the resolver",
            Origin.UV: "uv's configuration",
            Origin.WHEELS: "the lock of wheels",
        }[source]
    return source


def cause_text(cause: Cause, request: EnvironmentRequest) -> str:
    """A cause in words: the subject and its requirement."""
    if cause.subject == REQUEST:
        return f"you asked for {requires_text(cause)} ({source_text(cause.source, request)})"
    built = [one.fact for one in cause.facts if isinstance(one.fact, BuiltFor)]
    verbs = {OtherThing: "is", Undated: "gives", NoRelease: "has", LabelledBuilds: "has", GoesWith: "goes with"}
    verb = built_verb(*built) if built else verbs.get(type(cause.facts[0].fact), "needs")
    return f"{subject_text(cause)} {verb} {requires_text(cause)}"


def built_verb(*facts: BuiltFor) -> str:
    """The verb for what releases are built for; weaker if only CPU builds of them are known.

    Another index may have other builds of them.
    """
    only_cpu = any(not fact.platform and fact.purposes == (BuildPurpose(CPU),) for fact in facts)
    return "has rows for" if only_cpu else "is built for"


def cause_data(cause: Cause, request: EnvironmentRequest) -> dict[str, str]:
    """A cause as plain data."""
    return {
        "kind": fact_kind(cause.facts[0].fact),
        "subject": subject_text(cause),
        "requires": requires_text(cause),
        "source": source_text(cause.source, request),
    }
