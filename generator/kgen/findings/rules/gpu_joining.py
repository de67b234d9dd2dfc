"""A GPU has not joined its fabric."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        waiting = [state for state in facts.conditions.get(kind.name, ()) if state.joining]
        if waiting:
            numbers = ", ".join(str(state.number) for state in waiting)
            yield Finding(
                "note",
                (one.lock.environment,),
                f"GPU {numbers} ({waiting[0].name}) has not joined the fabric of NVSwitches",
                f"{kind.driver_help.interface}, fabric state",
                "until it has, every process ends with error 802 (system not yet initialized)",
                "sudo systemctl restart nvidia-fabricmanager   # its version must be the driver's",
            )


RULE = Rule(
    rank=43,
    title="A GPU has not joined its fabric",
    about=(
        "GPUs that NVSwitches connect, as in an HGX or DGX machine, work once NVIDIA's Fabric Manager has told them of "
        "each other. Where it does not run, or is of another version than the driver, NVML shows the GPUs and CUDA "
        "ends with error 802. NVML tells the state of GPUs from Hopper on; of an A100 kgen cannot tell."
    ),
    fixing=(
        "Install the Fabric Manager of the driver's own version (`nvidia-fabricmanager-…`) and start it. In a "
        "container or a virtual machine, that is for the machine that runs it."
    ),
    examine=_examine,
)
