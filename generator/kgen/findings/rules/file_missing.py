"""Files that a package brought are gone."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import made_again
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        for owner in dict.fromkeys(file.owner for file in one.missing):
            lost = [file.path for file in one.missing if file.owner == owner]
            more = f", and {len(lost) - 1} more" if lost[1:] else ""
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{lost[0]} of {owner} is gone{more}",
                str(one.prefix),
                "what needs it fails, or takes another release of it from elsewhere",
                made_again(one),
            )


RULE = Rule(
    rank=6,
    title="Files that a package brought are gone",
    about=(
        "A package's RECORD names the files that it brought. A shared library of it, or the first file of the package "
        "that it is called as, that is no longer there was removed by hand, to save room, or by uninstalling another "
        "package that had the same file."
    ),
    fixing=("Have the environment made again from its lock."),
    examine=_examine,
)
