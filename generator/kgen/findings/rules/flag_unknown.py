"""A variable has flags that the installed compiler does not know."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kgen.findings.phrases import PROCESS, less, place
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        for unknown in one.unknown_flags:
            named = ", ".join(unknown.flags)
            if unknown.source and not unknown.flags:
                what = f"{unknown.variable} names a file that cannot be read: {unknown.source}"
                fix = f"unset {unknown.variable}" + place(unknown.variable, facts.around)
            elif unknown.source:
                what = f"{unknown.variable} names a file with flags that XLA does not know: {named}"
                first, file = shlex.quote(unknown.flags[0]), shlex.quote(unknown.source)
                fix = f"grep -nF -e {first} {file}   # take it out of there"
            else:
                what = f"{unknown.variable} has flags that XLA does not know: {named}"
                fix = less(unknown.variable, {*unknown.flags}, r"\s+", " ", facts.around)
            yield Finding(
                "fault",
                (one.lock.environment,),
                what,
                f"{PROCESS}; {unknown.library}",
                f"{unknown.framework} ends the process with `Unknown flag in {unknown.variable}`"
                if unknown.flags
                else f"{unknown.framework} ends the process with `Could not open file`",
                fix,
            )


RULE = Rule(
    rank=64,
    title="A variable has flags that the installed compiler does not know",
    about=(
        "XLA, with which JAX and TensorFlow compile, reads XLA_FLAGS, and ends the process at a flag that it does not "
        "know: one of a release that is newer or older than the installed one, one for TPUs (`--xla_tpu_…`, which "
        "LIBTPU_INIT_ARGS takes), one that is misspelt. kgen looks for the names among the constants of the installed "
        "library. A value that does not begin with a dash is the name of a file with flags."
    ),
    fixing="Take the flags out of the variable.",
    examine=_examine,
)
