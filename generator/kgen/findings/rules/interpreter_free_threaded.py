"""An environment's interpreter has no global lock, or has one, where what is locked is built for the other."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import made_again
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        wanted = one.lock.free_threaded
        if one.free_threaded is None or wanted is None or one.free_threaded is wanted:
            continue
        version = one.lock.python
        has, needs = ("free-threaded", "usual") if one.free_threaded else ("usual", "free-threaded")
        yield Finding(
            "fault",
            (one.lock.environment,),
            f"the interpreter of the environment is the {has} build of Python {version},"
            f" and the locked wheels are for the {needs} one",
            str(one.prefix),
            "an extension module of the other build is not found: `No module named …`, of what is installed",
            made_again(one),
        )


RULE = Rule(
    rank=113,
    title="The interpreter of the environment is the free-threaded one, or should be",
    about=(
        "Since 3.13 there are two builds of each minor of CPython: the usual one, and the free-threaded one without a "
        "global lock, `3.14t`. Compiled wheels are for one of them, as the tags in their names say (`cp314` and "
        "`cp314t`), and the other does not find their modules. The environment's folder of packages tells which build "
        "made it, and the names of the locked wheels tell which is needed."
    ),
    fixing=(
        "Make the environment again: `kgen sync` asks for an interpreter of the usual build, as no release of "
        "TensorFlow or protobuf is for the other."
    ),
    examine=_examine,
)
