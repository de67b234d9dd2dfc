"""The machine's glibc is older than a locked file needs."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import backends
from kgen.findings.shape import Facts, Finding, Rule
from kgen.model.wheelname import needed_glibc


def _examine(facts: Facts) -> Iterator[Finding]:
    here = facts.machine.glibc
    for one in facts.examined if here is not None else ():
        floors = [(needed, file) for file in one.lock.files if (needed := needed_glibc(file.filename)) is not None]
        needed, file = max(floors, key=lambda floor: floor[0], default=(None, None))
        if needed is not None and file is not None and here is not None and needed > here:
            again = f"--target {facts.target}" if facts.target else f"--glibc {here}"
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"glibc {here} is older than {needed}, which {file.filename} needs",
                facts.seen_by("the C library of this process"),
                "the environment cannot be made, or its libraries will not load",
                f"kgen lock {backends(one.lock)} {again}",
            )


RULE = Rule(
    rank=110,
    title="glibc is older than a locked file needs",
    about=(
        "The name of a wheel says the oldest glibc that its libraries run on. On a machine with an older one, "
        "installers refuse the file, and its libraries would not load."
    ),
    fixing=("Lock for the glibc that is there: a program cannot bring another one along."),
    examine=_examine,
    of_description=True,
)
