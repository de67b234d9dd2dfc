"""PyTorch under a Keras that compiles nothing on it, keras-core: its model is handed to `torch.compile` here."""

from kgen_step.backends.torch import MODULES, TRAINS, WATCHED, built, device, hold, places, prove, watch

__all__ = [
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


def compile_options():
    """Nothing: `jit_compile` is refused."""
    return {"jit_compile": False}


def prepare(model):
    """The model's forward pass compiled, and with it the backward pass.

    The whole training step would be as well, in two hundred pieces and minutes.
    """
    import torch

    compiled = torch.compile(model.call)

    def call(inputs, *arguments, **named):
        # as an array it would be converted inside, which dynamo cannot follow
        return compiled(torch.as_tensor(inputs), *arguments, **named)

    model.call = call
