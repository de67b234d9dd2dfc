"""A variable changes what a framework does."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import PROCESS, place
from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.visibility import visible
from kgen.validation import variables

_MANY = 10**6
"""More devices than there are numbers for, where there is no telling. That no device is visible is another finding."""


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    for row in variables.known():
        if row.doctor is None or not row.fits(around.variables):
            continue
        for one in facts.examined:
            # an environment that is entered sets this itself
            entered = one.lock.variables.get(row.name)
            if row.numbered and row.number(around.variables) < (visible(facts, one.lock.computes_on.kind) or _MANY):
                continue
            if entered is None and row.concerns({*one.lock.packages, *one.lock.versions}, one.lock.computes_on.kind):
                yield Finding(
                    row.doctor,
                    (one.lock.environment,),
                    row.says.format(around.variables[row.name]),
                    PROCESS,
                    row.why,
                    f"unset {row.name}" + place(row.name, around),
                )


RULE = Rule(
    rank=65,
    title="A variable changes what a framework does",
    about=(
        "Variables such as JAX_PLATFORMS, XLA_FLAGS, KERAS_TORCH_DEVICE or TF_USE_LEGACY_KERAS change what a "
        "framework does. `kgen doctor` and `kgen validate` have one table of them, with the values "
        "that matter and the environments that they concern."
    ),
    fixing=("Unset the variable, and take it out of the start-up file that sets it."),
    examine=_examine,
)
