"""A variable hides every GPU."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import PROCESS, place
from kgen.validation import variables


def _examine(facts: Facts) -> Iterator[Finding]:
    for kind, row in facts.matrix.accelerators.items():
        concerned = tuple(one.lock.environment for one in facts.examined if one.lock.computes_on.kind == kind)
        for name in row.hiding if concerned else ():
            absent = _absent(name, kind, facts)
            if absent is not None:
                yield Finding(
                    "fault",
                    concerned,
                    f"{name}={facts.around.variables[name]} begins with GPU {absent}, and the numbers here end with"
                    f" {len(facts.machine.of(kind).gpus) - 1}",
                    PROCESS,
                    "the devices before the first that is not there are shown, and there is none before it",
                    f"unset {name}" + place(name, facts.around),
                )
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


def _absent(name: str, kind: str, facts: Facts) -> int | None:
    """The number of a device that a variable names first, where this machine has no such; None otherwise."""
    first = facts.around.variables.get(name, "").partition(",")[0].strip()
    devices = facts.machine.of(kind).gpus
    # the instances of a divided GPU have numbers too
    divided = any(one.partitions is not None for one in facts.conditions.get(kind, ()))
    return int(first) if devices and not divided and first.isdecimal() and int(first) >= len(devices) else None


RULE = Rule(
    rank=60,
    title="A variable hides every GPU",
    about=(
        "CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES and their like choose the "
        "devices of a process. The list ends with the first entry that is no device: an empty one, -1, a word, or the "
        "number of a GPU that this machine does not have hides all of them."
    ),
    fixing=("Unset the variable, or name a device in it."),
    examine=_examine,
)
