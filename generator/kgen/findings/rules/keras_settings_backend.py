"""Keras's settings choose a backend."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_SELECTS = "KERAS_BACKEND"


def _examine(facts: Facts) -> Iterator[Finding]:
    keras = facts.around.keras
    chosen = None if keras is None or keras.values is None else keras.values.get("backend")
    others = [
        one
        for one in facts.examined
        if chosen is not None and one.lock.variables.get(_SELECTS, one.lock.backends[0]) != chosen
    ]
    if keras is not None and others:
        yield Finding(
            "note",
            tuple(one.lock.environment for one in others),
            f"Keras's settings choose the backend {chosen!r}",
            str(keras.path),
            f"kgen's environments select theirs by {_SELECTS}, which wins; a Python of another kind follows the file",
            f"${{EDITOR:-vi}} {shlex.quote(str(keras.path))}",
        )


RULE = Rule(
    rank=102,
    title="Keras's settings choose a backend",
    about=(
        "kgen's environments select theirs by KERAS_BACKEND, which goes before the file; a Python of "
        "another kind follows the file."
    ),
    fixing=("Take the backend out of the file if that surprises."),
    examine=_examine,
)
