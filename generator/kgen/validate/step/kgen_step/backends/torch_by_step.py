"""PyTorch under a Keras that compiles nothing on it, keras-core: what it would call is handed to `torch.compile` here."""

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
    """The training step of the model, compiled."""
    import torch

    model.train_step = torch.compile(model.train_step)
