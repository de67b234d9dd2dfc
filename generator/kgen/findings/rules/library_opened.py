"""The loader opens another library than the locked one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from packaging.version import InvalidVersion, Version

from kgen.findings.phrases import kind_of, looking_first, made_again, without
from kgen.findings.shape import ExaminedEnvironment, Facts, Finding, Rule, SystemLibrary
from kgen.loader.environment import OpenedLibrary
from kgen.loader.search import PRELOAD, PRELOAD_FILE, RPATH, RUNPATH


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        if not kind_of(one.lock).in_wheels:
            continue
        for library in one.opened:
            found = _judged(library, one, facts)
            if found is not None:
                yield found


def _judged(library: OpenedLibrary, one: ExaminedEnvironment, facts: Facts) -> Finding | None:
    known = facts.libraries.get(f"lib{library.stem}") or facts.libraries.get(f"lib{library.stem.partition('_')[0]}")
    if known is None or (library.inside and library.fault is None):
        return None
    if library.path is None:
        return _missing(library, one)
    if library.fault is not None:
        # to who opens a part by name, when it works, one that is passed over is not there
        if library.passed_over and not library.required and not library.inside:
            return None
        return _broken(library, one, facts)
    return _replaced(library, known, one, facts)


def _asks(library: OpenedLibrary) -> str:
    return f"; {library.by} asks for it" if library.by and library.via not in {PRELOAD, PRELOAD_FILE} else ""


def _missing(library: OpenedLibrary, one: ExaminedEnvironment) -> Finding | None:
    # what a library opens by name when it works may be left out by a release that does without it
    if not library.required or library.own is not None:
        return None
    return Finding(
        "fault",
        (one.lock.environment,),
        f"{library.name} is nowhere, neither in the environment nor on this machine",
        f"{one.prefix}{_asks(library)}",
        "whatever needs it cannot be imported",
        made_again(one),
    )


def _broken(library: OpenedLibrary, one: ExaminedEnvironment, facts: Facts) -> Finding:
    fix = made_again(one) if library.inside else without(Path(library.path or ""), library.via, facts.around)
    return Finding(
        "fault",
        (one.lock.environment,),
        f"{library.name} cannot be loaded: {library.fault}",
        f"{library.path} (by {library.via}){_asks(library)}",
        "the loader takes no other one in its place, and whatever needs it cannot be imported",
        fix,
    )


def _replaced(library: OpenedLibrary, known: SystemLibrary, one: ExaminedEnvironment, facts: Facts) -> Finding | None:
    """What it means that a file of this machine is opened."""
    where = f"{library.path} (by {library.via}){_asks(library)}"
    package, locked = _locked(known, one)
    fix = _away(library, one, facts)
    if library.own is None and library.stem.partition("_")[0] != library.stem:
        return Finding(
            "fault",
            (one.lock.environment,),
            f"{library.name} comes from this machine, and {package or known.title} {locked or ''}".rstrip()
            + " has none",
            where,
            f"{known.title} would run with a part of another release",
            fix,
        )
    if locked is None:
        return None
    kind, told = _compared(library.version, locked)
    return Finding(
        kind,
        (one.lock.environment,),
        f"{known.title} {library.version or 'of a version that it does not tell'} is opened, and {known.title}"
        f" {locked} is locked",
        where,
        told,
        fix,
    )


def _away(library: OpenedLibrary, one: ExaminedEnvironment, facts: Facts) -> str:
    """The command after which a file of this machine is opened no more."""
    # the environment has lost its own, and without this file there would be none
    lost = any(Path(row.path).name == library.name for row in one.missing)
    by_a_framework = library.via in {RPATH, RUNPATH}
    if library.own is None and (lost or by_a_framework) and library.via not in {PRELOAD, PRELOAD_FILE}:
        return made_again(one)
    # the framework looks there after the environment's own folders
    if library.via == RUNPATH and library.own is not None:
        return looking_first(Path(library.own).parent)
    return without(Path(library.path or ""), library.via, facts.around)


def _locked(known: SystemLibrary, one: ExaminedEnvironment) -> tuple[str | None, str | None]:
    versions = one.lock.versions
    package = next((name for name in known.packages if name in versions), None)
    return package, None if package is None else versions[package]


def _compared(version: str | None, locked: str) -> tuple[Literal["fault", "note"], str]:
    """Whether it is a fault to have a version opened in the place of another; and why."""
    try:
        found, wanted = Version(version or ""), Version(locked)
    except InvalidVersion:
        return "fault", "what the framework was tested with is not what it runs with, and kgen cannot tell what is"
    if found.major != wanted.major:
        return "fault", "another major has another interface"
    if found < wanted:
        return "fault", "it is older than what the framework was built for"
    return "note", "it is as new as the locked one, and is not what the lock was proven with"


RULE = Rule(
    rank=80,
    title="The loader opens another library than the locked one",
    about=(
        "For each library of the accelerator that the environment's frameworks ask for, kgen finds the "
        "file that the loader of this machine would open: by LD_PRELOAD, /etc/ld.so.preload, DT_RPATH, "
        "LD_LIBRARY_PATH, DT_RUNPATH, the cache and the default folders, in this order, read from the "
        "environment's own ELF files. Its version is that of the distribution that it was installed with, or "
        "stands in the file; the file's name tells none. It is a fault if the loader fails on the file, if it is of "
        "another major or an older release than the lock's, if its version cannot be told, or if the lock "
        "has no such library and it works beside those that the lock has."
    ),
    fixing=(
        "Take the entry that leads to the file out of the variable that the finding names, or the file "
        "out of the loader's cache."
    ),
    examine=_examine,
)
