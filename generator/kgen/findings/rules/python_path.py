"""PYTHONPATH shadows what is locked."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.explain.names import few
from kgen.findings.phrases import less
from kgen.findings.shadowing import shadowed, shadowed_of_python
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        # without a folder in it the variable has no effect; an empty one beside others is the working folder
        written = facts.around.variables.get("PYTHONPATH", "")
        for folder in written.split(":") if written else ():
            for others, what, why in (
                (shadowed(one, folder or "."), "another", "it goes before what is installed in the environment"),
                (
                    shadowed_of_python(one, folder or "."),
                    "a module called like Python's own",
                    "it goes before Python's, and whatever imports that gets it",
                ),
            ):
                if others:
                    yield Finding(
                        "fault",
                        (one.lock.environment,),
                        f"PYTHONPATH has {what} {few(others)}",
                        folder or "the working folder, which an empty entry stands for",
                        why,
                        less("PYTHONPATH", {folder}, ":", ":", facts.around),
                    )


RULE = Rule(
    rank=110,
    title="PYTHONPATH shadows what is locked",
    about=(
        "The folders of PYTHONPATH go before what is installed in an environment: another release of a "
        "locked package there is imported in its place, and a module called like one of Python's own (`random.py`) in "
        "the place of that."
    ),
    fixing=("Take the folder out of PYTHONPATH."),
    examine=_examine,
)
