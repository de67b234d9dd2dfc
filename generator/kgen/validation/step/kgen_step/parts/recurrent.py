"""A recurrent layer, an LSTM: cuDNN's where Keras takes that, a loop elsewhere."""

import numpy

from kgen_step.parts import _gradient

TRAINS = False

_BATCH, _LENGTH, _FEATURES, _UNITS = 4, 6, 3, 5
_SEED = 19
_LIMITS = ((1e-6, 1e-5), (1e-5, 5e-5))


def run(world):
    """Outputs, and the weights after one step, against the layer in float64."""
    layers = world.keras.layers
    inputs = layers.Input(shape=(_LENGTH, _FEATURES))
    # Named in full: an older Keras has other ones by default. No dropout, no mask: so it may be cuDNN's.
    outputs = world.layer("LSTM")(_UNITS, activation="tanh", recurrent_activation="sigmoid")(inputs)
    model = world.keras.models.Model(inputs, outputs)
    draw = _gradient.drawing(_SEED)
    shapes = ((_FEATURES, 4 * _UNITS), (_UNITS, 4 * _UNITS), (4 * _UNITS,))
    weights = [_gradient.block(draw, shape, 0.5) for shape in shapes]
    values = _gradient.block(draw, (_BATCH, _LENGTH, _FEATURES), 1.0)
    targets = _gradient.block(draw, (_BATCH, _UNITS), 1.0)
    return {"numbers": _gradient.held_to(world, model, _forward, (weights, values, targets), _LIMITS)}


def _forward(weights, values):
    """An LSTM: gates in the order input, forget, candidate, output."""
    kernel, recurrent, bias = weights
    state = carry = numpy.zeros((len(values), _UNITS))
    for step in range(values.shape[1]):
        gates = values[:, step].dot(kernel) + state.dot(recurrent) + bias
        taken, kept, candidate, shown = (gates[:, at * _UNITS : (at + 1) * _UNITS] for at in range(4))
        carry = _sigmoid(kept) * carry + _sigmoid(taken) * numpy.tanh(candidate)
        state = _sigmoid(shown) * numpy.tanh(carry)
    return state


def _sigmoid(values):
    return 1 / (1 + numpy.exp(-values))
