"""A variable hides GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kgen import accelerators
from kgen.findings.phrases import PROCESS, place
from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.visibility import count, divided
from kgen.validation import variables
from kgen.validation.visibility import Shown, shown

_INSTANCE = r"\+?[0-9]+:[0-9]+"
"""How the toolkit of containers writes an instance: the number of its GPU and its own. CUDA reads the first alone."""


def _examine(facts: Facts) -> Iterator[Finding]:
    for kind, row in facts.matrix.accelerators.items():
        concerned = tuple(one.lock.environment for one in facts.examined if one.lock.computes_on.kind == kind)
        if concerned:
            yield from _of_kind(facts, kind, concerned, tuple(reversed(row.hiding)))


def _of_kind(facts: Facts, kind: str, concerned: tuple[str, ...], names: tuple[str, ...]) -> Iterator[Finding]:
    """What hides devices of a kind; a variable chooses among those that the ones before it leave."""
    set_here, around, there = facts.around.variables, divided(facts, kind), count(facts, kind)
    devices, begin = facts.machine.of(kind).gpus, accelerators.kind(kind).driver_help.names_begin
    for name in (one for one in names if one in set_here):
        fix = f"unset {name}" + place(name, facts.around)
        row = next((one for one in variables.of(name) if one.fits(set_here)), None)
        found = shown(set_here[name], devices, begin, around, there) if devices and row is None else None
        if row is not None:
            what, why = row.says.format(set_here[name]), "the frameworks will train on the CPU without a word"
            yield Finding("fault", concerned, what, PROCESS, why, fix)
        elif found is not None and not found.places:
            what = f"{name}={set_here[name]} {_nothing(found, there if around else len(devices))}"
            why = (
                "the frameworks will train on the CPU without a word"
                if found.twice
                else "the devices before the first that is not there are shown, and there is none before it"
            )
            if around and not found.twice and found.rest[0].isdecimal():
                why = "numbers are those of GPUs; an instance of a divided GPU is chosen by its name alone"
                fix = _by_name(name, devices, int(found.rest[0])) or fix
            yield Finding("fault", concerned, what, PROCESS, why, fix)
        elif around and (told := _first_alone(set_here[name], found)):
            why = "a process computes on one instance of a divided GPU"
            yield Finding("note", concerned, f"{name}={set_here[name]} {told}", PROCESS, why, fix)
        elif found is not None and (left := _left(found, devices, begin, around)):
            what = f"{name}={set_here[name]} shows {len(found.places)} of the GPUs that it names, and not {left}"
            why = f"the list ends before {found.rest[0] or 'an empty entry'}, which {_is_none(found)}"
            yield Finding("note", concerned, what, PROCESS, why, fix)
        if row is not None or (found is not None and not found.places):
            return
        if found is not None and not around:
            devices = tuple(devices[at] for at in found.places)


def _by_name(name: str, devices: tuple[accelerators.Gpu, ...], number: int) -> str:
    """What chooses the instance that somebody gave the number of; nothing where there is none, or it has no name."""
    selector = devices[number].selector if number < len(devices) else ""
    return f"export {name}={selector}" if selector else ""


def _first_alone(text: str, found: Shown | None) -> str:
    """What is passed over of a list that was to choose among instances; nothing where all of it is heeded."""
    if found is not None and len(found.places) > 1:
        return f"names {len(found.places)} instances, and shows the first"
    first = text.partition(",")[0].strip()
    if re.fullmatch(_INSTANCE, first):
        return f"shows the first instance of GPU {first.partition(':')[0]}: what follows the colon is passed over"
    return ""


def _nothing(found: Shown, count: int) -> str:
    """Why a list shows nothing."""
    if found.twice:
        return "names a device twice, which hides every GPU"
    first = found.rest[0]
    if first.isdecimal():
        return f"begins with GPU {first}, and the numbers here end with {count - 1}"
    return f"begins with {first}, which {_is_none(found)}"


def _is_none(found: Shown) -> str:
    return "begins the names of several GPUs here" if found.several else "is not a GPU of this machine"


def _left(found: Shown, devices: tuple[accelerators.Gpu, ...], begin: tuple[str, ...], around: tuple[str, ...]) -> str:
    """What a list names from its end on, and somebody meant: neither that end itself, as -1, nor what it shows."""
    left = []
    for entry in found.rest:
        one = shown(entry, devices, begin, around) if entry and not entry.startswith("-") else None
        if one is not None and not set(one.places) & set(found.places):
            left.append(entry)
    return ", ".join(left)


RULE = Rule(
    rank=60,
    title="A variable hides GPUs",
    about=(
        "CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES and their like choose the "
        "devices of a process. The list ends with the first entry that is not a device: an empty one, -1, a word, the "
        "number or the name of a GPU that this machine does not have, or what begins the names of several. As the "
        "first entry that hides all of them; later on, what stands behind it. A device that is named twice hides all, "
        "too. Where GPUs are divided (MIG), numbers are still those of GPUs, and of several instances a process "
        "is shown the first."
    ),
    fixing=("Unset the variable, or name devices of this machine in it."),
    examine=_examine,
)
