"""Plugins of a framework want to be the same device."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import made_again
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        for rival in one.rivals:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{' and '.join(rival.paths)} both want to be the device `{rival.device}` of {rival.framework}",
                str(one.prefix),
                rival.says,
                made_again(one),
            )


RULE = Rule(
    rank=6,
    title="Plugins of a framework want to be the same device",
    about=(
        "JAX finds its plugins in a folder that distributions share, `jax_plugins`, and loads each of them. "
        "Its plugins for two majors of CUDA own no file together, but both register themselves as `cuda`: the "
        "first one is taken, the other ends in a logged error, and which is first changes from process to process. "
        "kgen locks one major alone; another package was installed into the environment later."
    ),
    fixing=("Have the environment made again from its lock."),
    examine=_examine,
)
