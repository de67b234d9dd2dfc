"""The judgement of a conda environment before anything is written: what no reader of such a lock would notice."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kgen.accelerators import title
from kgen.formats.conda.names import Names, is_module
from kgen.formats.conda.rattlertool import CondaRecord
from kgen.formats.conda.target import Target
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU

if TYPE_CHECKING:
    from kgen.formats.wheels.lock import LockedWheel

_CUDA_BUILD = re.compile(r"cuda(?P<major>\d\d)\d*")
_OTHER_PYTHON = re.compile(r"pypy|graalpy|_cp\d+t$")
"""What the build of a Python says that is not the usual CPython: modules that are built for that do not load in it."""
_HASHES = {"md5": 32, "sha256": 64}


def faults(
    matrix: CompatibilityMatrix,
    target: Target,
    records: Sequence[CondaRecord],
    wheels: Sequence[LockedWheel] = (),
) -> tuple[str, ...]:
    """What makes the packages of one platform unfit to be locked.

    Args:
        matrix: the facts.
        target: what was asked.
        records: the packages that the solver chose.
        wheels: the wheels that come to them.
    """
    by_name = {record["name"]: record for record in records}
    return (
        *_doubles(records),
        *_without_hash(records),
        *_open_ends(target, by_name),
        *_other_python(by_name),
        *_wrong_builds(target, by_name),
        *_wrong_cuda(matrix, target, by_name),
        *_several_cudnn(matrix, by_name),
        *_both(target, by_name, wheels),
    )


def brought_for_cpu(matrix: CompatibilityMatrix, target: Target, records: Sequence[CondaRecord]) -> Iterator[str]:
    """The frameworks that packages bring along in a build that is not for the accelerator, a sentence each.

    That is not a fault, as no backend needs them; but whoever imports them finds no GPU.

    Args:
        matrix: the facts.
        target: what was asked.
        records: the packages that the solver chose.
    """
    wanted, asked = target.request.accelerator, dict(target.carriers)
    if wanted == CPU or not asked:
        return
    pattern = next(iter(asked.values()))
    brought = {one.carrier for one in matrix.conda.frameworks.values() if one.carrier is not None} - asked.keys()
    for record in records:
        if record["name"] in brought and not fnmatch.fnmatchcase(record["build"], pattern):
            yield (
                f"{record['name']} {record['version']}, which other packages bring along, is build {record['build']},"
                f" not one for {title(wanted)}"
            )


def _doubles(records: Sequence[CondaRecord]) -> Iterator[str]:
    names = [record["name"] for record in records]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is in it more than once"


def _without_hash(records: Sequence[CondaRecord]) -> Iterator[str]:
    for record in records:
        for kind, length in _HASHES.items():
            if re.fullmatch(rf"[0-9a-f]{{{length}}}", str(record.get(kind) or "")) is None:
                yield f"{record['fn']} has no {kind}: its channel does not say it"


def _open_ends(target: Target, by_name: Mapping[str, CondaRecord]) -> Iterator[str]:
    virtual = {name for name, _ in target.virtuals}
    for record in by_name.values():
        for depend in record.get("depends", ()):
            name = depend.split()[0].split("[")[0]
            if name not in by_name and name not in virtual:
                yield f"{record['name']} {record['version']} needs {depend}, and the lock has none"


def _other_python(by_name: Mapping[str, CondaRecord]) -> Iterator[str]:
    python = by_name.get("python")
    if python is not None and _OTHER_PYTHON.search(python["build"]):
        yield f"python {python['version']} is build {python['build']}, and not the usual CPython"


def _wrong_builds(target: Target, by_name: Mapping[str, CondaRecord]) -> Iterator[str]:
    for name, pattern in target.carriers:
        record = by_name.get(name)
        if record is None:
            yield f"{name} was asked for, and the lock has none"
        elif not fnmatch.fnmatchcase(record["build"], pattern) and target.request.accelerator != CPU:
            wanted = title(target.request.accelerator)
            yield f"{name} {record['version']} is build {record['build']}, not one for {wanted}"


def _wrong_cuda(matrix: CompatibilityMatrix, target: Target, by_name: Mapping[str, CondaRecord]) -> Iterator[str]:
    wanted = target.request.accelerator
    carriers = {name for name, _ in target.carriers}
    for name in carriers & by_name.keys():
        match = _CUDA_BUILD.match(by_name[name]["build"])
        if match and int(match["major"]) != wanted.major:
            yield f"{name} is build {by_name[name]['build']}, in an environment for {title(wanted)}"
    version = by_name.get(matrix.conda.version)
    if version is not None and wanted != CPU and int(version["version"].split(".")[0]) != wanted.major:
        yield f"{matrix.conda.version} {version['version']} is in an environment for {title(wanted.whole)}"


def _several_cudnn(matrix: CompatibilityMatrix, by_name: Mapping[str, CondaRecord]) -> Iterator[str]:
    found = {name: by_name[name]["version"] for name in matrix.conda.cudnn if name in by_name}
    if len({*found.values()}) > 1:
        named = " and ".join(f"{name} {version}" for name, version in found.items())
        yield f"there are several cuDNN in it: {named}"


def _both(target: Target, by_name: Mapping[str, CondaRecord], wheels: Sequence[LockedWheel]) -> Iterator[str]:
    there = packages_of(target.names, by_name)
    for wheel in wheels:
        if wheel.name in there:
            yield f"{wheel.name} is in it twice: as a wheel, and as {there[wheel.name]} of conda"


def packages_of(names: Names, by_name: Mapping[str, CondaRecord]) -> dict[str, str]:
    """Project -> the package for Python that has it, of all packages of an environment."""
    modules = [package for package in by_name if is_module(package, by_name)]
    return {project: package for package in modules for project in sorted(names.projects(package))}
