"""The reference trajectory: made again, checked against finite differences, and apart from what would be wrong."""

from __future__ import annotations

import ast
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.test_house import imports_of

from kgen.validation import reference
from kgen.validation.program import STEP

_FILES = sorted(STEP.rglob("*.py"))


def _run(program: str) -> Any:  # noqa: ANN401 - whatever it prints
    """What a program says as JSON that may import the step's own modules, which kgen never does."""
    words = [sys.executable, "-B", "-c", f"import sys, json; sys.path.append({str(STEP)!r})\n{program}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_committed_trajectory_is_what_the_program_computes() -> None:
    made = _run("from kgen_step import reference; reference.main()")
    kept = reference.load()
    assert made["seed"] == kept["seed"]
    assert made["losses"] == pytest.approx(kept["losses"], rel=1e-12)
    for one, other in zip(made["outputs"], kept["outputs"], strict=True):
        assert one == pytest.approx(other, abs=1e-9)
    assert made["weights"].keys() == kept["weights"].keys()
    for name, values in kept["weights"].items():
        assert made["weights"][name] == pytest.approx(values, abs=1e-9)


def test_gradients_are_those_of_finite_differences() -> None:
    """Of every weight some numbers, by central differences in float64."""
    largest = _run("""
import numpy, random
from kgen_step import reference, task
weights, images, labels = task.arrays()
weights = [weight.astype("float64") for weight in weights]
batch, wanted = images[0].astype("float64"), labels[0].astype("float64")
_, gradients, _ = reference.loss_and_gradients(weights, batch, wanted)
off, draw = 0.0, random.Random(7)
for weight, gradient in zip(weights, gradients):
    flat = weight.reshape(-1)
    for place in draw.sample(range(flat.size), min(flat.size, 24)):
        kept = flat[place]
        sides = []
        for side in (1e-6, -1e-6):
            flat[place] = kept + side
            sides.append(reference.loss_and_gradients(weights, batch, wanted)[0])
        flat[place] = kept
        off = max(off, abs((sides[0] - sides[1]) / 2e-6 - gradient.reshape(-1)[place]))
print(json.dumps(off))
""")
    assert largest < 1e-8


def test_momentum_is_that_of_keras() -> None:
    """v <- m v - r g; w <- w + v, written out for two steps of one number."""
    losses = _run("""
from kgen_step import reference, task
weights, images, labels = task.arrays()
w = [x.astype("float64") for x in weights]
i, l = images.astype("float64"), labels.astype("float64")
_, g, _ = reference.loss_and_gradients(w, i[0], l[0])
v = [-task.RATE * x for x in g]
w = [a + b for a, b in zip(w, v)]
second, g, _ = reference.loss_and_gradients(w, i[1], l[1])
v = [task.MOMENTUM * a - task.RATE * b for a, b in zip(v, g)]
w = [a + b for a, b in zip(w, v)]
print(json.dumps([second, reference.loss_and_gradients(w, i[0], l[0])[0]]))
""")
    assert losses == pytest.approx(reference.load()["losses"][1:3], rel=1e-12)


def test_the_task_is_exact_in_float32_and_learns() -> None:
    told = _run("""
import numpy
from kgen_step import task
weights, images, labels = task.arrays()
arrays = [*weights, images, labels]
print(json.dumps({
    "exact": all((a.astype("float64") * 2**24 == numpy.round(a.astype("float64") * 2**24)).all() for a in arrays),
    "types": sorted({str(a.dtype) for a in arrays}),
    "sum": float(sum(abs(a.astype("float64")).sum() for a in arrays)),
    "shapes": [a.shape for a in arrays],
}))
""")
    assert told["exact"]
    assert told["types"] == ["float32"]
    assert told["shapes"][-2:] == [[2, 8, 8, 8, 3], [2, 8, 10]]
    # a change of the generator, of a seed or of a shape would show here
    assert told["sum"] == 2094.194025039673
    losses = reference.load()["losses"]
    assert losses[-1] < 0.2 * losses[0]


def test_no_backend_can_fall_on_the_other_side_of_a_kink() -> None:
    assert reference.load()["kink"] > 100 * 1e-6


@pytest.mark.parametrize(("mantissa", "least"), [(10, 3), (7, 30)], ids=["TF32", "bfloat16"])
def test_lower_precision_would_be_found_out(mantissa: int, least: float) -> None:
    """Inputs of every product rounded as tensor cores do: farther off than the tolerance, by so many times."""
    losses = _run(f"""
import numpy
from kgen_step import reference, task
def rounded(values):
    fraction, exponent = numpy.frexp(values)
    return numpy.ldexp(numpy.round(fraction * 2.0**{mantissa + 1}) / 2.0**{mantissa + 1}, exponent)
windows = reference._windows
convolve, by_kernel, spread = reference._convolve, reference._by_kernel, reference._spread
reference._convolve = lambda images, kernel: convolve(rounded(images), rounded(kernel))
reference._by_kernel = lambda images, by_result: by_kernel(rounded(images), rounded(by_result))
reference._spread = lambda by_result, kernel: spread(rounded(by_result), rounded(kernel))
print(json.dumps(reference.trajectory()[0]))
""")
    assert reference.apart(losses, reference.load()["losses"]) > least * reference.TOLERANCES["gpu"].losses


def test_distance_of_what_is_no_number_is_infinite() -> None:
    result = {"contract": "training", **reference.load(), "losses": ["nan"] * 6}
    distance = reference.distance(result)
    assert distance.losses == math.inf
    assert distance.weights == 0.0
    assert not distance.within(reference.TOLERANCES["cpu"])


def test_nothing_measured_is_not_within() -> None:
    assert not reference.Distance().within(reference.TOLERANCES["gpu"])
    assert reference.distance({"contract": "training"}).losses == math.inf
    assert reference.distance({"contract": "forward"}).outputs == math.inf


def test_kgen_never_imports_the_step() -> None:
    """Its files are data: the one module that names one of its modules reads what is written in it."""
    for path in STEP.parents[1].rglob("*.py"):
        if STEP in path.parents:
            continue
        text = path.read_text(encoding="utf-8")
        assert not [name for name in imports_of(text) if "kgen_step" in name], path
        if "kgen_step" in text.replace("step/kgen_step/reference.py", ""):
            assert path.relative_to(STEP.parent).as_posix() == "observation.py"
            assert "import_module" not in text
            assert "__import__" not in text


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(STEP)))
def test_the_step_is_python_3_6(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6))


