"""The judgement of a closed lock, before anything is written. A fault names what is wrong and with which file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from kgen.formats.wheels.lock import Lock
from kgen.matrix.candidates import plugin_of_other
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import (
    CpuBuild,
    LacksLibrary,
    LockFault,
    NeedsMissing,
    NeedsOtherMajor,
    OneModule,
    OtherAccelerator,
    OverlappingFiles,
    SeveralLibraries,
    WrongVersion,
)
from kgen.model.requirement import parse_requirement
from kgen.model.resolution import Resolution

if TYPE_CHECKING:
    from kgen.elf import Needs
    from kgen.wheels import WheelListing

_WINDOWS = re.compile(r"(?:_[0-9.]+)*\.dll$")
_NO_NEEDS: Mapping[str, Mapping[str, Needs]] = MappingProxyType({})


def faults(
    matrix: CompatibilityMatrix,
    lock: Lock,
    listings: Mapping[str, WheelListing],
    needs: Mapping[str, Mapping[str, Needs]] = _NO_NEEDS,
) -> tuple[LockFault, ...]:
    """What makes the lock unfit to be written.

    Args:
        matrix: the facts.
        lock: the lock.
        listings: package -> the files in its wheel, for those that could be read.
        needs: package -> path of a compiled file -> what it needs, for those that were read.
    """
    return (
        *_wrong_versions(lock),
        *_missing_libraries(lock),
        *_wrong_accelerators(matrix, lock),
        *_several_libraries(matrix, lock),
        *_cpu_builds(matrix, lock),
        *_one_module(matrix, lock),
        *_needed_libraries(matrix, lock, listings, needs),
        *_overlaps(listings, lock.resolution.request.allow_overlap),
    )


def is_to_be_read(matrix: CompatibilityMatrix, resolution: Resolution, package: str) -> bool:
    """Whether what the compiled files of a package need is to be looked at.

    That of frameworks, and of what the matrix follows otherwise, is in its rows.
    """
    if not any(row.accelerator.kind == resolution.request.accelerator.kind for row in matrix.soname_providers):
        return False
    decided = {*resolution.packages, *resolution.libraries}
    return package not in decided and not matrix.follows(package) and not _is_part(matrix, resolution, package)


def _is_part(matrix: CompatibilityMatrix, resolution: Resolution, package: str) -> bool:
    """Whether it is a part of a framework that comes along with it: jax-cuda12-pjrt."""
    major = resolution.request.accelerator.whole.name
    return any(package.startswith(f"{name}-{major}-") for name in resolution.packages if name in matrix.framework_names)


def _needed_libraries(
    matrix: CompatibilityMatrix,
    lock: Lock,
    listings: Mapping[str, WheelListing],
    needs: Mapping[str, Mapping[str, Needs]],
) -> Iterator[LockFault]:
    """Libraries of the accelerator that compiled files ask for: of its major, and given by something in the lock."""
    if not needs:
        return
    wanted = lock.resolution.request.accelerator.whole
    sonames = matrix.sonames
    stems = {_stem(name) for name in sonames}
    # one text instead of ten thousand names: only a handful is looked for
    given = "".join("/" + "\n/".join(listing.entries) + "\n" for listing in listings.values())
    if any(name.endswith(".dll") for name in sonames):
        given += given.lower()
    # what could not be listed may bring anything
    complete = listings.keys() >= lock.versions.keys()

    def fits(name: str) -> bool:
        return wanted in sonames.get(name, {})

    for package, files in needs.items():
        own = {_name(path) for path in listings[package].entries} if package in listings else set()
        tracked = {
            path: {name for name in one.needed if _stem(name) in stems and name not in own}
            for path, one in files.items()
        }
        version = lock.versions[package]
        told: set[str] = set()
        lacking: dict[str, str] = {}
        for path, names in tracked.items():
            wrong = {name for name in names if not fits(name)}
            if not wrong:
                lacking.update({name: lacking.get(name, path) for name in names if f"/{name}\n" not in given})
            elif not _is_variant(path, wrong, tracked, fits):
                yield from _told(NeedsOtherMajor(package, version, path, tuple(sorted(wrong)), wanted), told)
        if lacking and complete and not told:
            projects = tuple((name, sonames[name][wanted]) for name in sorted(lacking))
            yield NeedsMissing(package, version, lacking[projects[0][0]], projects)
        for path, opened in _opened_of_others(files, stems - {_stem(name) for name in own}, fits):
            yield from _told(NeedsOtherMajor(package, version, path, opened, wanted), told)


def _name(path: str) -> str:
    """The name of a file as the loader takes it: that of Windows minds no capitals."""
    name = path.rpartition("/")[2]
    small = name.lower()
    return small if small.endswith(".dll") else name


def _told(fault: NeedsOtherMajor, told: set[str]) -> Iterator[LockFault]:
    """The fault, if it is the first of its package: what is wrong with a wheel is so with many of its files."""
    if not told:
        told.add(fault.package)
        yield fault


def _is_variant(
    path: str, wrong: Collection[str], tracked: Mapping[str, Collection[str]], fits: Callable[[str], bool]
) -> bool:
    """Whether a file is one of several from which a program picks the one for its CUDA, as bitsandbytes does."""
    served = {_stem(name) for other, names in tracked.items() if other != path for name in names if fits(name)}
    return {_stem(name) for name in wrong} <= served


def _opened_of_others(
    files: Mapping[str, Needs], stems: Collection[str], fits: Callable[[str], bool]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Path -> what files open by themselves, if it is of other majors alone: who tries several has one that fits."""
    opened: dict[str, dict[str, str]] = {}
    for path, one in files.items():
        for name in (*one.needed, *one.loaded):
            if _stem(name) in stems:
                opened.setdefault(_stem(name), {}).setdefault(name, path)
    for names in opened.values():
        if not any(map(fits, names)):
            yield next(iter(names.values())), tuple(sorted(names))


