"""A Keras that is none: it answers the training step with the reference itself, or misbehaves as FAKE_KERAS says.

Found through PYTHONPATH, by an interpreter that has NumPy and no framework.
"""

import contextlib
import ctypes
import os
import pathlib
import subprocess
import sys
import time
import types

import numpy
from kgen_step import reference, task

__version__ = "0.0.0+fake"
_HOW = os.environ.get("FAKE_KERAS", "")


def _hang():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path(os.environ["FAKE_PID_FILE"]).write_text(str(child.pid))
    time.sleep(600)


def _meet():
    """Goes on once FAKE_MEET processes have come, and leaves when it came and when it was last here."""
    folder = pathlib.Path(os.environ["FAKE_MEETING"])
    own = folder / str(os.getpid())
    came = own.read_text().split()[0] if own.exists() else str(time.monotonic())
    own.write_text("{} {}".format(came, time.monotonic()))
    ends = time.monotonic() + 100
    while len(list(folder.iterdir())) < int(os.environ["FAKE_MEET"]):
        if time.monotonic() > ends:
            raise RuntimeError("nobody else has come")
        time.sleep(0.02)


def _misbehave(stage):
    if stage + " dawdles" == _HOW:
        time.sleep(1)
    if stage + " meets others" == _HOW:
        _meet()
    if stage + " hangs" == _HOW:
        _hang()
    elif stage + " crashes" == _HOW:
        ctypes.string_at(0)
    elif stage + " exits" == _HOW:
        sys.exit("the framework has had enough")
    elif stage + " is killed" == _HOW:
        os.abort()
    elif stage + " fails" == _HOW:
        raise RuntimeError(os.environ.get("FAKE_MESSAGE", "libfake.so.1: cannot open shared object file"))


if _HOW == "prints garbage":
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            for _ in range(64):
                os.write(stream, b'{"event": "result", "losses": [0]}\n\xff\x00\x1b[2J' * 2000)
_misbehave("import")

backend = types.SimpleNamespace(backend=lambda: os.environ.get("FAKE_BACKEND") or os.environ["KERAS_BACKEND"])


def _layer(*_arguments, **_named):
    return lambda values: values


layers = types.SimpleNamespace(Input=lambda shape: shape, Conv2D=_layer, Flatten=_layer, Dense=_layer)


class _SGD:
    def __init__(self, rate, momentum):
        self.rate, self.momentum, self.variables = rate, momentum, []


optimizers = types.SimpleNamespace(SGD=_SGD)


class _Variable:
    def __init__(self, values):
        jax = sys.modules.get("jax")
        self.value = values if jax is None else jax.Array(values)


class _Model:
    train_function = None

    def __init__(self, _images, _values):
        _misbehave("build")

    def set_weights(self, weights):
        self._weights = [weight.astype("float64") for weight in weights]
        self._velocities = [0.0 * weight for weight in self._weights]

    def get_weights(self):
        return [weight.astype("float32") for weight in self._weights]

    def compile(self, loss, optimizer, jit_compile):
        self.optimizer, self._compiled = optimizer, jit_compile

    @property
    def trainable_weights(self):
        return [_Variable(weight) for weight in self._weights]

    def predict_on_batch(self, images):
        _misbehave("compile")
        outputs = reference.forward(self._weights, images.astype("float64"))[0].astype("float32")
        return outputs + 0.25 if _HOW == "is wrong" else outputs

    def train_on_batch(self, images, labels):
        _misbehave("compile")
        if self.train_function is None:
            self.train_function = self._train
        return self.train_function(images, labels)["loss"]

    def _train(self, images, labels):
        loss, gradients, _ = reference.loss_and_gradients(
            self._weights, images.astype("float64"), labels.astype("float64")
        )
        rate = self.optimizer.rate * (1.01 if _HOW == "is wrong" else 1.0)
        self._velocities = [self.optimizer.momentum * v - rate * g for v, g in zip(self._velocities, gradients)]
        self._weights = [weight + velocity for weight, velocity in zip(self._weights, self._velocities)]
        return {"loss": numpy.float32(float("nan") if _HOW == "is nan" else loss)}


models = types.SimpleNamespace(Model=_Model)
assert task.STEPS
