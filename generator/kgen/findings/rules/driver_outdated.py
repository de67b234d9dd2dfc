"""The driver is older than what is locked needs."""

from __future__ import annotations

from collections.abc import Iterator

from kgen import accelerators
from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import kind_of, lock_again, newer_driver
from kgen.model.driver import DriverVersion


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        lock = one.lock
        kind = kind_of(lock)
        here, says = facts.machine.of(kind.name), kind.driver_help
        if here.driver is None or lock.driver is None or here.driver.reaches(DriverVersion(lock.driver)):
            continue
        yield Finding(
            "fault",
            (lock.environment,),
            f"the driver {here.driver} is older than {lock.driver}, which {accelerators.title(lock.computes_on)} needs",
            facts.seen_by(says.interface),
            says.too_old,
            f"{lock_again(lock, kind, facts, f'--driver {here.driver}')}   # or: {newer_driver(kind, facts.around)}",
        )


RULE = Rule(
    rank=35,
    title="The driver is older than what is locked needs",
    about=("Each release of an accelerator's runtime needs a driver of at least some version; the lock records it."),
    fixing=("Lock for the driver that is there, or install a newer one."),
    examine=_examine,
    of_description=True,
)
