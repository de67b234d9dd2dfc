"""A variable hides every GPU."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import PROCESS, place


def _examine(facts: Facts) -> Iterator[Finding]:
    for kind, row in facts.matrix.accelerators.items():
        concerned = tuple(one.lock.environment for one in facts.examined if one.lock.computes_on.kind == kind)
        for name in row.hiding if concerned else ():
            value = facts.around.variables.get(name)
            if value is not None and (value.strip() == "" or value.startswith(("-", "NoDevFiles"))):
                yield Finding(
                    "fault",
                    concerned,
                    f"{name}={value} hides every GPU",
                    PROCESS,
                    "the frameworks will train on the CPU without a word",
                    f"unset {name}" + place(name, facts.around),
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
