"""A variable leads compilers to a toolkit that is older than the locked one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

from kgen.findings.phrases import kind_of, less, place
from kgen.findings.shape import Facts, Finding, Rule
from kgen.validation import variables

_SHARED = ("/bin", "/usr/bin", "/usr/local/bin")
"""Folders with the programs of everybody: they stay on PATH."""


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        named = (
            version
            for stem in kind.driver_help.assembler_packages
            for name, version in one.lock.versions.items()
            if re.fullmatch(rf"{re.escape(stem)}(-cu\d+)?", name)
        )
        locked = next(named, None)
        for tool in facts.around.assemblers if locked is not None else ():
            if locked is None or tool.version is None or Path(tool.path).name != kind.driver_help.assembler:
                continue
            there, wanted = Version(tool.version), Version(locked)
            takes = any(row.concerns(one.lock.versions, kind.name) for row in variables.of(tool.variable))
            if not takes or there.release[:2] >= wanted.release[:2]:
                continue
            toolkit = ".".join(map(str, wanted.release[:2]))
            yield Finding(
                "fault" if there.major < wanted.major else "note",
                (one.lock.environment,),
                f"{tool.variable} leads to {kind.driver_help.assembler} of {kind.title} {tool.version}, and"
                f" {kind.title} {toolkit} is locked",
                tool.path,
                "the framework's compiler may start it in place of the locked one: it then fails on newer code, or"
                " makes wrong code",
                _away(tool.variable, Path(tool.path), facts),
            )


def _away(variable: str, program: Path, facts: Facts) -> str:
    """The command after which nothing is led there."""
    if variable != "PATH":
        return f"unset {variable}" + place(variable, facts.around)
    if str(program.parent) in _SHARED:
        named = shlex.quote(program.name)
        return f"type -a {named}   # remove the package that brought {program}, if nothing else needs it"
    return less(variable, {str(program.parent)}, ":", ":", facts.around)


RULE = Rule(
    rank=88,
    title="A variable leads compilers to a toolkit that is older than the locked one",
    about=(
        "XLA, with which JAX and TensorFlow compile, starts `ptxas` to make machine code. It looks on PATH and in "
        "CUDA_HOME too, and takes what it finds there for its own. kgen asks those for their release, and compares "
        "it with the toolkit of the lock. It is a fault if the major is an older one."
    ),
    fixing="Take the folder of the older toolkit out of the variable.",
    examine=_examine,
)
