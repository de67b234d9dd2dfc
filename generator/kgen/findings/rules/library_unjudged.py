"""A variable offers a library, and the environment is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        if one.whole or not kind_of(one.lock).in_wheels:
            continue
        versions, seen = one.lock.versions, set()
        for library in facts.around.libraries:
            known = facts.libraries.get(library.stem)
            package = None if known is None else next((name for name in known.packages if name in versions), None)
            if known is None or package is None or library.via == "ldconfig" or library.stem in seen:
                continue
            seen.add(library.stem)
            if library.version == versions[package]:
                continue
            yield Finding(
                "note",
                (one.lock.environment,),
                f"{known.title} {library.version or 'of a version that it does not tell'} is offered, and {known.title}"
                f" {versions[package]} is locked",
                f"{Path(library.path)} (by {library.via})",
                "kgen can only say whether the loader prefers it once the environment is installed",
                f"kgen sync {one.lock.environment} && kgen doctor {one.lock.environment}",
            )


RULE = Rule(
    rank=85,
    title="A variable offers a library, and the environment is not installed",
    about=(
        "Whether the loader takes a library from LD_LIBRARY_PATH or LD_PRELOAD depends on the ELF files "
        "of the environment's frameworks, which have DT_RPATH, DT_RUNPATH or neither. kgen reads "
        "them once the environment is installed."
    ),
    fixing=("Install the environment, and ask again."),
    examine=_examine,
)
