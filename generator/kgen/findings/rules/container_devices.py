"""The container has the driver's library and not its devices."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    for one in facts.accelerated:
        says = kind_of(one.lock).driver_help
        library, kind = around.driver_library, around.container
        if around.wsl or says.contained is None or around.nodes is None or kind is None or kind not in says.containers:
            continue
        missing = [name for name in says.contained.nodes if name not in around.nodes]
        # one that no driver is behind is another finding
        if missing and library is not None and library.stem == says.library and library.answers is not False:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"the container has {says.library} and no {' and no '.join(f'/dev/{name}' for name in missing)}",
                f"/dev, in a container ({kind})",
                "the library finds no device, and the frameworks train on the CPU, or not at all",
                says.containers[kind],
            )


RULE = Rule(
    rank=23,
    title="The container has the driver's library and not its devices",
    about=(
        "An image with a libcuda of its own, or one that was mounted by hand, was started without the "
        "toolkit that gives it the devices: what a process opens in /dev is missing."
    ),
    fixing=("Start the container with the GPU, by the toolkit of its runtime."),
    examine=_examine,
)
