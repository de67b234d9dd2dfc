"""Keras's settings are not JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    keras = facts.around.keras
    if keras is not None and keras.values is None:
        yield Finding(
            "note",
            (),
            "Keras's settings are not JSON",
            str(keras.path),
            "Keras ignores them without a word",
            f"python3 -m json.tool {shlex.quote(str(keras.path))}",
        )


RULE = Rule(
    rank=100,
    title="Keras's settings are not JSON",
    about=("Keras reads `keras.json` in KERAS_HOME or `~/.keras`, and ignores it without a word if it is not JSON."),
    fixing=("Correct the file, or remove it."),
    examine=_examine,
)
