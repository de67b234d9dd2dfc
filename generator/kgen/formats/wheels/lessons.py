"""What verifying a lock teaches for the next attempt: constraints for uv, and additional requirements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from packaging.version import Version

from kgen.explain.faults import fault_text
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.causes import LockFault, NeedsMissing, NeedsOtherMajor, OtherAccelerator, OverlappingFiles
from kgen.model.requirement import parse_requirement
from kgen.model.resolution import Resolution

_OVERLAPPING = 3
"""The number of versions of a package that kgen sets aside because it shares files with another package."""


class Lesson(NamedTuple):
    """What kgen has learned from the faults of one environment's locks so far.

    Attributes:
        constraints: what uv must not choose.
        added: additional requirements for uv, because a compiled file needs them.
        faults: the first fault of each package, in the order in which they were found.
        expected: the versions of the first attempt.
    """

    constraints: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    faults: tuple[LockFault, ...] = ()
    expected: Mapping[str, Version] = MappingProxyType({})

    @property
    def forbidden(self) -> tuple[str, ...]:
        """What must not be in the lock, in words: the packages in constraints, with versions."""
        listed: dict[str, list[str]] = {}
        named = {getattr(fault, "package", "") for fault in self.faults}
        for text in self.constraints:
            wish = parse_requirement(text)
            versions = listed.setdefault(wish.name, [])
            versions += [one.version for one in wish.specifier if one.operator == "!="]
        return tuple(
            f"{name} {', '.join(versions)}".strip() for name, versions in listed.items() if versions or name in named
        )

    def notes(self, environment: str, versions: Mapping[str, Version], asked: Collection[str]) -> list[str]:
        """What was held back or added in the end, and why.

        Args:
            environment: the environment.
            versions: the locked versions.
            asked: the packages that the user named.
        """
        told = [*self._of_overlaps(environment, versions)]
        faulty = {getattr(fault, "package", "") for fault in self.faults}
        others = [fault for fault in self.faults if isinstance(fault, OtherAccelerator)]
        if others:
            held = [
                f"{name} {versions[name]} in the place of {version}"
                for name, version in self.expected.items()
                if name in asked and name not in faulty and versions.get(name, version) != version
            ]
            named = ", ".join(f"{fault.package} {fault.version}" for fault in others[1:])
            verb = "are" if others[2:] else "is"
            more = f"; so {verb} {named}" if named else ""
            told.append(f"{environment}: {', '.join(held) or 'set aside'}: {fault_text(others[0])}{more}")
        for fault in self.faults:
            if isinstance(fault, NeedsMissing) and versions.get(fault.package) == fault.version:
                added = " and ".join(dict.fromkeys(project for _, project in fault.sonames))
                told.append(f"{environment}: {added} was added: {fault_text(fault)}")
            elif isinstance(fault, (NeedsMissing, NeedsOtherMajor)):
                now = versions.get(fault.package)
                instead = "" if now is None else f", {now} was taken"
                told.append(
                    f"{environment}: {fault.package} {fault.version} was set aside{instead}: {fault_text(fault)}"
                )
        return told

    def _of_overlaps(self, environment: str, versions: Mapping[str, Version]) -> Iterator[str]:
        for fault in self.faults:
            if isinstance(fault, OverlappingFiles):
                taken = [
                    f"{name} {versions[name]} in the place of {self.expected[name]}"
                    for name in (fault.first, fault.second)
                    if name in versions and versions[name] != self.expected.get(name)
                ]
                yield f"{environment}: {' and '.join(taken) or 'set aside'}: {fault_text(fault)}"


def learn(
    matrix: CompatibilityMatrix,
    resolution: Resolution,
    versions: Mapping[str, Version],
    faults: Sequence[LockFault],
    before: Lesson | None,
) -> Lesson | None:
    """What these faults teach; what was known before if they teach nothing.

    Args:
        matrix: the facts.
        resolution: the solver's decision.
        versions: the versions of this attempt.
        faults: what is wrong with them.
        before: what was known before; None for the first attempt.
    """
    known = before or Lesson()
    constraints = dict.fromkeys(known.constraints)
    added = dict.fromkeys(known.added)
    # a package that is excluded for another reason no longer overlaps with others
    gone = {getattr(fault, "package", "") for fault in (*known.faults, *faults)}
    faults = [one for one in faults if not (isinstance(one, OverlappingFiles) and {one.first, one.second} & gone)]
    for fault in faults:
        if isinstance(fault, NeedsMissing):
            missing = list(_missing(matrix, resolution, fault, versions))
            if missing and not {*missing} <= {*added}:
                added.update(dict.fromkeys(missing))
                continue
        if isinstance(fault, OverlappingFiles):
            constraints.update(dict.fromkeys(_without_overlap(resolution, fault, versions, known)))
        else:
            constraints.update(dict.fromkeys(_forbidding(matrix, resolution, fault)))
    if (*constraints,) == known.constraints and (*added,) == known.added:
        return before
    return Lesson((*constraints,), (*added,), first_of_each((*known.faults, *faults)), known.expected or versions)


def first_of_each(faults: Iterable[LockFault]) -> tuple[LockFault, ...]:
    """The first fault of each kind for each package: later ones are about other versions."""
    found: dict[tuple[type, object], LockFault] = {}
    for fault in faults:
        found.setdefault((type(fault), packages_of(fault) or fault), fault)
    return tuple(found.values())


def packages_of(fault: LockFault) -> tuple[str, ...]:
    """The packages that a fault names."""
    if isinstance(fault, OverlappingFiles):
        return fault.first, fault.second
    package = getattr(fault, "package", None)
    return () if package is None else (package,)


def _missing(
    matrix: CompatibilityMatrix, resolution: Resolution, fault: NeedsMissing, versions: Mapping[str, Version]
) -> Iterator[str]:
    """Additional requirements that provide a file's libraries, without locked packages that lack them."""
    accelerator = resolution.runtime or resolution.request.accelerator
    for project in dict.fromkeys(project for _, project in fault.sonames):
        if project not in versions:
            bound = matrix.minor_bound(project, accelerator)
            yield project if bound is None else f"{project}<{bound}"


