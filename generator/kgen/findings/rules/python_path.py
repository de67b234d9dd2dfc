"""PYTHONPATH shadows what is locked."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shadowing import shadowed
from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import less


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        # without a folder in it the variable has no effect; an empty one beside others is the working folder
        written = facts.around.variables.get("PYTHONPATH", "")
        for folder in written.split(":") if written else ():
            others = shadowed(one, folder or ".")
            if others:
                yield Finding(
                    "fault",
                    (one.lock.environment,),
                    f"PYTHONPATH has another {', '.join(others)}",
                    folder or "the working folder, which an empty entry stands for",
                    "it goes before what is installed in the environment",
                    less("PYTHONPATH", {folder}, ":", ":", facts.around),
                )


RULE = Rule(
    rank=110,
    title="PYTHONPATH shadows what is locked",
    about=(
        "The folders of PYTHONPATH go before what is installed in an environment: another release of a "
        "locked package there is imported in its place."
    ),
    fixing=("Take the folder out of PYTHONPATH."),
    examine=_examine,
)
