"""What the user has installed for all environments shadows what is locked."""

from __future__ import annotations

import os
from collections.abc import Iterator

from kgen.explain.names import few
from kgen.findings.shadowing import shadowed
from kgen.findings.shape import Facts, Finding, Rule

_OFF, _BASE = "PYTHONNOUSERSITE", "PYTHONUSERBASE"


def _examine(facts: Facts) -> Iterator[Finding]:
    values = facts.around.variables
    base = values.get(_BASE) or (f"{values['HOME']}/.local" if values.get("HOME") else "")
    for one in facts.examined:
        # a virtual environment is made without the user's packages, and one with a Python of its own is not
        if not one.lock.form.brings_python or not base or values.get(_OFF) or one.lock.variables.get(_OFF):
            continue
        folder = os.path.join(base, "lib", f"python{one.lock.python}", "site-packages")  # noqa: PTH118 - as text
        others = shadowed(one, folder)
        if others:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"`pip install --user` has put another {few(others)} before the environment's",
                folder,
                f"the Python of a {one.lock.form.title} environment looks there first",
                f"export {_OFF}=1",
            )


RULE = Rule(
    rank=110,
    title="The user's own packages shadow what is locked",
    about=(
        "The Python of a conda environment imports from the user's own folder, as "
        "`~/.local/lib/python3.12/site-packages`, before it looks into the environment: what `pip install --user` has "
        "put there once is imported in the place of what is locked. A virtual environment leaves that folder out."
    ),
    fixing=("Set PYTHONNOUSERSITE for the environment, or uninstall what is there."),
    examine=_examine,
)
