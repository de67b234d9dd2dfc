"""Reasons for packages, and warnings about them, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packaging.version import Version

from kgen.accelerators import kind, title
from kgen.explain.causes import bound_text, built_verb, dependency_text, purposes_text, wish_text
from kgen.model.accelerator import CPU
from kgen.model.causes import (
    BuiltFor,
    Company,
    ComputesOn,
    Computing,
    DependsOn,
    Doubt,
    DoubtKind,
    Ground,
    Hindrance,
    HindranceKind,
    Import,
    Newer,
    NewestRelease,
    OtherPlatform,
    Pythons,
    Reason,
    Replacement,
    SeenTraining,
    SetAside,
    SharedRelease,
    TermKind,
    Unstated,
    Warning,  # noqa: A004 - as it is declared
    WarningKind,
    Wish,
)
from kgen.model.request import CUTOFF_FLAG, BoundedVersion, ProvenVersion

RECEIPTS, DEVICES = "receipts", "devices"
"""What a reason by receipts has besides, by the keys that it has in a lock."""

NEWER, BOUND = "newer", "bound"
"""The same of a reason by what the resolver could not close."""

_KINDS: Mapping[type, str] = {
    Company: "company",
    DependsOn: "dependency",
    Import: "imported",
    NewestRelease: "newest-release",
    Replacement: "replacement",
    SeenTraining: "proven",
    SetAside: "set-aside",
    SharedRelease: "shared",
    Unstated: "unstated-dependency",
}


def reason_kind(reason: Reason) -> str:
    """The kind of a reason, for programs; these words never change."""
    if isinstance(reason.ground, Newer):
        hindrance = reason.ground.hindrance
        return "company" if hindrance is None else f"newer-{hindrance.kind.value}"
    return _KINDS[type(reason.ground)]


def reason_data(reason: Reason, cutoff_flag: str = CUTOFF_FLAG) -> dict[str, object]:
    """A reason as plain data; complete, so that it can be read back, if the matrix alone does not give it."""
    found: dict[str, object] = {
        "kind": reason_kind(reason),
        "subject": reason_subject(reason),
        "rule": reason_rule(reason, cutoff_flag),
        "source": "; ".join(reason.sources),
    }
    if isinstance(reason.ground, SeenTraining):
        found |= {RECEIPTS: reason.ground.receipts, DEVICES: list(reason.ground.devices)}
    if isinstance(reason.ground, SetAside):
        found |= {NEWER: str(reason.ground.newer), BOUND: reason.ground.why}
    return found


def recorded_in(decided: Mapping[str, Any]) -> tuple[ProvenVersion | BoundedVersion, ...]:
    """The reasons in a lock that the matrix alone does not give; a lock that keeps a version keeps its reason.

    Args:
        decided: its `[tool.kgen]` table, as :func:`kgen.lockfiles.parse` has checked it.
    """
    found: list[ProvenVersion | BoundedVersion] = []
    for row in decided.get("why", ()):
        package, _, version = row["subject"].partition(" ")
        if RECEIPTS in row:
            sources = tuple(row["source"].split("; "))
            found.append(ProvenVersion(package, Version(version), row[RECEIPTS], tuple(row[DEVICES]), sources))
        elif NEWER in row:
            found.append(BoundedVersion(package, Version(version), Version(row[NEWER]), row[BOUND]))
    return tuple(found)


def reason_subject(reason: Reason) -> str:
    """The subject of a reason: `torch 2.6.0`."""
    return reason.package if reason.version is None else f"{reason.package} {reason.version}"


def reason_rule(reason: Reason, cutoff_flag: str = CUTOFF_FLAG) -> str:
    """A reason in words.

    Args:
        reason: the reason.
        cutoff_flag: the name of the cut-off day; a lock uses that of the setting, whichever flag was given.
    """
    replaced = f"; whole, as a dependency requires it, and not {reason.replaces}" if reason.replaces else ""
    return _ground_text(reason.ground, cutoff_flag) + replaced


def _ground_text(ground: Ground, cutoff_flag: str) -> str:  # noqa: C901, PLR0911 - one line for each
    match ground:
        case Newer():
            return _newer_text(ground, cutoff_flag)
        case Company():
            return _company_text(ground)
        case Unstated():
            owner = ground.owner if ground.version is None else f"{ground.owner} {ground.version}"
            return f"{owner} needs {ground.requirement} and does not state it"
        case Replacement():
            return f"in the place of {ground.other}, as a requirement names it: both are the module `{ground.module}`"
        case Import():
            return _import_text(ground)
        case DependsOn():
            return f"needs {dependency_text(ground)}"
        case SeenTraining():
            return _seen_text(ground)
        case SetAside():
            return f"newest that fits: {ground.newer} does not, as {ground.why}"
        case SharedRelease():
            return f"the same as in {_listed(ground.environments)}, so that it is on disk once"
        case NewestRelease():
            return "newest release"


def _seen_text(seen: SeenTraining) -> str:
    saw = "1 receipt" if seen.receipts == 1 else f"{seen.receipts} independent receipts"
    return f"{saw} saw it train on {' and '.join(seen.devices)}; otherwise it would be {seen.otherwise}"


def _newer_text(newer: Newer, cutoff_flag: str) -> str:
    if newer.hindrance is None:
        return f"newest that fits: {newer.version} does not"
    newest = "newest that fits" if newer.accelerator is None else f"newest build for {title(newer.accelerator)}"
    return f"{newest}: {newer.version} {_hindrance_text(newer.hindrance, cutoff_flag)}"


def _hindrance_text(hindrance: Hindrance, cutoff_flag: str) -> str:  # noqa: PLR0911 - one line for each
    match hindrance.fact:
        case BuiltFor() as built:
            return f"{built_verb(built)} {purposes_text(built)}"
        case OtherPlatform() as other:
            return f"has no wheel for {other.platform}"
        case Pythons() as pythons:
            return f"has no wheel for Python {pythons.first}"
        case Doubt() as doubt:
            return f"is to be avoided: {'it is a pre-release' if doubt.kind is DoubtKind.PRERELEASE else doubt.text}"
        case Wish(kind=TermKind.CUTOFF) as cutoff:
            return f"is kept out by {cutoff_flag} {cutoff.value}"
        case Wish() as wish:
            return f"is kept out by {wish_text(wish)}"
        case DependsOn() as depends:
            fits = "no release fits" if hindrance.wish is None else f"{wish_text(hindrance.wish)} leaves no release"
            return f"needs {dependency_text(depends)}, of which {fits}"
        case _:
            assert hindrance.kind is HindranceKind.KEPT_LOCK, hindrance  # noqa: S101 - the others have a fact
            return "is not what the old lock has, which is kept"


def _company_text(company: Company) -> str:
    beside = f"newest beside {company.package} {company.version}"
    theirs = bound_text(company.theirs)
    if company.ours is None:
        return f"{beside}, which needs {company.role} {theirs}"
    ours = bound_text(company.ours)
    return f"{beside}: {company.newer} needs {company.role} {ours}, {company.package} {company.version} needs {theirs}"


def _import_text(ground: Import) -> str:
    several = len(ground.importers) > 1
    if ground.whole:
        how = f"and require{'' if several else 's'} by that name"
    else:
        how = f"which {'they do' if several else 'it does'} without declaring it"
    return f"newest that {_listed(ground.importers)} can import, {how}; {_computing_text(ground.computing)}"


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _computing_text(computing: Computing) -> str:
    owners = " and ".join(computing.frameworks)
    known = kind(computing.accelerator.kind)
    libraries = f"{known.title} and {known.primitives}"
    alone = f", so that {libraries} are those of {owners} alone" if owners else ""
    if computing.on is ComputesOn.CPU_BUILD:
        return f"for the CPU{alone}"
    if computing.on is ComputesOn.CPU_FOR_LACK:
        return f"it finds no {libraries} that it is built for, and computes on the CPU{alone}"
    return (
        f"built for {title(computing.accelerator)}, it may compute with that of {owners}:"
        f" both have the one {known.primitives} {computing.cudnn}"
    )


# -- warnings ----------------------------------------------------------------------------------------------------------


def warning_text(warning: Warning) -> str:
    """A warning in words."""
    about = warning.name if warning.version is None else f"{warning.name} {warning.version}"
    return {
        WarningKind.END_OF_SUPPORT: f"{about} was last supported on {warning.day}: {warning.text}",
        WarningKind.EXTRA_LEFT_OUT: (
            f"{about} is taken without `{warning.text}`, which brings {title(warning.accelerator or CPU)}"
        ),
        WarningKind.GPUS_UNKNOWN: f"which GPUs {about} serves is not known; it was not checked",
        WarningKind.KNOWN_BAD: f"{about} is to be avoided: {warning.text}",
        WarningKind.OWN_KERAS: (
            f"{about} is TensorFlow's own Keras of that day, not multi-backend Keras:"
            " `KERAS_BACKEND` does nothing in it"
        ),
        WarningKind.PRERELEASE: f"{about} is a pre-release, taken because it was asked for",
        WarningKind.REPUBLISHED: (
            f"the files of {about} that are locked were put on the index again on {warning.day}, after"
            f" {warning.cutoff}: those of that day were deleted there"
        ),
        WarningKind.YANKED: f"{about} was yanked: {warning.text}",
    }[warning.kind]
