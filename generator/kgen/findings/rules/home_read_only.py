"""The home folder cannot be written to."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_COMPILER, _ELSEWHERE = "triton", ("TRITON_CACHE_DIR", "TRITON_HOME")
"""Which package writes what it compiles below the home folder; and the variables that give it another place."""


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    if around.writable_home is not False or any(around.variables.get(name) for name in _ELSEWHERE):
        return
    for one in facts.accelerated:
        if _COMPILER in one.lock.versions:
            yield Finding(
                "fault",
                (one.lock.environment,),
                "the home folder cannot be written to",
                around.variables.get("HOME", "~"),
                "Triton, with which PyTorch compiles for a GPU, keeps what it compiles in .triton there, and fails",
                f"export {_ELSEWHERE[0]}=/tmp/triton",
            )


RULE = Rule(
    rank=117,
    title="The home folder cannot be written to",
    about=(
        "Containers that run as another user, and batch systems, often have a home folder that is not there or is "
        "mounted read-only. Keras then takes /tmp; Triton, with which PyTorch compiles for a GPU, does not, and every "
        "compiled step fails."
    ),
    fixing=("Give Triton a folder of its own by TRITON_CACHE_DIR, or HOME another one."),
    examine=_examine,
)
