"""The steps of `kgen validate` as one would write them by hand, proving nothing: what its cost is measured beside."""

import random

import keras
import numpy

draw = random.Random(1).random  # noqa: S311 - no secret


def block(*shape: int) -> numpy.ndarray:
    """Numbers between -1 and 1."""
    return numpy.array([draw() * 2 - 1 for _ in range(numpy.prod(shape))], dtype="float32").reshape(shape)


plain = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
images = keras.layers.Input(shape=(8, 8, 3))
values = keras.layers.Conv2D(8, (3, 3), activation="relu", **plain)(images)
values = keras.layers.Conv2D(8, (3, 3), activation="relu", **plain)(values)
values = keras.layers.Flatten()(values)
values = keras.layers.Dense(16, activation="relu", **plain)(values)
values = keras.layers.Dense(10, activation="softmax", **plain)(values)
model = keras.models.Model(images, values)
model.set_weights([block(*weight.shape) for weight in model.get_weights()])
model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.SGD(0.125, momentum=0.875), jit_compile=True)
batches = [(block(8, 8, 8, 3), numpy.eye(10, dtype="float32")[[0, 1, 2, 3, 4, 5, 6, 7]]) for _ in range(2)]
for number in range(6):
    print(float(model.train_on_batch(*batches[number % 2])))
