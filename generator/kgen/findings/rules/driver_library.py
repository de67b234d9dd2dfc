"""The driver's library is of another version than its module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kgen.accelerators import Devices, Kind
from kgen.findings.phrases import kind_of, without
from kgen.findings.shape import Facts, Finding, Rule
from kgen.matrix.candidates import is_data_center_device
from kgen.surroundings import DriverLibrary


def _examine(facts: Facts) -> Iterator[Finding]:
    library = facts.around.driver_library
    for one in facts.accelerated:
        kind = kind_of(one.lock)
        if library is None or library.stem != kind.driver_help.library or library.answers is False:
            continue
        why = _why_not(library, facts.machine.of(kind.name), kind, facts)
        if why is not None:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"the loader finds {library.stem} of the driver {library.version}, and the driver"
                f" {facts.machine.of(kind.name).driver} runs",
                f"{library.path} (by {library.via})",
                why,
                without(Path(library.path), library.via, facts.around),
            )


def _why_not(library: DriverLibrary, here: Devices, kind: Kind, facts: Facts) -> str | None:
    """Why the library does not work with the driver that runs; None if it does, or there is no telling."""
    if facts.around.wsl or library.version is None or here.driver is None or here.two_versions:
        return None
    if library.version < here.driver:
        return "a library works with its own driver, or as the maker's package with an older one, and with no newer one"
    consumer = kind.driver_help.consumer.rpartition(" ")[2]
    refused = [
        gpu.name
        for gpu in here.gpus
        if consumer in gpu.name and not is_data_center_device(facts.matrix, kind.name, gpu.name)
    ]
    if library.version == here.driver or not refused:
        return None
    return f"only data-center GPUs take the library of a newer driver, and this is {refused[0]}"


RULE = Rule(
    rank=36,
    title="The driver's library is of another version than its module",
    about=(
        "NVIDIA's packages `cuda-compat-…`, which many images have in /usr/local/cuda/compat, bring the libcuda of a "
        "newer driver. It works with an older module on data-center GPUs alone; on others CUDA ends with error 804. "
        "An image that is older than the machine's driver has an older libcuda too, and CUDA ends with error 803."
    ),
    fixing=("Take the folder out of LD_LIBRARY_PATH, so that the driver's own library is found."),
    examine=_examine,
)
