"""The judgement of a closed lock, before anything is written. A fault names what is wrong and with which file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kgen.formats.wheels.lock import Lock
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.requirement import parse_requirement

if TYPE_CHECKING:
    from kgen.wheels import WheelListing

_CUDA_SUFFIX = re.compile(r"^nvidia-.*-cu(?P<major>\d\d)$")


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
        *_wrong_cuda(matrix, lock),
        *_several_cudnn(matrix, lock),
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


def cuda_major(matrix: CompatibilityMatrix, lock: Lock, name: str) -> int | None:
    """The CUDA major that a locked package belongs to, also for NVIDIA packages that the matrix does not follow."""
    known = matrix.cuda_major_of(name, lock.versions[name])
    suffix = _CUDA_SUFFIX.match(name)
    return int(suffix["major"]) if known is None and suffix else known


def _wrong_cuda(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[str]:
    wanted = lock.resolution.request.accelerator.cuda
    if wanted is None:
        return
    for name, version in lock.versions.items():
        major = cuda_major(matrix, lock, name)
        if major is not None and major != wanted:
            yield f"{name} {version} is of CUDA {major}, in an environment for CUDA {wanted}"


def _several_cudnn(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[str]:
    libraries = {name: matrix.library(name) for name in lock.versions}
    found = [name for name, library in libraries.items() if library is not None and library.role == "cudnn"]
    if len(found) > 1:
        named = " and ".join(f"{name} {lock.versions[name]}" for name in found)
        yield f"there are several cuDNN in it: {named}"


def _cpu_builds(lock: Lock) -> Iterator[str]:
    resolution = lock.resolution
    if resolution.request.accelerator.cuda is None:
        return
    for name in resolution.packages:
        locked = lock.versions.get(name)
        if locked is not None and locked.local is not None and locked.local.startswith("cpu"):
            yield f"{name} {locked} is a CPU build, in an environment for {resolution.request.accelerator}"


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
