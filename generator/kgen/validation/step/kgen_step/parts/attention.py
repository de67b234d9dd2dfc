"""A block of attention; and, where the backend has a fused one of its maker's, that alone in half precision."""

import numpy

from kgen_step.parts import Absent, _gradient

TRAINS = False

_BATCH, _LENGTH, _FEATURES, _HEADS, _SIZE = 2, 5, 6, 2, 4
_SEED = 7
_LIMITS = ((1e-6, 1e-5), (1e-5, 5e-5))

_LONG, _WIDE = 64, 64
"""Of the fused one: lengths and sizes that every such kernel takes."""
_HALF = 2e-2
"""bfloat16 rounds at 4e-3, and the values are below 1."""


def run(world):
    """Outputs, and the weights after one step, against the block in float64; then the fused kernel."""
    layers = world.keras.layers
    inputs = layers.Input(shape=(_LENGTH, _FEATURES))
    attention = world.layer("MultiHeadAttention")(num_heads=_HEADS, key_dim=_SIZE)
    outputs = layers.Add()([inputs, attention(inputs, inputs)])
    model = world.keras.models.Model(inputs, outputs)
    draw = _gradient.drawing(_SEED)
    into, out = (_FEATURES, _HEADS, _SIZE), (_HEADS, _SIZE, _FEATURES)
    shapes = (into, (_HEADS, _SIZE), into, (_HEADS, _SIZE), into, (_HEADS, _SIZE), out, (_FEATURES,))
    weights = [_gradient.block(draw, shape, 0.5) for shape in shapes]
    values = _gradient.block(draw, (_BATCH, _LENGTH, _FEATURES), 1.0)
    targets = _gradient.block(draw, (_BATCH, _LENGTH, _FEATURES), 1.0)
    numbers = _gradient.held_to(world, model, _forward, (weights, values, targets), _LIMITS)
    if not hasattr(world.backend, "fused_attention"):
        return {"numbers": numbers, "said": {"fused": "none: flash attention is off, as this backend offers no such"}}
    arrays = [_gradient.block(draw, (_BATCH, _LONG, _HEADS, _WIDE), 1.0) for _ in range(3)]
    try:
        found, name = world.backend.fused_attention(world.kind, *arrays)
    except Absent as absent:
        return {"numbers": numbers, "said": {"fused": "none: {}".format(absent)}}
    exact = _attended(*[array.astype("float64") for array in arrays])
    return {"numbers": [*numbers, world.number("fused", found, exact, _HALF)], "said": {"fused": name}}


def _forward(weights, values):
    query, query_bias, key, key_bias, value, value_bias, out, out_bias = weights
    projected = [
        numpy.einsum("blf,fhs->blhs", values, kernel) + bias
        for kernel, bias in ((query, query_bias), (key, key_bias), (value, value_bias))
    ]
    return values + numpy.einsum("blhs,hsf->blf", _attended(*projected), out) + out_bias


def _attended(query, key, value):
    """Attention of every head: arrays are (batch, length, heads, size)."""
    scores = numpy.einsum("bqhs,bkhs->bhqk", query, key) / numpy.sqrt(query.shape[-1])
    powers = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
    return numpy.einsum("bhqk,bkhs->bqhs", powers / powers.sum(axis=-1, keepdims=True), value)