def _interpreter(minor: str, outside: Mapping[str, str]) -> str | None:
    """The Python of this minor that the machine has, on its path or as pyenv keeps them."""
    root = outside.get("PYENV_ROOT") or f"{outside.get('HOME', '')}/.pyenv"
    kept = sorted(Path(root).glob(f"versions/{minor}.*/bin/python"))
    return str(kept[-1]) if kept else shutil.which(f"python{minor}")


@pytest.mark.parametrize("minor", [f"3.{number}" for number in range(6, 15)])
def test_the_step_starts_on_every_python(minor: str, tmp_path: Path, _environment: Mapping[str, str]) -> None:  # noqa: PT019
    """On those that are here: without Keras it comes as far as the import, and tells it."""
    python = _interpreter(minor, _environment)
    if python is None:
        pytest.skip(f"no Python {minor} here")
    (tmp_path / "own").mkdir()
    spec = {"backend": "jax", "import": "keras_is_not_here", "device": "cpu", "folder": str(tmp_path / "own")}
    (tmp_path / "spec.json").write_text(json.dumps({**spec, "ends": time.time() + 60}))
    words = [python, "-B", str(STEP), str(tmp_path / "spec.json"), str(tmp_path / "events.jsonl")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert done.returncode == 1, done.stderr
    failed = next(event for event in events if event["event"] == "failed")
    assert failed["stage"] == "import"
    assert failed["errors"][0]["message"] == "No module named 'keras_is_not_here'"
    assert next(event for event in events if event["event"] == "started")["python"].startswith(minor)
