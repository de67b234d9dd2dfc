"""What is learnt: the same initial weights and batches on every machine, for every backend.

All numbers are small multiples of powers of two, so that float32 holds them exactly and the float64 reference starts
from the very same point. They come from `random.Random(seed).random()`, whose sequence Python promises to keep.
"""

import random

import numpy

SEED = 142
"""Of the first 400 the one whose pre-activations stay farthest from the kink of relu: 2.8e-4, hundreds of times what
float32 can be off by, so that no backend falls on the other side."""

STEPS = 6
BATCHES = 2
"""Taken in turns: with one alone, a backend that keeps the first batch would not be found out."""
BATCH = 8
SIDE = 8
CHANNELS = 3
FILTERS = 8
KERNEL = 3
HIDDEN = 16
CLASSES = 10

RATE = 0.125
MOMENTUM = 0.875
"""Both are exact in float32."""

_FLAT = (SIDE - 2 * (KERNEL - 1)) ** 2 * FILTERS

SHAPES = (
    ("first/kernel", (KERNEL, KERNEL, CHANNELS, FILTERS), 0.5),
    ("first/bias", (FILTERS,), 0.125),
    ("second/kernel", (KERNEL, KERNEL, FILTERS, FILTERS), 0.25),
    ("second/bias", (FILTERS,), 0.125),
    ("hidden/kernel", (_FLAT, HIDDEN), 0.25),
    ("hidden/bias", (HIDDEN,), 0.125),
    ("output/kernel", (HIDDEN, CLASSES), 0.5),
    ("output/bias", (CLASSES,), 0.125),
)
"""Each weight in the order of `model.get_weights()`: name, shape (kernels: height, width, in, out), largest value."""

_GRAIN = 1 << 16
"""Finer than TF32 and bfloat16 can hold, coarser than float32 must be."""


def arrays(seed=SEED):
    """Gives (weights, images, labels) as float32.

    weights: a list like SHAPES; images: (BATCHES, BATCH, SIDE, SIDE, CHANNELS); labels: one-hot, the same with CLASSES.
    An image is the pattern of its class with half as much noise on it, so that there is something to learn.
    """
    draw = random.Random(seed).random  # noqa: S311 - no secret

    def block(shape, largest):
        count = 1
        for length in shape:
            count *= length
        flat = [(int(draw() * 2 * _GRAIN) - _GRAIN) * (largest / _GRAIN) for _ in range(count)]
        return numpy.array(flat, dtype="float32").reshape(shape)

    weights = [block(shape, largest) for _, shape, largest in SHAPES]
    patterns = block((CLASSES, SIDE, SIDE, CHANNELS), 1.0)
    classes = [int(draw() * CLASSES) for _ in range(BATCHES * BATCH)]
    noise = block((BATCHES * BATCH, SIDE, SIDE, CHANNELS), 0.5)
    images = (patterns[classes] + noise).reshape((BATCHES, BATCH, SIDE, SIDE, CHANNELS))
    labels = numpy.eye(CLASSES, dtype="float32")[classes].reshape((BATCHES, BATCH, CLASSES))
    return weights, images, labels
