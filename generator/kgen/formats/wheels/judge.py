"""The judgement of a closed lock, before anything is written. A fault names what is wrong and with which file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kgen.accelerators import title
from kgen.formats.wheels.lock import Lock
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.requirement import parse_requirement

if TYPE_CHECKING:
    from kgen.wheels import WheelListing


def faults(matrix: CompatibilityMatrix, lock: Lock, listings: Mapping[str, WheelListing]) -> tuple[str, ...]:
    """What makes the lock unfit to be written.

    Args:
        matrix: the facts.
        lock: the lock.
        listings: package -> the files in its wheel, for those that could be read.
    """
    return (
        *_wrong_versions(lock),
        *_missing_libraries(lock),
        *_wrong_accelerators(matrix, lock),
        *_several_libraries(matrix, lock),
        *_cpu_builds(lock),
        *_one_module(matrix, lock),
        *_overlaps(listings),
    )


def _wrong_versions(lock: Lock) -> Iterator[str]:
    resolution = lock.resolution
    installed = {parse_requirement(text).name for text in resolution.install}
    for name, version in resolution.packages.items():
        locked = lock.versions.get(name)
        if locked is None:
            if name not in installed:  # its distribution has another name here: tensorflow-cpu
                continue
            yield f"{name} {version} was decided on, and the lock has none"
        elif locked.public != version.public:
            yield f"{name} {version} was decided on, and the lock has {locked}"


def _missing_libraries(lock: Lock) -> Iterator[str]:
    for name, version in lock.resolution.libraries.items():
        locked = lock.versions.get(name)
        if locked is None:
            yield f"the chosen builds need {name}, and the lock has none: it would not be complete"
        elif name in lock.resolution.pinned and locked != version:
            yield f"{name} {version} was decided on, and the lock has {locked}"


def accelerator_of(matrix: CompatibilityMatrix, lock: Lock, name: str) -> Accelerator | None:
    """The kind and the major that a locked package belongs to, also one that the matrix does not follow."""
    return matrix.accelerator_of(name, lock.versions[name]) or matrix.named_after(name)


def _wrong_accelerators(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[str]:
    wanted = lock.resolution.request.accelerator
    if wanted == CPU:
        return
    for name, version in lock.versions.items():
        own = accelerator_of(matrix, lock, name)
        if own is not None and own != wanted.whole:
            yield f"{name} {version} is of {title(own)}, in an environment for {title(wanted.whole)}"


def _several_libraries(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[str]:
    """Libraries of which a process can have one at most, under several names."""
    libraries = {name: matrix.library(name) for name in lock.versions}
    for kind in matrix.accelerators.values():
        for role, title_of_role in kind.unique.items():
            found = [name for name, library in libraries.items() if library is not None and library.role == role]
            if len(found) > 1:
                named = " and ".join(f"{name} {lock.versions[name]}" for name in found)
                yield f"there are several {title_of_role} in it: {named}"


def _cpu_builds(lock: Lock) -> Iterator[str]:
    resolution = lock.resolution
    if resolution.request.accelerator == CPU:
        return
    for name in resolution.packages:
        locked = lock.versions.get(name)
        if locked is not None and locked.local is not None and locked.local.startswith("cpu"):
            yield f"{name} {locked} is a CPU build, in an environment for {title(resolution.request.accelerator)}"


def _one_module(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[str]:
    """Projects that are one module: of source distributions nobody knows the files before they are built."""
    owners: dict[str, str] = {}
    for name in matrix.framework_names:
        if name not in lock.versions:
            continue
        module = matrix.framework(name).module
        if module in owners:
            yield f"{owners[module]} and {name} are both the module `{module}`: one environment can have one of them"
        owners[module] = name


def _overlaps(listings: Mapping[str, WheelListing]) -> Iterator[str]:
    from kgen.wheels import overlaps  # noqa: PLC0415 - slow to import; by now it has been, while uv was at work

    for overlap in overlaps(listings):
        count = len(overlap.paths)
        more = f" and {count - 1} more" if count > 1 else ""
        yield f"{overlap.first} and {overlap.second} both own {overlap.paths[0]}{more}, with different content"
