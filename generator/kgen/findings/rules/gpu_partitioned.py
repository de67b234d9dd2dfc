"""A GPU is divided into instances."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        states = facts.conditions.get(kind.name, ())
        usable = bool(facts.machine.of(kind.name).gpus)
        for state in states:
            if state.partitions is None:
                continue
            what = f"GPU {state.number} ({state.name}) is divided into {len(state.partitions) or 'no'} instances"
            if len(state.partitions) == 1:
                what = f"GPU {state.number} ({state.name}) has one instance"
            yield Finding(
                "note" if usable else "fault",
                (one.lock.environment,),
                what,
                kind.driver_help.interface,
                "a process computes on one instance, and has no more memory than that has"
                if state.partitions
                else "there is nothing on it that a process could compute on",
                kind.driver_help.listing
                if state.partitions
                else "sudo nvidia-smi mig -lgip   # lists what there may be; -cgi ID -C makes one and lets it compute",
            )


RULE = Rule(
    rank=42,
    title="A GPU is divided into instances",
    about=(
        "NVIDIA's Multi-Instance GPU (MIG) divides one GPU among several users. CUDA then computes on the "
        "instances in place of the GPU: each counts as a device with its own memory, and a process uses one "
        "of them. Without an instance there is no device, nor with one that nobody let compute: "
        "`nvidia-smi mig -lgi` lists such, and `-cci` makes their compute instances."
    ),
    fixing=(
        "`nvidia-smi --list-gpus` lists the instances. Put the UUID of one into CUDA_VISIBLE_DEVICES, or ask "
        "the administrator to make one."
    ),
    examine=_examine,
)
