"""A locked library is known to be bad."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import Version

from kgen.findings.shape import Facts, Finding, Rule
from kgen.model.requirement import canonical_name
from kgen.project import LOCKS


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        # the matrix knows wheels, and no packages of a channel
        for file in one.lock.files if one.lock.form.follows_matrix else ():
            library = facts.matrix.library(canonical_name(file.name))
            bad = {} if library is None else library.known_bad
            why = bad.get(Version(file.version)) if bad else None
            if why is not None:
                yield Finding(
                    "fault",
                    (one.lock.environment,),
                    f"{file.name} {file.version} is known to be bad",
                    f"{LOCKS}/",
                    why,
                    f"kgen update {canonical_name(file.name)}",
                )


RULE = Rule(
    rank=58,
    title="A locked library is known to be bad",
    about=(
        "The matrix names releases of libraries that install and load, and fail: a wheel that lacks a library "
        "which another of its libraries opens. kgen locks none of them unless a build pins one."
    ),
    fixing=("Update the library: another release is taken where the framework allows one."),
    examine=_examine,
    of_description=True,
)
