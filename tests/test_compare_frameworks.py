"""The example of `kgen compare` on the frameworks themselves, on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.test_validate_frameworks import World, world

__all__ = ["world"]

pytestmark = [pytest.mark.network, pytest.mark.frameworks]

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/digits/train.py"


def test_the_notebook_runs(world: World) -> None:
    """Its cells, one after the other, as a kernel runs them."""
    world.environment("jax-cpu")
    cells = json.loads((EXAMPLE.parent / "digits.ipynb").read_text(encoding="utf-8"))["cells"]
    program = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    words = ("run", "jax-cpu", "--", "env", f"PYTHONPATH={EXAMPLE.parent}", "python", "-c", f"{program}\nprint(losses)")
    done = world.kgen(*words, timeout=600)
    assert done.status == 0, done.stderr
    losses = json.loads(done.stdout.splitlines()[-1])
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)


def test_the_example_agrees_on_every_backend(world: World) -> None:
    names = [f"{backend}-cpu" for backend in ("jax", "tensorflow", "torch")]
    for name in names:
        world.environment(name)
    done = world.kgen("compare", *names, "--same-start", "--json", "--", "python", str(EXAMPLE), timeout=1200)
    assert done.status == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["agree"] is True
    assert [one["environment"] for one in found["environments"]] == names
    for one in found["environments"]:
        (only,) = one["runs"]
        assert len(only["losses"]) == 60
        assert only["batch"] == 64
        assert only["final"]["loss"] < only["losses"][0] / 2
        assert 0 < one["summary"]["step"] < one["summary"]["first"]
        assert one["summary"]["host"] > 100 << 20
    assert {found["fastest"], *(one["name"] for one in found["rivals"])} == set(names)