def _forbidding(matrix: CompatibilityMatrix, resolution: Resolution, fault: LockFault) -> Iterator[str]:
    """Constraints that avoid a fault."""
    if isinstance(fault, OtherAccelerator):
        if fault.package not in resolution.packages:
            yield from _of_major(matrix, fault.package, fault.wanted)
            # a package that needs one library of this major needs others, too
            for name in matrix.library_names:
                yield from _of_major(matrix, name, fault.wanted)
    elif isinstance(fault, (NeedsMissing, NeedsOtherMajor)) and fault.package not in resolution.packages:
        named = matrix.named_after(fault.package)
        other = named is not None and named != resolution.request.accelerator.whole
        yield f"{fault.package}<0" if other else f"{fault.package}!={fault.version}"


def _without_overlap(
    resolution: Resolution, fault: OverlappingFiles, versions: Mapping[str, Version], known: Lesson
) -> Iterator[str]:
    """A constraint that selects another version of one of two packages, preferably of one that nobody requested.

    Projects that are forks of each other overlap in every version, so kgen gives up after a few.
    """
    asked = {wish.name for wish in resolution.request.dependencies}
    free = [one for one in (fault.second, fault.first) if one not in {*resolution.packages, *resolution.libraries}]
    for name in sorted(free, key=asked.__contains__)[:1]:
        if sum(text.startswith(f"{name}!=") for text in known.constraints) < _OVERLAPPING:
            yield f"{name}!={versions[name]}"


def _of_major(matrix: CompatibilityMatrix, package: str, wanted: Accelerator) -> Iterator[str]:
    """Constraints that leave only the versions of a package for an accelerator, or for none in particular."""
    library = matrix.library(package)
    if library is None or library.accelerator is not None:
        own = matrix.named_after(package) if library is None else library.accelerator
        if own is not None and own != wanted:
            yield f"{package}<0"
        return
    releases = sorted(release.version for release in library.releases)
    owners = {version: matrix.accelerator_of(package, version) for version in releases}
    right = [version for version, own in owners.items() if own is None or own == wanted]
    if len(right) == len(releases):
        return
    if not right:
        yield f"{package}<0"
        return
    newer = [version for version in releases if version > right[-1]]
    if newer:
        yield f"{package}<{newer[0]}"
    if releases[0] < right[0]:
        yield f"{package}>={right[0]}"


def roots(resolution: Resolution, added: Sequence[str]) -> dict[str, str]:
    """Package -> the requirement that requested it, the user's first."""
    asked = [*map(str, resolution.request.dependencies), *resolution.install, *added]
    found: dict[str, str] = {}
    for text in asked:
        found.setdefault(parse_requirement(text).name, text)
    return found
