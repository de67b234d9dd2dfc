"""A variable puts a library in the place of another, and it lacks what the environment needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kgen.findings.phrases import without
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        for path in dict.fromkeys(library.path for library in one.too_old):
            askers = [library for library in one.too_old if library.path == path]
            newest = max((version for library in askers for version in library.versions), key=_number)
            first = next(library for library in askers if newest in library.versions)
            more = f" and {len(askers) - 1} more" if askers[1:] else ""
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{path} has no {newest}, and {first.by}{more} needs it"
                if not more
                else f"{path} has no {newest}; {first.by}{more} need what it lacks",
                first.via,
                f"the loader ends with: version `{newest}' not found",
                without(Path(path), first.via, facts.around),
            )


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", version)))


RULE = Rule(
    rank=11,
    title="A variable puts a library in the place of another, and it lacks what the environment needs",
    about=(
        "Libraries such as libstdc++ say which versions of their symbols they have (`GLIBCXX_3.4.30`), and what was "
        "built with a newer one does not load with an older one. LD_LIBRARY_PATH or LD_PRELOAD with the folder of an "
        "older compiler or of a conda environment puts such a library before the system's. kgen compares what the "
        "frameworks' files need with what the file has that the loader would open."
    ),
    fixing="Take the folder out of the variable.",
    examine=_examine,
)
