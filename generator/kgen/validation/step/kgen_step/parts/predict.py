"""`predict` over batches of which the last is smaller."""

from kgen_step import network, reference, task

TRAINS = False

_SIZE = 5
"""Of a batch; the images are no multiple of it."""


def run(world):
    """The outputs for all images against the forward pass in float64."""
    weights, images, _ = task.arrays()
    model = network.build(world.keras, weights, None, rotated=world.rotated)
    every = images.reshape((-1, *images.shape[2:]))
    wanted, _ = reference.forward([weight.astype("float64") for weight in weights], every.astype("float64"))
    found = model.predict(every, batch_size=_SIZE, verbose=0)
    return {"numbers": [world.number("outputs", found, wanted, 1e-6, 1e-5)]}
