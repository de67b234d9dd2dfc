"""In WSL another driver than that of Windows is found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from kgen.findings.phrases import kind_of, without
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    for one in facts.accelerated:
        says = kind_of(one.lock).driver_help
        if not around.wsl or says.wsl is None:
            continue
        library = around.driver_library
        if around.nodes is not None and says.wsl.node not in around.nodes:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"this WSL has no /dev/{says.wsl.node}",
                "/dev",
                "Windows gives Linux no GPU: it is WSL 1, or GPUs are turned off for it",
                "wsl --update   # in Windows, and then: wsl --shutdown",
            )
        elif library is not None and library.stem == says.library and not _is_windows(library.path, says.wsl.folder):
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"the loader finds another {says.library} than that of Windows",
                f"{library.path} (by {library.via})",
                f"in WSL only the one in {says.wsl.folder} has a GPU behind it",
                without(Path(library.path), library.via, around),
            )


def _is_windows(path: str, folder: str) -> bool:
    """Whether a library is the one that Windows brings: there, or a link to it."""
    return Path(folder) in Path(path).parents or Path(folder) in Path(os.path.realpath(path)).parents


RULE = Rule(
    rank=24,
    title="In WSL another driver than that of Windows is found",
    about=(
        "In WSL 2 the driver is that of Windows, which puts its libraries into /usr/lib/wsl/lib. A driver "
        "for Linux installed in WSL hides them, and has no GPU behind it."
    ),
    fixing=("Remove the driver that was installed in WSL, or update WSL where it has no /dev/dxg."),
    examine=_examine,
)
