"""The driver is older than what is locked needs."""

from __future__ import annotations

from collections.abc import Iterator

from kgen import accelerators
from kgen.accelerators import Devices
from kgen.findings.phrases import kind_of, lock_again, newer_driver
from kgen.findings.shape import Facts, Finding, Rule
from kgen.matrix.candidates import forward_package, is_data_center_device
from kgen.model.driver import DriverVersion
from kgen.model.lockfile import Lockfile


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        lock = one.lock
        kind = kind_of(lock)
        here, says = facts.machine.of(kind.name), kind.driver_help
        if here.driver is None or lock.driver is None:
            continue
        floor, loaded = DriverVersion(lock.driver), facts.around.driver_library
        if here.driver.reaches(floor):
            continue
        if loaded is not None and loaded.answers and loaded.version is not None and loaded.version.reaches(floor):
            # the maker's package for an older driver is at work: it is its library that processes open
            continue
        yield Finding(
            "fault",
            (lock.environment,),
            f"the driver {here.driver} is older than {lock.driver}, which {accelerators.title(lock.computes_on)} needs",
            facts.seen_by(says.interface),
            says.too_old,
            f"{lock_again(lock, kind, facts, f'--driver {here.driver}')}   # or: {newer_driver(kind, facts.around)}"
            + _forward(facts, lock, here, floor),
        )


def _forward(facts: Facts, lock: Lockfile, here: Devices, floor: DriverVersion) -> str:
    """The package of the maker's that has this driver run it; empty where it would not serve each of these GPUs."""
    kind = lock.computes_on.kind
    if here.driver is None or not all(is_data_center_device(facts.matrix, kind, gpu.name) for gpu in here.gpus):
        return ""
    package = forward_package(facts.matrix, lock.computes_on, lock.platform, here.driver, floor)
    if package is None or not here.gpus:
        return ""
    maker = accelerators.kind(kind).maker
    return f"; or, as this is a data-center GPU: {maker}'s package {package.name}, beside the driver {here.driver}"


RULE = Rule(
    rank=35,
    title="The driver is older than what is locked needs",
    about=(
        "Each release of an accelerator's runtime needs a driver of at least some version; the lock records it. "
        "NVIDIA's packages `cuda-compat-…` have an older driver run it on data-center GPUs: where the driver's library "
        "that processes open is that of such a package, its version counts."
    ),
    fixing=(
        "Lock for the driver that is there, or install a newer one; on a data-center GPU, the package that the finding "
        "names."
    ),
    examine=_examine,
    of_description=True,
)
