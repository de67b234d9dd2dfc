"""The loader finds a stub of the driver's library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kgen.findings.phrases import kind_of, without
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    library = facts.around.driver_library
    for one in facts.accelerated:
        says = kind_of(one.lock).driver_help
        if library is None or library.stem != says.library or library.answers is not False:
            continue
        what = (
            f"the driver's library {library.stem} cannot be loaded: {library.fault}"
            if library.fault
            else f"the loader finds a stub of {library.stem} before the driver's own"
        )
        yield Finding(
            "fault",
            (one.lock.environment,),
            what,
            f"{library.path} (by {library.via})",
            f"what needs {library.stem} cannot be imported" if library.fault else says.stub,
            without(Path(library.path), library.via, facts.around),
        )


RULE = Rule(
    rank=70,
    title="The loader finds a stub of the driver's library",
    about=(
        "Toolkits have a libcuda for linking only. kgen finds the file that the loader would open, "
        "whatever its path, and asks it for the driver's version in a process of its own: a stub has no "
        "driver behind it and refuses."
    ),
    fixing=(
        "Take the entry that leads there out of LD_LIBRARY_PATH; nothing else of that variable, as the "
        "driver itself may be found by it."
    ),
    examine=_examine,
)
