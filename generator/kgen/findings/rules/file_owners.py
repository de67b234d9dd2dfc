"""Several distributions own the same file."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import made_again
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        for file in one.shared:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{file.path} is owned by {' and '.join(file.owners)}",
                str(one.prefix),
                "the last one that was installed has overwritten the others",
                made_again(one),
            )


RULE = Rule(
    rank=5,
    title="Several distributions own the same file",
    about=(
        "Two distributions that have the same file with different content overwrite each other's: "
        "whichever came last has won, and the other runs with a library that is not its own. kgen refuses "
        "such locks; another package was installed into the environment later."
    ),
    fixing=("Have the environment made again from its lock."),
    examine=_examine,
)
