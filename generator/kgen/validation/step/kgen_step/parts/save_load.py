"""`save` and `load`: what comes back is what went, the optimiser's state too."""

import os

import numpy

from kgen_step import network, task

TRAINS = False

_ENDINGS = (".keras", ".h5")
"""Keras's own archive; what Keras saved to before there was that."""


def run(world):
    """The weights to the bit; the outputs; and, where Keras can train, the step after: momentum must have survived."""
    keras = world.keras
    weights, images, labels = task.arrays()
    model = network.build(keras, weights, {} if world.trains else None, rotated=world.rotated)
    if world.trains:
        model.train_on_batch(images[0], labels[0])
    path, loaded = _saved(keras, model, world.folder)
    numbers = [
        world.number("weights", _flat(loaded), _flat(model), 0.0),
        world.number("outputs", loaded.predict_on_batch(images[0]), model.predict_on_batch(images[0]), 1e-6, 1e-5),
    ]
    if world.trains:
        for one in (model, loaded):
            one.train_on_batch(images[1], labels[1])
        numbers.append(world.number("weights after a further step", _flat(loaded), _flat(model), 1e-6, 1e-5))
    return {"numbers": numbers, "said": {"file": os.path.basename(path)}}


def _saved(keras, model, folder):
    """The file, and what was loaded from it: in the first of the forms that this Keras knows."""
    for ending in _ENDINGS:
        path = os.path.join(folder, "model" + ending)
        model.save(path)
        # a Keras that does not know an ending makes a folder of it
        if os.path.isfile(path):
            break
    return path, keras.models.load_model(path)


def _flat(model):
    return numpy.concatenate([numpy.ravel(numpy.asarray(weight)) for weight in model.get_weights()])
