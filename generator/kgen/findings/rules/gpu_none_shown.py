"""The driver shows no GPU."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of, shown_none
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        here, says = facts.machine.of(kind.name), kind.driver_help
        divided = any(one.partitions is not None for one in facts.conditions.get(kind.name, ()))
        if here.found and not here.gpus and here.note is None and not divided:
            container, given = facts.around.container, shown_none(kind, facts.around)
            yield Finding(
                "fault",
                (one.lock.environment,),
                "the driver shows no GPU" + (f": {given}" if given else ""),
                says.interface,
                "there is nothing to run on",
                says.containers.get(container, says.listing) if container and given else says.listing,
            )


RULE = Rule(
    rank=40,
    title="The driver shows no GPU",
    about=(
        "The driver answers and has no device to give: it fell off the bus, is taken by a virtual "
        "machine, or the container was given none: NVIDIA_VISIBLE_DEVICES is `none` or `void` in it."
    ),
    fixing=("Ask the maker's own tool for its list. Start the container with a GPU."),
    examine=_examine,
)
