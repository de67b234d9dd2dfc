"""PYTHONPATH shadows what is locked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import place


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        known = [*(file.name for file in one.lock.files), *one.lock.packages]
        names = {re.sub(r"[-_.]+", "_", name): name for name in known}
        for folder in filter(None, facts.around.variables.get("PYTHONPATH", "").split(":")):
            shadowed = sorted(names[name] for name in names if (Path(folder) / name / "__init__.py").is_file())
            if shadowed:
                yield Finding(
                    "fault",
                    (one.lock.environment,),
                    f"PYTHONPATH has another {', '.join(shadowed)}",
                    folder,
                    "it goes before what is installed in the environment",
                    "unset PYTHONPATH" + place("PYTHONPATH", facts.around),
                )


RULE = Rule(
    rank=110,
    title="PYTHONPATH shadows what is locked",
    about=(
        "The folders of PYTHONPATH go before what is installed in an environment: another release of a "
        "locked package there is imported in its place."
    ),
    fixing=("Take the folder out of PYTHONPATH."),
    examine=_examine,
)
