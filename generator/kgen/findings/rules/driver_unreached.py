"""The driver's library is where the loader does not look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kgen.findings.phrases import kind_of, looking_first, place
from kgen.findings.shape import Facts, Finding, Rule
from kgen.loader.search import LIBRARY_PATH


def _examine(facts: Facts) -> Iterator[Finding]:
    there = facts.around.driver_elsewhere
    for one in facts.accelerated:
        says = kind_of(one.lock).driver_help
        if there is None or Path(there).name != says.library_file:
            continue
        yield Finding(
            "fault",
            (one.lock.environment,),
            f"{says.library} is in {Path(there).parent}, where the loader does not look",
            there,
            "no framework finds the driver, and training runs on the CPU, or not at all",
            looking_first(Path(there).parent) + place(LIBRARY_PATH, facts.around),
        )


RULE = Rule(
    rank=28,
    title="The driver's library is where the loader does not look",
    about=(
        "Some systems put the driver's libraries into a folder of their own and lead programs there with "
        "LD_LIBRARY_PATH: NixOS into /run/opengl-driver/lib, Apptainer's `--nv` into /.singularity.d/libs, Google's "
        "nodes of Kubernetes into /usr/local/nvidia/lib64, snaps into /var/lib/snapd/lib/gl. WSL names its folder "
        "/usr/lib/wsl/lib in the loader's cache. Where a start-up file or a job script sets the variable anew, or the "
        "cache was made without that folder, no program finds the driver."
    ),
    fixing="Put the folder back into LD_LIBRARY_PATH, before what is there; in WSL `sudo ldconfig` may do.",
    examine=_examine,
)
