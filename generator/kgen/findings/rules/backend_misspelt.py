"""The name of KERAS_BACKEND is misspelt."""

from __future__ import annotations

import collections
from collections.abc import Iterator

from kgen.findings.phrases import PROCESS
from kgen.findings.shape import Facts, Finding, Rule

_SELECTS = "KERAS_BACKEND"
_ALIKE = 0.85
"""From here on a variable's name counts as misspelt: `KERAS_BACKEDN` has 0.92, `KERAS_HOME` 0.61."""
_LONGER = 4
"""A name that is longer or shorter by more cannot be as much alike."""


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    for name in sorted({*around.variables, *around.set_in}):
        # the length alone rules most of them out
        if abs(len(name) - len(_SELECTS)) > _LONGER or name == _SELECTS or name.startswith("_KGEN_"):
            continue
        if _is_alike(name):
            places = around.set_in.get(name, ())
            yield Finding(
                "fault",
                (),
                f"{name} is set; Keras reads {_SELECTS}",
                ", ".join(places) or PROCESS,
                "the choice of a backend has no effect",
                f"sed -i 's/{name}/{_SELECTS}/' {places[0].rpartition(':')[0]}" if places else f"unset {name}",
            )


def _is_alike(name: str) -> bool:
    """Whether a name is nearly the right one; the letters alone rule out the rest, without importing what compares."""
    common = collections.Counter(name) & collections.Counter(_SELECTS)
    if 2 * common.total() < _ALIKE * (len(name) + len(_SELECTS)):
        return False
    import difflib  # noqa: PLC0415 - as above

    return difflib.SequenceMatcher(None, name, _SELECTS).ratio() >= _ALIKE


RULE = Rule(
    rank=104,
    title="The name of KERAS_BACKEND is misspelt",
    about=("A variable whose name is nearly KERAS_BACKEND has no effect, and Keras takes its default."),
    fixing=("Correct the name where it is set."),
    examine=_examine,
)
