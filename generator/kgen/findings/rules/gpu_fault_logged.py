"""The kernel has logged a fault of a GPU."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        for fault in facts.around.faults:
            meaning = kind.driver_help.codes.get(fault.code)
            if meaning is None:
                continue
            times = "once" if fault.times == 1 else f"{fault.times} times"
            yield Finding(
                "note",
                (one.lock.environment,),
                f"the kernel has logged {times} of the GPU at {fault.device}: {meaning} (code {fault.code})",
                "the kernel's log",
                "if the GPU was not reset since, it computes wrong, or not at all",
                f"sudo dmesg | grep {fault.device}   # and: {kind.driver_help.status}",
            )


RULE = Rule(
    rank=45,
    title="The kernel has logged a fault of a GPU",
    about=(
        "The driver writes faults of a GPU to the kernel's log with a number (NVIDIA's Xid). kgen reads "
        "the log where this user may, and reports those after which a GPU needs a reset; what a program "
        "did wrong has other numbers and is not a finding. The log tells nothing of a reset, so it is a "
        "note."
    ),
    fixing=("Read the lines, and ask the maker's tool how the GPU is. Reset it, or restart the machine."),
    examine=_examine,
)
