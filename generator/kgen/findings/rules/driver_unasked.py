"""The driver is at work, and kgen cannot ask it."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        says, library = kind.driver_help, facts.around.driver_library
        if not facts.unasked(kind) or says.contained is None or library is None:
            continue
        contained = facts.around.container is not None
        yield Finding(
            "note",
            (one.lock.environment,),
            f"{says.library} and its devices are here, and {says.interface} is not: kgen cannot ask the driver",
            f"{library.path} (by {library.via})",
            "frameworks find the GPU; kgen judges neither the driver's version nor the GPU",
            f"start the container with {says.contained.variable}={says.contained.compute},{says.contained.ask}"
            if contained
            else f"kgen validate {one.lock.environment}",
        )


RULE = Rule(
    rank=21,
    title="The driver is at work, and kgen cannot ask it",
    about=(
        "kgen asks NVIDIA's driver through NVML. A container whose NVIDIA_DRIVER_CAPABILITIES is `compute` alone has "
        "libcuda and the devices, on which frameworks compute, but no NVML, which is among `utility`."
    ),
    fixing=("Start the container with `compute,utility`, or prove the environment with `kgen validate`."),
    examine=_examine,
)
