"""TensorFlow 2.3 to 2.15 under its own Keras: XLA, by Keras's word for it, and where it has none yet, around its step.

Up to 2.7 `compile` does not know `jit_compile`. What later releases do with it is done here then: the step that Keras
takes with a batch is a function that XLA must compile.
"""

import inspect

from kgen_step.backends import TAKES_NO_LOADER, tensorflow
from kgen_step.backends.tensorflow import MODULES, TRAINS, WATCHED, built, device, places, watch

__all__ = [
    "CANNOT",
    "MODULES",
    "TRAINS",
    "WATCHED",
    "built",
    "compile_options",
    "device",
    "hold",
    "places",
    "prepare",
    "prove",
    "watch",
]

CANNOT = TAKES_NO_LOADER

_STEP = ".*(XlaMustCompile|_step).*"
"""The programs of training steps: XLA called a program after the function that it was made of up to TensorFlow 2.11."""

_COMPILED = []
"""The step that was wrapped; none where Keras wraps it itself."""


def hold(environ, device, folder):
    """As for Keras 3, whatever the programs of its day are called."""
    tensorflow.hold(environ, device, folder, only=_STEP)


def compile_options():
    """XLA, explicitly, where Keras can be told."""
    return tensorflow.compile_options() if _knows() else {}


def prepare(model):
    """Has XLA compile what Keras does with a batch, where Keras cannot be told."""
    if _knows():
        return
    import tensorflow as tf

    # It was called so up to 2.4.
    word = next(one for one in ("jit_compile", "experimental_compile") if one in _parameters(tf.function))
    model.train_step = tf.function(model.train_step, **{word: True})
    _COMPILED.append(model.train_step)


def prove(function, found, folder):
    """As for Keras 3, where Keras was told; else the program that XLA wrote down for the step that was wrapped."""
    if not _COMPILED:
        return tensorflow.prove(function, found, folder)
    return tensorflow.written({"compiler": "xla", "programs": 0, "convolutions": 0, "marked": len(_COMPILED)}, folder)


def _knows():
    """Whether this Keras can be told to have XLA compile."""
    from tensorflow import keras

    return "jit_compile" in _parameters(keras.models.Model.compile)


def _parameters(function):
    return inspect.signature(function).parameters
