"""The driver is there and does not answer."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import kind_of


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        here, says = facts.machine.of(kind.name), kind.driver_help
        note = here.note
        if note is not None and not here.two_versions:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{kind.maker}'s driver does not answer: {note}",
                says.interface,
                "no framework will see the GPU",
                says.status,
            )


RULE = Rule(
    rank=10,
    title="The driver is there and does not answer",
    about=(
        "NVML, or the kernel's interface of another maker, is there and fails. No framework sees the GPU "
        "until it answers."
    ),
    fixing=("Ask the maker's own tool, which prints the reason."),
    examine=_examine,
)