def _stem(soname: str) -> str:
    """The name without the version, on Linux and on Windows: libcudart, cudart64."""
    return _WINDOWS.sub("", soname) if soname.endswith(".dll") else soname.partition(".so")[0]


def _wrong_versions(lock: Lock) -> Iterator[LockFault]:
    resolution = lock.resolution
    installed = {parse_requirement(text).name for text in resolution.install}
    for name, version in resolution.packages.items():
        locked = lock.versions.get(name)
        if locked is None:
            if name not in installed:  # its distribution has another name here: tensorflow-cpu
                continue
            yield WrongVersion(name, version, None)
        elif locked.public != version.public:
            yield WrongVersion(name, version, locked)


def _missing_libraries(lock: Lock) -> Iterator[LockFault]:
    for name, version in lock.resolution.libraries.items():
        locked = lock.versions.get(name)
        if locked is None:
            yield LacksLibrary(name)
        elif name in lock.resolution.pinned and locked != version:
            yield WrongVersion(name, version, locked)


def accelerator_of(matrix: CompatibilityMatrix, lock: Lock, name: str) -> Accelerator | None:
    """The kind and the major that a locked package belongs to, also one that the matrix does not follow."""
    return matrix.accelerator_of(name, lock.versions[name]) or matrix.named_after(name)


def _wrong_accelerators(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[LockFault]:
    wanted = lock.resolution.request.accelerator
    # loaded wherever they are, also by a build for the CPU; other libraries lie there unused
    astray = {name: own for name in lock.versions if (own := plugin_of_other(matrix, name, lock.versions, wanted))}
    for name, own in astray.items():
        yield OtherAccelerator(name, lock.versions[name], own, wanted.whole)
    if wanted == CPU:
        return
    for name, version in lock.versions.items():
        if name in astray:
            continue
        belongs = accelerator_of(matrix, lock, name)
        if belongs is not None and belongs != wanted.whole:
            yield OtherAccelerator(name, version, belongs, wanted.whole)


def _several_libraries(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[LockFault]:
    """Libraries under several names, where a process can load only one."""
    libraries = {name: matrix.library(name) for name in lock.versions}
    for kind in matrix.accelerators.values():
        for role, title_of_role in kind.unique.items():
            found = [name for name, library in libraries.items() if library is not None and library.role == role]
            if len(found) > 1:
                yield SeveralLibraries(title_of_role, tuple((name, lock.versions[name]) for name in found))


def _cpu_builds(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[LockFault]:
    resolution = lock.resolution
    if resolution.request.accelerator == CPU:
        return
    on_cpu = {matrix.backends[backend].framework for backend in resolution.request.cpu_members}
    for name in resolution.packages:
        if name in on_cpu:
            continue
        locked = lock.versions.get(name)
        if locked is not None and locked.local is not None and locked.local.startswith("cpu"):
            yield CpuBuild(name, locked, resolution.request.accelerator)


def _one_module(matrix: CompatibilityMatrix, lock: Lock) -> Iterator[LockFault]:
    """Projects that provide the same module; the files of a source distribution are unknown before it is built."""
    owners: dict[str, str] = {}
    for name in matrix.framework_names:
        if name not in lock.versions:
            continue
        module = matrix.framework(name).module
        if module in owners:
            yield OneModule(owners[module], name, module)
        owners[module] = name


def _overlaps(listings: Mapping[str, WheelListing], allowed: Collection[str]) -> Iterator[LockFault]:
    from kgen.wheels import overlaps  # noqa: PLC0415 - slow to import; by now it has been, while uv was at work

    for overlap in overlaps(listings):
        if f"{overlap.first}+{overlap.second}" not in allowed:
            yield OverlappingFiles(overlap.first, overlap.second, overlap.paths)
