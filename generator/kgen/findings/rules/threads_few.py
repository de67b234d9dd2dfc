"""Few threads may still be started."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_FIXES = {"docker": "docker run --pids-limit=-1 …", "podman": "podman run --pids-limit=-1 …"}
_FIRST, _EACH = 32, 8
"""The threads of JAX that trains a small network on the CPU, and those more for each processor; others have fewer."""


def _examine(facts: Facts) -> Iterator[Finding]:
    around, left = facts.around, facts.around.threads_left
    wanted = _FIRST + _EACH * (len(around.processors.usable) if around.processors is not None else 1)
    if left is None or left >= wanted:
        return
    for one in facts.examined:
        yield Finding(
            "fault",
            (one.lock.environment,),
            f"{left} more threads may be started",
            "the limit of this user's threads (`ulimit -u`), and the control group of this process",
            f"training a small network takes up to {wanted} on these processors; the first that is refused ends it",
            _FIXES.get(around.container or "", "ulimit -u $(ulimit -Hu)"),
        )


RULE = Rule(
    rank=117,
    title="Few threads may still be started",
    about=(
        "Frameworks start several threads for each processor that they may run on. Containers (`--pids-limit`, "
        "`podPidsLimit` of Kubernetes) and the limits of a user (`ulimit -u`, as on the login nodes of clusters) allow "
        "a number of them, for all processes together. Beyond it a program ends with `can't start new thread` or "
        "`Resource temporarily unavailable`."
    ),
    fixing=("Raise the limit, or end what has the threads."),
    examine=_examine,
)
