"""This machine has no such GPU."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    vendors = facts.around.gpu_vendors
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        says, here = kind.driver_help, facts.machine.of(kind.name)
        if facts.around.driver_elsewhere is not None or facts.unasked(kind):
            continue
        unknown = vendors is None and facts.around.container not in says.containers
        if not here.found and here.note is None and (unknown or (vendors is not None and says.vendor not in vendors)):
            yield Finding(
                "note",
                (one.lock.environment,),
                f"this machine has no {kind.device_noun}",
                says.interface if vendors is None else f"the PCI bus, {says.interface}",
                "here the environment will train on the CPU, or not at all",
                "run it on a machine that has one, or lock for this one: kgen lock --cpu",
            )


RULE = Rule(
    rank=30,
    title="This machine has no such GPU",
    about=(
        "This machine has no device of the kind that the lock is for. kgen only notes it, because people "
        "make and maintain locks for a cluster on machines without its GPUs."
    ),
    fixing=("Run it on a machine that has one, or lock for this one."),
    examine=_examine,
)
