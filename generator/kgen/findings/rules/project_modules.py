"""The project's folder has modules that are called like others."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from kgen import files
from kgen.explain.names import few
from kgen.findings.shadowing import shadowed, shadowed_of_python
from kgen.findings.shape import Facts, Finding, Rule

_SAFE = "PYTHONSAFEPATH"


def _examine(facts: Facts) -> Iterator[Finding]:
    if not facts.folder or facts.around.variables.get(_SAFE):
        return
    for one in facts.examined:
        for names, whose in (
            (shadowed_of_python(one, facts.folder), "Python's own"),
            (shadowed(one, facts.folder), "what is locked:"),
        ):
            if names:
                yield Finding(
                    "note",
                    (one.lock.environment,),
                    f"the project has a module called like {whose} {few(names)}",
                    facts.folder,
                    "a script or a notebook in that folder imports it in the place of the other, and so does whatever"
                    " the script imports",
                    _renamed(Path(facts.folder), names[0]),
                )


def _renamed(folder: Path, name: str) -> str:
    # what a distribution is called by may be written otherwise than its module
    module = name.replace("-", "_")
    ending = ".py" if files.is_file(folder / f"{module}.py") else ""
    old, new = folder / f"{module}{ending}", folder / f"my_{module}{ending}"
    return f"mv {shlex.quote(str(old))} {shlex.quote(str(new))}   # and import it by that name"


RULE = Rule(
    rank=112,
    title="The project's folder has modules that are called like others",
    about=(
        "Python puts the folder of a script, and a notebook's, before everything else: a `random.py` or `keras.py` "
        "beside `train.py` is imported in the place of Python's own `random` or of the installed Keras, by the "
        "frameworks too. `kgen validate` passes all the same, as it runs a program of its own. kgen looks into the "
        "project's folder alone, and not where PYTHONSAFEPATH is set, with which Python leaves that folder out."
    ),
    fixing=("Give the file or folder another name."),
    examine=_examine,
)
