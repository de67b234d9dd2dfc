"""The driver is there and does not answer."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        here, says = facts.machine.of(kind.name), kind.driver_help
        note = here.note
        # a device that the bus shows, and no driver tells of, is none that works
        partly = here.driver is not None and bool(here.gpus)
        held = says.other_module and says.other_module in facts.around.modules
        if note is not None and not here.two_versions:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{kind.maker}'s driver {'answers in part' if partly else 'does not answer'}: {note}"
                + (f"; the module `{says.other_module}` holds the GPU" if held else ""),
                says.interface,
                "no framework will see what does not answer, and some do not start at all"
                if partly
                else "no framework will see the GPU",
                f"grep -r {says.other_module} /etc/modprobe.d   # the maker's packages turn it off there: sudo reboot"
                if held
                else says.status,
            )


RULE = Rule(
    rank=10,
    title="The driver is there and does not answer",
    about=(
        "NVML, or the kernel's interface of another maker, is there and fails. No framework sees the GPU "
        "until it answers. A GPU that was lost while others work is reported with what the driver says of it. "
        "Where another module of the kernel (nouveau) was loaded first, it holds the GPU until the "
        "machine is restarted."
    ),
    fixing=("Ask the maker's own tool, which prints the reason. Restart the machine where nouveau holds the GPU."),
    examine=_examine,
)
