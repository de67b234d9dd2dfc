"""Phrases that several rules share."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection
from pathlib import Path

from kgen import accelerators
from kgen.accelerators import Kind
from kgen.findings.shape import ExaminedEnvironment, Facts
from kgen.loader.search import LIBRARY_PATH, PRELOAD, PRELOAD_FILE, RPATH, RUNPATH, leading_to
from kgen.model.lockfile import Lockfile
from kgen.surroundings import Surroundings

PROCESS = "the environment of this process"

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
"""Folders of the system itself, without which a machine does not start."""


def backends(lock: Lockfile) -> str:
    """The words that `kgen lock` takes for the content of this lock."""
    if len(lock.backends) == 1:
        return f"{lock.backends[0]}{lock.form.words}"
    name = accelerators.without_ending(lock.environment.removesuffix(lock.form.suffix))
    return f"{' '.join(lock.backends)} --together {name}{lock.form.words}"


def kind_of(lock: Lockfile) -> Kind:
    """The kind of accelerator that a lock is for."""
    return accelerators.kind(lock.computes_on.kind)


def lock_again(lock: Lockfile, kind: Kind, facts: Facts, words: str) -> str:
    """The command that locks for the examined machine; `words` say what it has."""
    asked = f"--target {facts.target}" if facts.target else f"--{kind.name} auto {words}"
    return f"kgen lock {backends(lock)} {asked}"


def made_again(one: ExaminedEnvironment) -> str:
    """The command that makes an environment again from its lock."""
    return f"rm -r {shlex.quote(str(one.prefix))} && kgen sync {one.lock.environment}"


def newer_driver(kind: Kind, around: Surroundings) -> str:
    """How to install a newer driver on this machine."""
    if around.container is not None:
        return "update the driver of the machine that runs the container"
    install = kind.driver_help.install
    known = next((install[name] for name in around.distribution if name in install), None)
    return known or f"install a newer driver from {kind.maker} or your distribution"


def shown_none(kind: Kind, around: Surroundings) -> str | None:
    """The setting with which a container got no device, to report if it has none; None without such a setting."""
    contained = kind.driver_help.contained
    if contained is None or around.container is None:
        return None
    # `void` also occurs when the runtime passes devices by CDI
    value = around.variables.get(contained.chooses)
    return f"{contained.chooses} is `{value}`" if value in contained.none else None


def place(variable: str, around: Surroundings) -> str:
    """The place where a start-up file sets the variable, as a comment after a command."""
    places = around.set_in.get(variable, ())
    return f"   # and for good: {', '.join(places)}" if places else ""


def without(path: Path, via: str, around: Surroundings) -> str:
    """The command that makes the loader not find a library there any more, with everything else as before."""
    folder = path.parent
    if via == PRELOAD:
        return less(PRELOAD, {str(path), path.name}, "[ :]+", " ", around)
    if via == LIBRARY_PATH:
        driver = around.driver_library
        if driver is not None and driver.answers and Path(driver.path).parent == folder and Path(driver.path) != path:
            return (
                f"ls -l {shlex.quote(str(path))}   # the driver's own library is beside it: take this file out of there"
            )
        return less(LIBRARY_PATH, set(map(str, leading_to(folder))), "[:;]", ":", around)
    return _out_of_reach(path, via)


def _out_of_reach(path: Path, via: str) -> str:
    """The same if no variable names the folder."""
    if via == PRELOAD_FILE:
        named = shlex.quote(str(path))
        return f"grep -nF {named} {PRELOAD_FILE}   # every program loads what stands there: sudoedit {PRELOAD_FILE}"
    if via in {RPATH, RUNPATH}:
        return f"ls -l {shlex.quote(str(path))}   # {via} of what asks for it leads there: move it aside"
    folder = path.parent
    if is_systems(folder):
        named = shlex.quote(str(path))
        return f"dpkg -S {named} || rpm -qf {named}   # remove that package if nothing else needs it"
    return (
        f"grep -rl {shlex.quote(str(folder))} /etc/ld.so.conf /etc/ld.so.conf.d"
        "   # take that line out if nothing else needs it, then: sudo ldconfig"
    )


def looking_first(folder: Path) -> str:
    """The command that makes the loader search a folder before others."""
    return f"export {LIBRARY_PATH}={shlex.quote(str(folder))}${{{LIBRARY_PATH}:+:${LIBRARY_PATH}}}"


def is_systems(folder: Path) -> bool:
    """Whether a folder belongs to the system, or is its subfolder for this architecture."""
    return str(folder) in _SYSTEM or (str(folder.parent) in _SYSTEM and folder.name.endswith("-linux-gnu"))


def less(variable: str, entries: Collection[str], between: str, joint: str, around: Surroundings) -> str:
    """The command that removes entries from a variable, however they are spelled, and keeps the others as they are."""
    every = re.split(between, around.variables.get(variable, ""))
    kept = [one for one in every if one and not _leads_to(one, entries)]
    text = f"export {variable}={shlex.quote(joint.join(kept))}" if kept else f"unset {variable}"
    return text + place(variable, around)


def _leads_to(entry: str, places: Collection[str]) -> bool:
    """Whether an entry, as spelled, is one of these places; the loader's own tokens in it may stand for anything."""
    if "$" not in entry:
        return entry in places or os.path.normpath(entry) in places
    words = re.split(r"\$(?:ORIGIN|LIB|PLATFORM|\{(?:ORIGIN|LIB|PLATFORM)\})", entry)
    if words[0] == "" and words[1].startswith("/../"):
        # the parent of a program's folder may be anywhere
        words = ["", words[1].rpartition("../")[2].join(("/", "")), *words[2:]]
    return any(re.fullmatch(".+".join(map(re.escape, words)).rstrip("/"), one) for one in places)
