"""A variable hides every GPU."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import PROCESS, place
from kgen.validation import variables


def _examine(facts: Facts) -> Iterator[Finding]:
    for kind, row in facts.matrix.accelerators.items():
        concerned = tuple(one.lock.environment for one in facts.examined if one.lock.computes_on.kind == kind)
        for variable in (one for name in row.hiding for one in variables.of(name)) if concerned else ():
            if variable.fits(facts.around.variables):
                yield Finding(
                    "fault",
                    concerned,
                    variable.says.format(facts.around.variables[variable.name]),
                    PROCESS,
                    "the frameworks will train on the CPU without a word",
                    f"unset {variable.name}" + place(variable.name, facts.around),
                )


RULE = Rule(
    rank=60,
    title="A variable hides every GPU",
    about=(
        "CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES and their like choose the "
        "devices of a process; an empty list, or -1 first, hides all of them."
    ),
    fixing=("Unset the variable, or name a device in it."),
    examine=_examine,
)
