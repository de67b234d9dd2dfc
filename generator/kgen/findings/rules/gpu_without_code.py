"""A framework's build has no code for the GPU."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import kind_of, lock_again
from kgen.findings.shape import Facts, Finding, Rule
from kgen.matrix.candidates import locked_builds, serves


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        lock = one.lock
        kind = kind_of(lock)
        here, says = facts.machine.of(kind.name), kind.driver_help
        for gpu in here.models:
            # the matrix knows what the wheels have code for; a channel compiles for others
            for name, build in locked_builds(facts.matrix, lock) if lock.form.follows_matrix else ():
                if not serves(build, gpu.architecture, here.driver, facts.matrix, lock.platform):
                    yield Finding(
                        "fault",
                        (lock.environment,),
                        f"{name} {lock.packages[name]} has no code for the"
                        f" {gpu.name} ({kind.architecture} {gpu.architecture})",
                        f"{facts.seen_by(says.interface)}; the matrix: {build.provenance.source}",
                        says.no_code,
                        lock_again(lock, kind, facts, f"--gpu {gpu.architecture}"),
                    )


RULE = Rule(
    rank=50,
    title="A framework's build has no code for the GPU",
    about=(
        "The build that is locked is known by its file: the local label of its version and its digest, "
        "never by its version alone, as several builds share one. The matrix says what code each has."
    ),
    fixing=("Lock for the GPU that is there."),
    examine=_examine,
    of_description=True,
)
