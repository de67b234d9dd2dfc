"""Processes may use few of the processors."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_FIXES = {
    "docker": "docker run --cpuset-cpus 0-7 …",
    "podman": "podman run --cpuset-cpus 0-7 …",
}
_SLURM, _SLURM_FIX = "SLURM_JOB_ID", "srun --cpus-per-task=8 …   # in a script: #SBATCH --cpus-per-task=8"


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    if around.processors is None:
        return
    there, usable, share = around.processors
    for one in facts.examined:
        if len(usable) == 1 and there > 1:
            yield Finding(
                "note",
                (one.lock.environment,),
                f"a process may run on 1 of {there} processors",
                "the processors that this process may run on (`taskset -cp $$`)",
                "what loads data, what compiles and what starts the GPU's work take turns on it",
                _SLURM_FIX
                if _SLURM in around.variables
                else _FIXES.get(around.container or "", f"taskset -cp 0-{there - 1} $$"),
            )
        elif share is not None and len(usable) >= 2 * share:
            enough = ",".join(map(str, usable[: max(math.ceil(share), 1)]))
            yield Finding(
                "note",
                (one.lock.environment,),
                f"processes get the time of {share:g} of {len(usable)} processors",
                "the control group of this process",
                "frameworks start threads for all of them, and the kernel stops all once they have used that time up",
                f"taskset -c {enough} kgen run {one.lock.environment} -- python …",
            )


RULE = Rule(
    rank=116,
    title="Processes may use few of the processors",
    about=(
        "Slurm gives a task one processor unless it asks for more, and a container may be given a few; then a GPU "
        "waits for data. A container's limit of time (`docker run --cpus`, `limits.cpu` of Kubernetes) is another "
        "one: frameworks count the processors that they may run on, start threads for each, and are all "
        "stopped for the rest of each tenth of a second once the time is used up."
    ),
    fixing=(
        "Ask for more processors. Under a limit of time, start the program with `taskset` on as many as it gets the "
        "time of; frameworks count these."
    ),
    examine=_examine,
)
