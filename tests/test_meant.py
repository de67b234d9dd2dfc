"""What is typed in the place of a backend by people who mean something else."""

from __future__ import annotations

import pytest
from tests.command import Kgen

from kgen.actions import meant
from kgen.matrix.compatibility import CompatibilityMatrix

LISTED = "the backends are tensorflow, jax, torch, numpy, openvino, theano, theano-pymc, cntk"


@pytest.mark.parametrize(
    ("typed", "hints"),
    [
        ("torch==2.6.0", ["kgen solve torch --require torch==2.6.0"]),
        ("tensorflow>=2.18", ["kgen solve tensorflow --require 'tensorflow>=2.18'"]),
        ("jax,torch", ["kgen solve jax torch"]),
        ("jax, torch", ["kgen solve jax torch"]),
        ("keras-hub", ["kgen solve tensorflow --dependency keras-hub", LISTED]),
        ("keras-hub>=0.20", ["kgen solve tensorflow --dependency 'keras-hub>=0.20'", LISTED]),
        ("tensorflw", ["did you mean `tensorflow`?"]),
        ("keras2-thano", ["did you mean `keras2-theano`?"]),
        ("tf", ["did you mean `tensorflow`?"]),
        ("np", ["did you mean `numpy`?"]),
        ("th", ["kgen solve tensorflow --dependency th", LISTED]),
        ("mine", ["did you mean `mined`?"]),
        ("jax,keras-hub", [LISTED]),
        ("; rm -rf /", [LISTED]),
        ("x" * 100_000, [LISTED]),
    ],
)
def test_what_was_meant(matrix: CompatibilityMatrix, typed: str, hints: list[str]) -> None:
    assert meant.hints(typed, "solve", matrix, ["mined"]) == hints


@pytest.mark.parametrize("typed", ["torch==2.6.0", "jax,torch", "keras-hub"])
def test_the_hint_works(kgen: Kgen, typed: str) -> None:
    refused = kgen("solve", typed)
    assert refused.status == 2
    assert refused.stderr.startswith(f"error: unknown backend `{typed}`\n\nhint: kgen solve ")
    words = refused.stderr.partition("hint: kgen ")[2].splitlines()[0].split()
    assert kgen(*words, "--python", "3.12").status == 0


def test_a_free_threaded_python_is_called_by_its_name(kgen: Kgen) -> None:
    refused = kgen("solve", "torch", "--python", "3.14t")
    assert refused.status == 2
    said = "`3.14t` is the free-threaded build of Python 3.14, of which the matrix has no wheels; give `3.14`"
    assert refused.stderr == f"error: --python: {said}\n"
