"""There is no interpreter of the locked minor."""

from __future__ import annotations

from collections.abc import Iterator

from kgen import uvtool
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        if one.interpreter is False and not one.whole:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"there is no CPython {one.lock.python} on this machine",
                "PATH and uv's own interpreters",
                "the environment cannot be made",
                f"{uvtool.typed()} python install {one.lock.python}",
            )


RULE = Rule(
    rank=112,
    title="There is no interpreter of the locked minor",
    about=("A lock is for one minor of CPython, and `kgen sync` needs an interpreter of it."),
    fixing=("Have uv install one."),
    examine=_examine,
)
