"""What the pipelines have in common: the same batches in the same order, however they come."""

import importlib.util

import numpy

from kgen_step import network, reference, task
from kgen_step.parts import Absent


def needs(module):
    """See that a module can be imported.

    Raises:
        Absent: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise Absent("{} is not installed".format(module))


def fed(world, make, **options):
    """The numbers of a training over both batches once, or of a prediction where Keras cannot train.

    make: (images, labels) -> what `fit` takes as its first argument, or (first, second).
    """
    weights, images, labels = task.arrays()
    every = images.reshape((-1, *images.shape[2:])), labels.reshape((-1, labels.shape[-1]))
    data = make(*every)
    exact = [weight.astype("float64") for weight in weights]
    if not world.trains:
        model = network.build(world.keras, weights, None, rotated=world.rotated)
        wanted, _ = reference.forward(exact, every[0].astype("float64"))
        first = data[0] if isinstance(data, tuple) else data
        return {"numbers": [world.number("outputs", model.predict(first, verbose=0, **options), wanted, 1e-6, 1e-5)]}
    model = network.build(world.keras, weights, {}, rotated=world.rotated)
    arguments = data if isinstance(data, tuple) else (data,)
    history = model.fit(*arguments, epochs=1, shuffle=False, verbose=0, **options)
    losses, _, stepped, _ = reference.trajectory(steps=task.BATCHES)
    found = model.get_weights()
    found = network.turned(found) if world.rotated else found
    return {
        "numbers": [
            # the mean over the epoch, which a pipeline that repeats or drops a batch does not have
            world.number("loss", history.history["loss"][0], numpy.mean(losses), 1e-5, 5e-5),
            world.number(
                "weights",
                numpy.concatenate([numpy.ravel(weight) for weight in found]),
                numpy.concatenate([weight.ravel() for weight in stepped]),
                1e-5,
                5e-5,
            ),
        ]
    }
