"""The trajectory that a backend must follow, and the tolerated distance from it.

`step/kgen_step/reference.py` generates `reference.json` in float64, and a test generates it again.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far numbers may be from the reference.

    Attributes:
        losses: relative, for each step.
        weights: absolute, for each number of each weight after the last step.
        outputs: absolute, for each probability of a forward pass.
        reason: why exactly that much.
    """

    losses: float
    weights: float
    outputs: float
    reason: str


TOLERANCES: Mapping[str, Tolerance] = {
    "cpu": Tolerance(
        losses=1e-5,
        weights=1e-5,
        outputs=1e-6,
        reason="float32 rounds at 6e-8; six steps were within 1.1e-6 of each other on every backend that was run",
    ),
    "gpu": Tolerance(
        losses=5e-5,
        weights=5e-5,
        outputs=1e-5,
        reason="float32 in other orders of summation, and transformed convolutions; TF32 rounds at 5e-4 and would show",
    ),
}
"""Kind of device -> tolerance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """The distance of a result from the reference; infinite for a value that is not a number, or another shape.

    Attributes:
        losses: the largest relative distance of a loss; None for a forward pass.
        weights: the largest distance of a number in the trained weights; None for a forward pass.
        outputs: the largest distance of an output; None for training.
    """

    losses: float | None = None
    weights: float | None = None
    outputs: float | None = None

    def within(self, tolerance: Tolerance) -> bool:
        """Whether everything that was measured is within the tolerance, and something was measured."""
        pairs = (
            (self.losses, tolerance.losses),
            (self.weights, tolerance.weights),
            (self.outputs, tolerance.outputs),
        )
        measured = [(value, limit) for value, limit in pairs if value is not None]
        return bool(measured) and all(value <= limit for value, limit in measured)


@functools.cache
def load() -> Mapping[str, Any]:
    """The reference: `losses`, `outputs` of the first batch before training, `weights` by name after training."""
    data: Mapping[str, Any] = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))
    return data


def distance(result: Mapping[str, Any]) -> Distance:
    """The distance of the `losses` and `weights`, or the `outputs`, in a step's result from the reference."""
    reference = load()
    if result.get("contract") == "forward":
        flat = [value for row in result.get("outputs", ()) for value in row]
        wanted = [value for row in reference["outputs"] for value in row]
        return Distance(outputs=_largest(flat, wanted, relative=False))
    weights = result.get("weights", {})
    return Distance(
        losses=_largest(result.get("losses", ()), reference["losses"], relative=True),
        weights=max(
            _largest(weights.get(name, ()), wanted, relative=False) for name, wanted in reference["weights"].items()
        ),
    )


def apart(one: Iterable[float], other: Iterable[float]) -> float:
    """The largest relative distance between the losses of two backends."""
    return _largest(list(one), list(other), relative=True)


def _largest(found: Iterable[Any], wanted: Iterable[float], *, relative: bool) -> float:
    """The largest distance; the step writes a number that is not finite as text."""
    have, want = [float(value) for value in found], list(wanted)
    if len(have) != len(want) or not all(map(math.isfinite, have)):
        return math.inf
    return max(abs(a - b) / (abs(b) if relative else 1) for a, b in zip(have, want, strict=True))
