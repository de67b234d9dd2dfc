"""A Keras that is none: a `fit` with callbacks, and steps of FAKE_STEP seconds, FAKE_SPREAD of that more or less."""

import os
import time
import types

import numpy

__version__ = "3.0.0+fake"
_NAME = os.environ.get("KERAS_BACKEND", "tensorflow")
_SCALE = float(os.environ.get("FAKE_LOSS_" + _NAME.upper(), "1"))
_STEP = float(os.environ.get("FAKE_STEP_" + _NAME.upper(), "0.002"))
_SPREAD = float(os.environ.get("FAKE_SPREAD", "0"))

# what a step took is read from a clock that moves with the steps alone: on a busy machine a sleep is longer than asked
_elapsed = [1000.0]
time.perf_counter = lambda: _elapsed[0]

backend = types.SimpleNamespace(backend=lambda: os.environ.get("FAKE_BACKEND", _NAME))
utils = types.SimpleNamespace(set_random_seed=numpy.random.seed)


class _Callback:
    model = None

    def _nothing(self, *arguments, **named):
        pass

    on_train_begin = on_train_end = on_epoch_begin = on_epoch_end = _nothing
    on_train_batch_begin = on_train_batch_end = _nothing


callbacks = types.SimpleNamespace(Callback=_Callback)


class _Trainer:
    def fit(self, x=None, y=None, batch_size=None, epochs=1, callbacks=None, shuffle=True, fail_at=None):
        for one in callbacks or []:
            one.model = self
        self._tell(callbacks, "on_train_begin")
        number = 0
        for epoch in range(epochs):
            self._tell(callbacks, "on_epoch_begin", epoch)
            for batch in range(len(x) // (batch_size or 32)):
                self._tell(callbacks, "on_train_batch_begin", batch)
                if number == fail_at:
                    raise RuntimeError("libfake.so.1: cannot open shared object file")
                seconds = _STEP * (20 if number == 0 else 1 + _SPREAD * (number % 4 / 1.5 - 1))
                time.sleep(seconds)
                _elapsed[0] += seconds
                number += 1
                loss = float(self.weights.sum()) / number * _SCALE
                self._tell(callbacks, "on_train_batch_end", batch, {"loss": loss, "accuracy": 0.5})
            self._tell(callbacks, "on_epoch_end", epoch, {"loss": loss, "accuracy": 0.5})
        self._tell(callbacks, "on_train_end", {"loss": loss, "accuracy": 0.5})

    @staticmethod
    def _tell(callbacks, name, *arguments):
        for one in callbacks or []:
            getattr(one, name)(*arguments)


class Model(_Trainer):
    steps_per_execution = 1

    def __init__(self, size=4):
        self.weights = numpy.random.random(size) + 1

    def count_params(self):
        return self.weights.size

    def get_weights(self):
        return [self.weights]

    def set_weights(self, weights):
        (self.weights,) = weights
