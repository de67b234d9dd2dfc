"""KERAS_BACKEND is set for everything."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.phrases import PROCESS, place
from kgen.findings.shape import Facts, Finding, Rule

_SELECTS = "KERAS_BACKEND"


def _examine(facts: Facts) -> Iterator[Finding]:
    variables = facts.around.variables
    # inside an active environment the hook has put the user's own choice aside
    active = "KGEN_ENVIRONMENT" in variables
    chosen = variables.get(f"_KGEN_SAVED_1_{_SELECTS}" if active else _SELECTS)
    for one in facts.examined:
        backend = one.lock.variables.get(_SELECTS, one.lock.backends[0])
        # Keras takes an empty one for none
        if chosen and chosen != backend:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{_SELECTS}={chosen} is set for everything that is started here",
                PROCESS,
                f"{one.prefix / 'bin/python'}, used directly, will run on {chosen} and not on {backend}",
                f"unset {_SELECTS}" + place(_SELECTS, facts.around),
            )


RULE = Rule(
    rank=103,
    title="KERAS_BACKEND is set for everything",
    about=(
        "A process that starts the interpreter of an environment directly, without entering it, gets the "
        "backend of the variable."
    ),
    fixing=("Unset it, and take it out of the start-up file that sets it."),
    examine=_examine,
)
