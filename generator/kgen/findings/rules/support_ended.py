"""Upstream no longer supports what is locked."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule
from kgen.matrix.records import Ended
from kgen.project import LOCKS


def _examine(facts: Facts) -> Iterator[Finding]:
    matrix = facts.matrix
    for one in facts.examined:
        ends: dict[str, Ended | None] = {}
        for name in one.lock.backends:
            row = matrix.backends.get(name)
            if row is not None:
                generation, framework = matrix.generations[row.generation], matrix.framework(row.framework)
                ends |= {generation.title: generation.ended, framework.title: framework.ended}
        for title, ended in ends.items():
            if ended is not None:
                yield Finding(
                    "note",
                    (one.lock.environment,),
                    f"{title} was last supported on {ended.day}",
                    f"{LOCKS}/",
                    ended.why,
                    "kgen matrix show generations",
                )


RULE = Rule(
    rank=120,
    title="Upstream no longer supports what is locked",
    about=("The matrix says until when a generation of Keras or a framework was supported, and what took its place."),
    fixing=("Plan the move; the lock itself keeps working."),
    examine=_examine,
    of_description=True,
)
