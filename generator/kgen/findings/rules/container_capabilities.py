"""The container was not given the driver's libraries for computing."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    for one in facts.accelerated:
        contained = kind_of(one.lock).driver_help.contained
        # set on the machine itself the variable means nothing
        if contained is None or around.container is None or contained.variable not in around.variables:
            continue
        words = {word.strip() for word in around.variables[contained.variable].split(",")}
        if words & {contained.compute, contained.every}:
            continue
        yield Finding(
            "fault",
            (one.lock.environment,),
            f"{contained.variable} is `{around.variables[contained.variable]}`, without `{contained.compute}`",
            f"the environment of this container ({around.container})",
            "the container has the GPU and not the libraries that compute on it",
            f"start the container with {contained.variable}={contained.compute},{contained.ask}",
        )


RULE = Rule(
    rank=22,
    title="The container was not given the driver's libraries for computing",
    about=(
        "NVIDIA's container toolkit gives a container those of the driver's libraries that "
        "NVIDIA_DRIVER_CAPABILITIES names. Without `compute` there is no libcuda in it, and with "
        "`utility` alone nvidia-smi works all the same."
    ),
    fixing=("Start the container with `compute` among the capabilities."),
    examine=_examine,
)
