"""There is little memory left."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_GB = 10**9
_LEAST, _EASY = 0.7 * _GB, 2 * _GB
"""What importing a framework and compiling a small network took at most, with builds for the CPU; and thrice that."""


def _examine(facts: Facts) -> Iterator[Finding]:
    left = facts.around.memory
    if left is None or left >= _EASY:
        return
    for one in facts.examined:
        yield Finding(
            "fault" if left < _LEAST else "note",
            (one.lock.environment,),
            f"{left / _GB:.1f} GB of memory are left",
            "/proc/meminfo, and the control group of this process",
            f"importing a framework and compiling a small network takes up to {_LEAST / _GB:.1f} GB, and more where it"
            " is for a GPU; who has too little is killed without a word",
            "ps -eo rss,pid,args --sort=-rss | head   # or give the container more",
        )


RULE = Rule(
    rank=114,
    title="There is little memory left",
    about=(
        "Importing a framework and compiling a small network takes up to 0.7 GB with builds for the CPU; builds "
        "for a GPU take more. kgen looks at what the machine can still give, and at the limit of the container. "
        "A process that goes beyond it is killed by the kernel, with no message of its own."
    ),
    fixing=("End what takes the memory, or give the container more."),
    examine=_examine,
)
