"""There is a GPU, and no driver for it."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of, newer_driver, shown_none
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        says, here = kind.driver_help, facts.machine.of(kind.name)
        if (
            here.found
            or here.note is not None
            or facts.unasked(kind)
            or around.driver_elsewhere is not None
            or (around.gpu_vendors is not None and says.vendor not in around.gpu_vendors)
        ):
            continue
        container = around.container
        if around.gpu_vendors is None and container not in says.containers:
            continue
        if container is not None:
            what = f"the container was started without a GPU: {kind.maker}'s driver is not in it"
            where = f"{says.interface}, in a container ({container})"
            fix = says.containers.get(container, "give the container the GPU's devices and its driver's libraries")
            if (given := shown_none(kind, around)) is not None:
                what += f", and {given}"
        else:
            what = f"there is {kind.device}, and no driver for it"
            if says.other_module and says.other_module in around.modules:
                what += f": the module `{says.other_module}` holds it"
            where, fix = f"the PCI bus, {says.interface}", newer_driver(kind, around)
        yield Finding(
            "fault",
            (one.lock.environment,),
            what,
            where,
            "the environment will train on the CPU, or not at all",
            fix,
        )


RULE = Rule(
    rank=20,
    title="There is a GPU, and no driver for it",
    about=(
        "The PCI bus has a GPU of the maker whose accelerator is locked, and its driver does not answer: "
        "it is not installed, another driver (nouveau) holds the GPU, or the container was started "
        "without it."
    ),
    fixing=("Start the container with the GPU, or install the driver."),
    examine=_examine,
)
