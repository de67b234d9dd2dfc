"""PYTHONHOME is set."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import PROCESS, place
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    home = facts.around.variables.get("PYTHONHOME")
    if home:
        yield Finding(
            "fault",
            (),
            f"PYTHONHOME={home} is set",
            PROCESS,
            "the interpreter of an environment, used directly, takes its standard library from there and fails",
            "unset PYTHONHOME" + place("PYTHONHOME", facts.around),
        )


RULE = Rule(
    rank=111,
    title="PYTHONHOME is set",
    about=("An interpreter takes its standard library from there, and fails if it is of another version."),
    fixing=("Unset it."),
    examine=_examine,
)
