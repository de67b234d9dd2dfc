"""The driver's module and its libraries are of two versions."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        here = facts.machine.of(kind.name)
        if here.two_versions:
            contained = facts.around.container is not None
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"the kernel runs {kind.maker}'s module of another version than the libraries are: {here.note}",
                kind.driver_help.interface,
                "no framework will see the GPU until both are of one version",
                "start the container again: its libraries are those of the driver from before"
                if contained
                else "sudo reboot",
            )


RULE = Rule(
    rank=11,
    title="The driver's module and its libraries are of two versions",
    about=(
        "The driver was updated while its old module was at work. The libraries are the new ones and do "
        "not talk to the old module, NVML says so by a code of its own, and no framework sees the GPU "
        "until the new module is loaded."
    ),
    fixing=(
        "Restart the machine; a container has to be started again, because it was given the libraries of "
        "the driver that ran then."
    ),
    examine=_examine,
)
