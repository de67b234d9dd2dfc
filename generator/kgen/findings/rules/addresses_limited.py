"""The addresses that a process may have are limited."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule

_GB = 10**9


def _examine(facts: Facts) -> Iterator[Finding]:
    limit = facts.around.addresses
    if limit is None:
        return
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        # what its driver reserves is known of the one whose interface tells what devices there are
        if not kind.driver_help.library_file:
            continue
        yield Finding(
            "note",
            (one.lock.environment,),
            f"a process may have addresses for {limit / _GB:.1f} GB (`ulimit -v`)",
            "the limits of this process",
            f"{kind.title} reserves addresses for the memory of the machine and of all GPUs, used or not: with too few"
            " it says that memory is full, or sees no GPU",
            "ulimit -v unlimited   # where a scheduler has set it: ask it for more virtual memory",
        )


RULE = Rule(
    rank=113,
    title="The addresses that a process may have are limited",
    about=(
        "CUDA has one range of addresses for the memory of the machine and of all GPUs, and reserves it whether or not "
        "it is used. A limit of virtual memory, as `ulimit -v` or a scheduler sets it (h_vmem of Grid Engine), is soon "
        "less than that; the limit of a container or of Slurm's is one of memory in use, and does no harm."
    ),
    fixing=("Lift the limit, or have the scheduler limit the memory that is in use."),
    examine=_examine,
)
