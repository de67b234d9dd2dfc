"""A small model held to its reference: the outputs, and the weights after one step down its gradient.

The gradient is that of the reference in float64 by central differences, so that nobody has to derive it by hand: with
steps of 1e-5 it is right to 1e-9, far below what float32 can show.
"""

import random

import numpy

RATE = 0.5
_STEP = 1e-5
_GRAIN = 1 << 16


def block(draw, shape, largest):
    """An array of numbers that float32 holds exactly."""
    count = int(numpy.prod(shape))
    flat = [(int(draw() * 2 * _GRAIN) - _GRAIN) * (largest / _GRAIN) for _ in range(count)]
    return numpy.array(flat, dtype="float32").reshape(shape)


def drawing(seed):
    """A source of the same numbers everywhere."""
    return random.Random(seed).random  # noqa: S311 - no secret


def held_to(world, model, forward, arrays, limits):
    """The numbers of a model.

    model: with one input and one output; gets the weights, and is compiled here if Keras can train.
    forward: (weights, inputs), in float64 -> outputs; weights in the order of the model's own.
    arrays: (weights, inputs, targets).
    limits: (of the outputs, of the weights), each (on a CPU, on anything else); absolute.
    """
    weights, inputs, targets = arrays
    shapes = [weight.shape for weight in model.get_weights()]
    if shapes != [weight.shape for weight in weights]:
        raise ValueError("the weights of this Keras are of the shapes {}".format(shapes))
    model.set_weights(weights)
    exact = [weight.astype("float64") for weight in weights]
    images, wanted = inputs.astype("float64"), targets.astype("float64")
    numbers = [
        world.number("outputs", model.predict_on_batch(inputs), forward(exact, images), limits[0][0], limits[0][1])
    ]
    if world.trains:
        model.compile(loss="mean_squared_error", optimizer=world.keras.optimizers.SGD(RATE))
        model.train_on_batch(inputs, targets)

        def loss(values):
            return ((forward(values, images) - wanted) ** 2).mean()

        stepped = [weight - RATE * by for weight, by in zip(exact, _by_differences(loss, exact))]
        numbers += [
            world.number(
                "weights",
                numpy.concatenate([numpy.ravel(weight) for weight in model.get_weights()]),
                numpy.concatenate([weight.ravel() for weight in stepped]),
                limits[1][0],
                limits[1][1],
            )
        ]
    return numbers


def _by_differences(loss, weights):
    """The gradient of the loss by each weight."""
    gradients = []
    for place, weight in enumerate(weights):
        gradient = numpy.empty(weight.size)
        for index in range(weight.size):
            both = []
            for step in (_STEP, -_STEP):
                moved = weight.copy()
                moved.flat[index] += step
                both.append(loss([*weights[:place], moved, *weights[place + 1 :]]))
            gradient[index] = (both[0] - both[1]) / (2 * _STEP)
        gradients.append(gradient.reshape(weight.shape))
    return gradients
