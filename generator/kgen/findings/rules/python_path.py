"""PYTHONPATH shadows what is locked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import less


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        known = [*(file.name for file in one.lock.files), *one.lock.packages]
        names = {re.sub(r"[-_.]+", "_", name): name for name in known}
        # without a folder in it the variable has no effect; an empty one beside others is the working folder
        written = facts.around.variables.get("PYTHONPATH", "")
        for folder in written.split(":") if written else ():
            shadowed = sorted({names[name] for name in _modules(folder or ".") if name in names})
            if shadowed:
                yield Finding(
                    "fault",
                    (one.lock.environment,),
                    f"PYTHONPATH has another {', '.join(shadowed)}",
                    folder or "the working folder, which an empty entry stands for",
                    "it goes before what is installed in the environment",
                    less("PYTHONPATH", {folder}, ":", ":", facts.around),
                )


def _modules(folder: str) -> frozenset[str]:
    """What may be imported from a folder, by the names of its packages and modules."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names alone
    except OSError:
        return frozenset()
    packages = {name for name in names if (Path(folder) / name / "__init__.py").is_file()}
    # `name.py`, and `name.cpython-312-x86_64-linux-gnu.so`
    return frozenset(packages | {name.partition(".")[0] for name in names if name.endswith((".py", ".so"))})


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
