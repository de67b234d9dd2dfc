"""NumPy: `fit` is not there, so the contract is a forward pass. Nothing is compiled."""

import numpy

from kgen_step.events import Refused

TRAINS = False
MODULES = ("jax",)
WATCHED = ()


def hold(environ, _device, _folder):
    """Keras's NumPy backend imports JAX for shapes; it needs no GPU for that."""
    environ["JAX_PLATFORMS"] = "cpu"


def device(kind):
    """The CPU."""
    if kind != "cpu":
        raise Refused("no-device", "this backend computes on the CPU only", reasons=[])
    return {"name": None, "capability": None}


def built():
    """Nothing of CUDA."""
    return {}


def watch():
    """Nothing to listen to."""


def places(array):
    """The memory of this process."""
    return ["cpu:0"] if isinstance(array, numpy.ndarray) else []


def prove(_function, _watch, _folder):
    """There is no compiler."""
    return {"compiler": None, "convolutions": 0}
