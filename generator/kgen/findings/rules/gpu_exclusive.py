"""A GPU is kept for one process, or for none."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        kind, server = kind_of(one.lock), facts.around.server
        # with a server it is the only process that the device sees, and lets all others in
        mine = server is not None and server.serves and server.runs is not False and server.owner is None
        served = mine and kind.driver_help.server is not None
        for state in facts.conditions.get(kind.name, ()):
            if state.sharing == "shared" or (served and state.sharing == "exclusive"):
                continue
            taken = ", ".join(map(str, state.processes))
            if state.sharing == "prohibited":
                grade, what, why = "fault", "runs no process", "it refuses every process"
            elif state.refuses(served=served):
                grade, what = "fault", f"is kept for one process, and process {taken} has it"
                why = "it refuses the next process: `all CUDA-capable devices are busy or unavailable`"
            else:
                grade, what, why = "note", "is kept for one process", "it refuses a second process at the same time"
            yield Finding(
                "fault" if grade == "fault" else "note",
                (one.lock.environment,),
                f"GPU {state.number} ({state.name}) {what}",
                f"{kind.driver_help.interface}, compute mode",
                why,
                f"ps -o pid,user,args -p {taken.replace(' ', '')}"
                if state.processes
                else f"sudo nvidia-smi -i {state.number} -c DEFAULT   # unless a scheduler has set it",
            )


RULE = Rule(
    rank=43,
    title="A GPU is kept for one process, or for none",
    about=(
        "The compute mode of a GPU says how many processes may compute on it. In exclusive mode, which "
        "schedulers set, it refuses the second process; in prohibited mode it refuses every one."
    ),
    fixing=("Wait for the process that has it, or ask the administrator to set the mode to DEFAULT."),
    examine=_examine,
)
