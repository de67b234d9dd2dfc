"""What is installed and what was loaded, beside what is locked."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli


class Difference(NamedTuple):
    """A pin that is not kept.

    Attributes:
        package: its normalised name.
        locked: the version of the lock.
        installed: the version that is there; None if there is none.
    """

    package: str
    locked: str
    installed: str | None


class Mismatch(NamedTuple):
    """A library of another version than the package that should have provided it.

    Attributes:
        title: what people call the library.
        file: the name of the file that was loaded.
        path: where that is, as far as a receipt may say.
        loaded: the version that the library says.
        package: the package.
        wanted: the version of the package.
        judged: whether this is a fault; else it is only worth telling.
    """

    title: str
    file: str
    path: str
    loaded: str
    package: str
    wanted: str
    judged: bool


def differences(locked: Mapping[str, str], installed: Mapping[str, str]) -> tuple[Difference, ...]:
    """The pins that what is installed does not keep; packages that are not locked do not count."""
    return tuple(
        Difference(package, version, installed.get(package))
        for package, version in sorted(locked.items())
        if not _same(version, installed.get(package))
    )


def _same(one: str, other: str | None) -> bool:
    """Whether two versions are the same; a local label counts only where both have one, such as `2.13.0+cpu`."""
    if other is None:
        return False
    if "+" in one and "+" in other:
        return one == other
    return one.partition("+")[0] == other.partition("+")[0]


def telling(found: Sequence[Difference], frameworks: Collection[str]) -> tuple[tuple[Difference, ...], int]:
    """The differences that a proof depends on, those of frameworks first; and how many others there are.

    Args:
        found: the differences.
        frameworks: the packages that were decided on: frameworks, their parts and Keras.
    """
    carried = {name for row in libraries().values() for name in row["packages"]}
    ranks = {one: 0 if one.package in frameworks else 1 if one.package in carried else 2 for one in found}
    first = sorted((one for one in found if ranks[one] < len(_RANKS)), key=lambda one: (ranks[one], one.package))
    return tuple(first), len(found) - len(first)


_RANKS = ("a framework", "a library of the accelerator")


def mismatches(
    loaded: Sequence[Mapping[str, Any]], installed: Mapping[str, str], locked: Mapping[str, str]
) -> tuple[Mismatch, ...]:
    """The loaded libraries that are not of the version of their package.

    The package that is installed counts, or else the one that is locked: an environment that kgen did not make may
    take them from the system, which kgen reports, and is not a fault.

    Args:
        loaded: rows of the step's `libraries`.
        installed: normalised name -> version.
        locked: the same of the lock; empty without one.
    """
    found = []
    for row in loaded:
        known = libraries().get(row["name"])
        if known is None or row["version"] is None:
            continue
        for versions, judged in ((installed, bool(known["judged"])), (locked, False)):
            package = next((name for name in known["packages"] if name in versions), None)
            if package is not None:
                if not _agree(row["version"], versions[package]):
                    found.append(
                        Mismatch(
                            known["title"],
                            row["file"],
                            row["path"],
                            row["version"],
                            package,
                            versions[package],
                            judged,
                        )
                    )
                break
    return tuple(found)


def _agree(reported: str, pinned: str) -> bool:
    """Whether the parts that a library tells are those that its package's version begins with."""
    parts = reported.split(".")
    return pinned.split(".")[: len(parts)] == parts


@functools.cache
def libraries() -> Mapping[str, Mapping[str, Any]]:
    """What kgen knows of CUDA libraries: stem, as `cudnn` -> `title`, `packages` and `judged`."""
    return tomli.loads((Path(__file__).parent / "libraries.toml").read_text(encoding="utf-8"))
