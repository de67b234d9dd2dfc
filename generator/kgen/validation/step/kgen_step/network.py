"""The network in the words that Keras has had since 2.2, and its training and prediction one batch at a time."""

import numpy

from kgen_step import task

_KERNEL_AXES = 4
"""Of a convolution's kernel: height, width, in, out."""


def build(keras, weights, options, *, rotated=False):
    """Gives the model with these weights.

    rotated: whether kernels are to be turned by 180 degrees, for who convolves where all others correlate.
    options: further arguments of `compile`; None for a model that is not to be trained.
    """
    layers = keras.layers
    # Zeros, as the weights are set anyway: random ones are dozens of programs to compile for some backends.
    plain = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
    images = layers.Input(shape=(task.SIDE, task.SIDE, task.CHANNELS))
    kernel = (task.KERNEL, task.KERNEL)
    values = layers.Conv2D(task.FILTERS, kernel, activation="relu", **plain)(images)
    values = layers.Conv2D(task.FILTERS, kernel, activation="relu", **plain)(values)
    values = layers.Flatten()(values)
    values = layers.Dense(task.HIDDEN, activation="relu", **plain)(values)
    values = layers.Dense(task.CLASSES, activation="softmax", **plain)(values)
    model = keras.models.Model(images, values)
    model.set_weights(turned(weights) if rotated else weights)
    if options is not None:
        # The rate goes by position: its name was `lr` once.
        optimizer = keras.optimizers.SGD(task.RATE, momentum=task.MOMENTUM)
        model.compile(loss="categorical_crossentropy", optimizer=optimizer, **options)
    return model


def turned(weights):
    """The weights with each convolution's kernel turned by 180 degrees; twice is as it was."""
    return [weight[::-1, ::-1] if len(weight.shape) == _KERNEL_AXES else weight for weight in weights]


class Trainer:
    """Trains step by step; keeps what came out of the compiled function, to ask where it lives."""

    steps = task.STEPS

    def __init__(self, model, images, labels, *, rotated=False):
        self.model = model
        self._rotated = rotated
        # keras-core gives the mean of all losses since it was told to forget them.
        self._sums_up = type(model).__module__.startswith("keras_core.")
        self._batches = list(zip(images, labels))
        self._losses = []
        self._result = None
        self.function = None

    def step(self, number):
        """Trains on one batch."""
        if self._sums_up:
            self.model.reset_metrics()
        images, labels = self._batches[number % task.BATCHES]
        loss = self.model.train_on_batch(images, labels)
        self._losses.append(float(numpy.ravel(numpy.asarray(loss))[0]))
        if self.function is None:
            self._observe()

    def _observe(self):
        """Once it is made, looks at what the function returns before Keras makes plain numbers of it."""
        function = self.function = self.model.train_function

        def observed(*arguments, **named):
            self._result = function(*arguments, **named)
            return self._result

        self.model.train_function = observed

    def arrays(self):
        """The weights and the optimiser's state after training, and the last outputs of the training function."""
        optimizer = self.model.optimizer
        # Keras 2 calls them weights.
        state = optimizer.variables if hasattr(optimizer, "variables") else optimizer.weights
        return {
            "weights": [_value(variable) for variable in self.model.trainable_weights],
            "state": [_value(variable) for variable in (state() if callable(state) else state)],
            "outputs": list(_leaves(self._result)),
        }

    def values(self):
        """What the judge compares."""
        weights = [numpy.asarray(weight) for weight in self.model.get_weights()]
        weights = turned(weights) if self._rotated else weights
        return {
            "contract": "training",
            "losses": self._losses,
            "weights": {
                name: [float(value) for value in weight.ravel()] for (name, _, _), weight in zip(task.SHAPES, weights)
            },
        }


class Predictor:
    """For a backend that cannot train: the outputs of a forward pass."""

    steps = 3
    function = None

    def __init__(self, model, images):
        self.model = model
        self._images = images
        self._outputs = None

    def step(self, _):
        """Predicts the first batch."""
        self._outputs = self.model.predict_on_batch(self._images[0])

    def arrays(self):
        """The outputs."""
        return {"outputs": [self._outputs]}

    def values(self):
        """What the judge compares."""
        return {
            "contract": "forward",
            "outputs": [[float(value) for value in row] for row in numpy.asarray(self._outputs)],
        }


def _value(variable):
    """What a variable of Keras holds.

    Of TensorFlow's own `value` is a method; Theano's raise an error for it, CNTK's give a copy in the host's memory.
    """
    if hasattr(variable, "get_value") or type(variable).__module__.startswith("cntk"):
        return variable
    value = getattr(variable, "value", variable)
    return variable if callable(value) else value


def _leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            for leaf in _leaves(item):
                yield leaf
    elif value is not None:
        yield value
