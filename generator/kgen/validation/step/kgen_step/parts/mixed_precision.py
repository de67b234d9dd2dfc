"""The network of every suite in mixed precision: bfloat16 computes, float32 keeps the weights."""

import numpy

from kgen_step import network, reference, task
from kgen_step.parts import Cannot

TRAINS = True

_POLICY = "mixed_bfloat16"
_LOSSES = 0.05
"""bfloat16 rounds at 4e-3; six steps of a loss of 2 carry that on."""
_LEAST = 1e-4
"""Nearer than that float32 would have been computed, a hundred times as exact."""


def run(world):
    """The losses against the trajectory in float64: near enough, and not as near as float32 is."""
    keras = world.keras
    setting = next((one for one in map(_found, _places(keras)) if one is not None), None)
    if setting is None:
        raise Cannot("this Keras has no policies of precision")
    choose, before = setting
    weights, images, labels = task.arrays()
    try:
        choose(_POLICY)
        model = network.build(keras, weights, {}, rotated=world.rotated)
        runner = network.Trainer(model, images, labels, rotated=world.rotated)
        for step in range(runner.steps):
            runner.step(step)
    finally:
        choose(before)
    losses, _, _, _ = reference.trajectory()
    kept = sorted({numpy.asarray(weight).dtype.name for weight in model.get_weights()})
    number = world.number("losses", runner.values()["losses"], losses, _LOSSES, relative=True, least=_LEAST)
    exact = world.number("kept in float32", [kept == ["float32"]], [True], 0.0)
    return {"numbers": [number, exact], "said": {"policy": _POLICY, "weights": ", ".join(kept)}}


def _places(keras):
    """Where Keras has had it: (module, name of what sets it, name of what gives it)."""
    config, mixed = getattr(keras, "config", None), getattr(keras, "mixed_precision", None)
    early = getattr(mixed, "experimental", None)
    return (
        (config, "set_dtype_policy", "dtype_policy"),
        (mixed, "set_global_policy", "global_policy"),
        (mixed, "set_dtype_policy", "dtype_policy"),
        (early, "set_policy", "global_policy"),
    )


def _found(place):
    module, setter, getter = place
    if not hasattr(module, setter) or not hasattr(module, getter):
        return None
    return getattr(module, setter), getattr(module, getter)()
