"""PyTorch under a Keras that compiles nothing on it, keras-core: its model is handed to `torch.compile` here."""

from kgen_step.backends import torch as inductor
from kgen_step.backends.torch import (
    CUT_SHORT,
    MODULES,
    SHORT_CUTS,
    TRAINS,
    WATCHED,
    built,
    device,
    hasten,
    hold,
    places,
    prove,
)

__all__ = [
    "CUT_SHORT",
    "MODULES",
    "SHORT_CUTS",
    "TRAINS",
    "WATCHED",
    "built",
    "compile_options",
    "device",
    "hasten",
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


def watch():
    """As for Keras 3, but what dynamo of 2.0 and 2.1 cannot follow in Keras's own Python stays Python.

    It raises errors of its own there (at `None in shape` of a Flatten). A graph that inductor fails on counts as little
    as one that it was not given, because those releases show what was made.
    """
    import torch._dynamo
    import torch._inductor.config as settings

    graphs = inductor.watch()
    if not hasattr(settings, "post_grad_custom_post_pass"):
        torch._dynamo.config.suppress_errors = True  # noqa: SLF001 - the only switch there is
    return graphs
