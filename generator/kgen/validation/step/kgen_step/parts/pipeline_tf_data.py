"""`fit` from a `tf.data.Dataset`, whatever the backend."""

from kgen_step import task
from kgen_step.parts import _pipelines

TRAINS = False


def run(world):
    """Batches of a dataset of TensorFlow's."""
    _pipelines.needs("tensorflow")
    import tensorflow as tf

    def make(images, labels):
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(task.BATCH)

    return _pipelines.fed(world, make)
