"""A project is installed twice, by what is written of it."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import made_again
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        for project in one.doubled:
            yield Finding(
                "note",
                (one.lock.environment,),
                f"{project.name} is installed twice: {', '.join(project.distributions)}",
                str(one.prefix),
                "Python reports either version, and the files may be a mix of both",
                made_again(one),
            )


RULE = Rule(
    rank=7,
    title="A project is installed twice",
    about=(
        "A folder of packages has two folders of metadata (`.dist-info`) of one project: an installation or a removal "
        "ended halfway, or something was copied over it. Python tells the version of the one that it happens to find."
    ),
    fixing=("Have the environment made again from its lock."),
    examine=_examine,
)
