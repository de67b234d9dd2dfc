"""The driver is there and does not answer."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import kind_of


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        note, says = facts.machine.of(kind.name).note, kind.driver_help
        if note is not None:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{kind.maker}'s driver does not answer: {note}",
                says.interface,
                "no framework will see the GPU",
                f"{says.status}; if it says the same, reboot: the kernel's module and the libraries may be of two"
                " versions",
            )


RULE = Rule(
    rank=10,
    title="The driver is there and does not answer",
    about=(
        "NVML, or the kernel's interface of another maker, is there and fails. The usual reason after an "
        "update is that the kernel's module is still the old one while the libraries are new: only a "
        "restart loads the new module. No framework sees the GPU until then."
    ),
    fixing=("Ask the maker's own tool, which prints the reason. If it names two versions, restart the machine."),
    examine=_examine,
)
