"""A GPU's memory has errors that could not be corrected."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        for state in facts.conditions.get(kind.name, ()):
            which = f"of the memory of GPU {state.number} ({state.name})"
            if state.worn:
                yield Finding(
                    "fault",
                    (one.lock.environment,),
                    f"a faulty row {which} could not be replaced",
                    f"{kind.driver_help.interface}, remapped rows",
                    "its memory has no row left for it: what is trained on it may be wrong, or end with an error",
                    f"nvidia-smi -q -d ROW_REMAPPER -i {state.number}   # have the GPU replaced",
                )
            elif state.remapping:
                yield Finding(
                    "fault" if state.uncorrected else "note",
                    (one.lock.environment,),
                    f"a faulty row {which} waits to be replaced",
                    f"{kind.driver_help.interface}, remapped rows",
                    "it is replaced at the next reset; until then an error there may end a process",
                    kind.driver_help.reset.format(number=state.number) + "   # nothing may run on it meanwhile",
                )
            elif state.uncorrected:
                yield Finding(
                    "fault",
                    (one.lock.environment,),
                    f"the memory of GPU {state.number} ({state.name}) has had {state.uncorrected} errors since the last"
                    " restart that could not be corrected",
                    f"{kind.driver_help.interface}, volatile uncorrected ECC errors",
                    "what is trained on it may be wrong, or end with an error",
                    kind.driver_help.reset.format(number=state.number) + "   # nothing may run on it meanwhile",
                )


RULE = Rule(
    rank=44,
    title="A GPU's memory has errors that could not be corrected",
    about=(
        "GPUs of data centres check their memory (ECC). Errors that they could not correct since the driver was "
        "loaded are counted; after one, what is computed may be wrong until the GPU is reset, which also "
        "replaces the faulty row. A row that waits for that reset is reported too, and one for which no other was left."
    ),
    fixing=(
        "Reset the GPU while nothing runs on it, or restart the machine. If they come back, have the GPU replaced."
    ),
    examine=_examine,
)
