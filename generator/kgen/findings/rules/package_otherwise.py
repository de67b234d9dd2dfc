"""What is installed is not what is locked."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from kgen.explain.names import few
from kgen.findings.shape import ExaminedEnvironment, Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        # packages of conda are called otherwise than their metadata for Python
        if not one.versions or one.lock.form.brings_python:
            continue
        other = _otherwise(one)
        decided = sorted(name for name in other if name in one.lock.packages or name in one.lock.libraries)
        names = [*decided, *sorted(other.keys() - {*decided})]
        if other:
            yield Finding(
                "note",
                (one.lock.environment,),
                f"what is installed is not what is locked: {few([other[name] for name in names])}",
                str(one.prefix),
                "`kgen run` makes the environment again; who starts its Python directly computes with that",
                f"kgen sync {one.lock.environment}",
            )


def _otherwise(one: ExaminedEnvironment) -> dict[str, str]:
    """Package -> how it is otherwise. A build is another one where its local label is: `2.10.0+rocm6.4`."""
    found = {}
    for file in one.lock.files:
        there = one.versions.get(file.name)
        if not file.filename.endswith(".whl"):
            continue
        if there is None:
            found[file.name] = f"{file.name} {file.version} is gone"
        elif not _same(there, file.version):
            found[file.name] = f"{file.name} {there}, not {file.version}"
    return found


def _same(one: str, other: str) -> bool:
    try:
        return one == other or Version(one) == Version(other)
    except InvalidVersion:
        return False


RULE = Rule(
    rank=8,
    title="What is installed is not what is locked",
    about=(
        "An installer was used in an environment. kgen compares the metadata there with the lock, local labels too: "
        "`torch 2.10.0+rocm6.4` is another build than `torch 2.10.0`. What was only added does not count."
    ),
    fixing="Have the environment made again from its lock; `kgen add` locks what is wanted besides.",
    examine=_examine,
)
