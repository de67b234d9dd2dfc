"""How many devices a process is shown on the machine that is judged."""

from __future__ import annotations

from kgen import accelerators
from kgen.findings.shape import Facts
from kgen.validation.visibility import shown


def visible(facts: Facts, kind: str) -> int | None:
    """The number of devices that a process sees; None if unknown."""
    devices = facts.machine.of(kind).gpus
    if divided(facts, kind) or not devices:
        return None
    prefixes = accelerators.kind(kind).driver_help.names_begin
    # HIP counts on among those that the driver below it leaves
    for name in reversed(facts.matrix.accelerators[kind].hiding):
        if name in facts.around.variables:
            found = shown(facts.around.variables[name], devices, prefixes)
            if found is None:
                return None
            devices = tuple(devices[place] for place in found.places)
    return len(devices)


def count(facts: Facts, kind: str) -> int:
    """How many GPUs there are by their numbers, whatever they are divided into; 0 where there is no telling."""
    return max((one.number + 1 for one in facts.conditions.get(kind, ())), default=0)


def divided(facts: Facts, kind: str) -> tuple[str, ...]:
    """The names of the GPUs that are divided."""
    return tuple(one.selector for one in facts.conditions.get(kind, ()) if one.partitions is not None)
