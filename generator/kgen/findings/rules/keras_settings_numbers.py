"""Keras's settings change the numbers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_DEFAULTS = {"floatx": "float32", "image_data_format": "channels_last"}


def _examine(facts: Facts) -> Iterator[Finding]:
    keras = facts.around.keras
    if keras is None or keras.values is None:
        return
    for key, usual in _DEFAULTS.items():
        value = keras.values.get(key, usual)
        if value != usual:
            yield Finding(
                "fault",
                tuple(one.lock.environment for one in facts.examined),
                f"Keras's settings have {key} = {value!r}; without them it is {usual!r}",
                str(keras.path),
                "every environment on this machine computes otherwise than the same lock elsewhere",
                f"${{EDITOR:-vi}} {shlex.quote(str(keras.path))}",
            )


RULE = Rule(
    rank=101,
    title="Keras's settings change the numbers",
    about=("`floatx` and `image_data_format` in `keras.json` hold for every environment of one user, and of no other."),
    fixing=("Take them out of the file, and set them in the project's code."),
    examine=_examine,
)
